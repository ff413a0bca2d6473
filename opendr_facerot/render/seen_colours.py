"""Which colours of a textured face the photo really shows.

Every triangle of the mesh takes a colour from the photo, hidden ones that of what hides them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.mesh_renderer import RenderSettings, in_front_of_camera
from opendr_facerot.render.rotate_render import TexturedFace, draw
from opendr_facerot.render.template_alignment import normalised_coordinates

_DEPTH_TOLERANCE = 0.05  # of the mesh's depth of 2: what a slanted surface gains in a few pixels


def seen_faces(face: TexturedFace, in_photo: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Triangles ``(F,)`` whose three vertices the photo shows and the trimming spared.

    Args:
        face: The face, textured from its photo.
        in_photo: ``(N,)`` vertices inside the photo's frame.
    """
    depth = in_front_of_camera(normalised_coordinates(face.vertices, face.image_size))[:, 2]
    pixels = np.rint(face.vertices[:, :2])
    inside = ((pixels >= 0) & (pixels < face.image_size)).all(axis=1)
    column, row = pixels.clip(0, face.image_size - 1).astype(np.intp).T
    visible = depth <= face.picture.depth[row, column] + _DEPTH_TOLERANCE
    seen = in_photo & inside & visible & face.mask[row, column]
    return np.asarray(seen[face.faces].all(axis=1))


def seen_fraction(
    face: TexturedFace,
    seen: NDArray[np.bool_],
    vertices: NDArray[np.float32],
    settings: RenderSettings,
) -> float:
    """Share of a view's mesh pixels, in [0, 1], that show triangles seen in the photo.

    Args:
        face: The face, textured from its photo.
        seen: ``(F,)`` of :func:`seen_faces`.
        vertices: ``(N, 3)`` mesh of the view.
        settings: How views are drawn.
    """
    flags = np.repeat(seen[:, None], 3, axis=1).astype(np.float32)
    once = replace(settings, anti_aliasing=False)
    picture = draw(vertices, face.faces, flags, face.image_size, once)
    return float(picture.rgb[..., 0].sum() / max(picture.alpha.sum(), 1.0))
