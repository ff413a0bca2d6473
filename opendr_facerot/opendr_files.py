"""The intermediate files of OpenDR's tool: what 3DDFA found in a photo.

Numbers are formatted as there. Where its files were broken, these are not: the header of a PLY file
is not indented, an OBJ file has x before y, vertices outside the photo stay there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.files import make_folder, write_atomically
from opendr_facerot.imaging import write_image
from opendr_facerot.reconstruct.bfm import MorphableModel
from opendr_facerot.render.mesh_texture import nearest_colours
from opendr_facerot.render.rasterize import ndc_from_pixels, rasterize

if TYPE_CHECKING:  # it imports torch
    from opendr_facerot.pipelines.rotate_and_render import Reconstruction

_NEAREST, _FARTHEST = 1.0, 2.0  # depths that a mesh is drawn between


def write_dumps(
    dumps: Set[str],
    folder: Path,
    stem: str,
    image: NDArray[np.uint8],
    face: Reconstruction,
    model: MorphableModel,
) -> None:
    """Write the files of one face.

    Args:
        dumps: Options that ask for files, e.g. ``"dump_ply"``.
        folder: ``results`` and ``meshes`` are made in it.
        stem: First part of the files' names.
        image: ``(H, W, 3)`` uint8 RGB, the photo.
        face: The face.
        model: Its model.

    Raises:
        ImageError: A file cannot be written.
    """
    vertices, triangles = face.photo_vertices, model.faces
    texts: dict[str, tuple[str, Callable[[], bytes]]] = {
        "dump_param": (f"results/{stem}.txt", lambda: face.parameters.to_text().encode()),
        "dump_pts": (f"meshes/{stem}.txt", lambda: points_text(vertices[model.keypoints])),
        "dump_roi_box": (f"meshes/{stem}.roibox", lambda: roi_text(face.parameters.roi)),
        "dump_vertex": (f"meshes/{stem}.mat", lambda: mat_content(vertices)),
        "dump_ply": (f"meshes/{stem}.ply", lambda: ply_text(vertices, triangles)),
        "dump_obj": (f"meshes/{stem}.obj", lambda: obj_text(vertices, triangles, image)),
    }
    colours: dict[str, tuple[str, Callable[[], NDArray[np.floating]]]] = {
        "dump_2d_img": (
            f"results/{stem}.jpg",
            lambda: nearest_colours(image.astype(np.float32), vertices),
        ),
        "dump_depth": (
            f"meshes/{stem}_depth.png",
            lambda: 255.0 * unit_range(vertices[:, 2:]).repeat(3, axis=1),
        ),
        "dump_pncc": (
            f"meshes/{stem}_pncc.png",
            lambda: 255.0 * unit_range(model.mean.reshape(-1, 3)),
        ),
    }
    for dump in dumps & texts.keys():
        name, content = texts[dump]
        write_atomically(folder / name, content())
    for dump in dumps & colours.keys():
        name, colour = colours[dump]
        make_folder((folder / name).parent)
        height, width = image.shape[:2]
        write_image(folder / name, draw_in_photo(vertices, triangles, colour(), (height, width)))


def landmarks_line(name: str, label: int, landmarks5: NDArray[np.floating]) -> str:
    """``<name> <label> x1 y1 … x5 y5`` of ``(5, 2)`` pixels, truncated to whole numbers.

    Names may hold spaces: the last eleven words are the numbers.
    """
    numbers = " ".join(str(int(value)) for value in landmarks5.ravel())
    return f"{name} {label} {numbers}"


def points_text(landmarks68: NDArray[np.floating]) -> bytes:
    """Three rows, x, y and z, of ``(68, 3)`` landmarks."""
    return _table(landmarks68.T, "%.3f")


def roi_text(roi: NDArray[np.floating]) -> bytes:
    """Left, top, right and bottom, a line each."""
    return _table(roi[:, None], "%.3f")


def ply_text(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> bytes:
    """A mesh ``(N, 3)``, ``(F, 3)`` as ASCII PLY."""
    header = "\n".join(
        [
            "ply",
            "format ascii 1.0",
            f"element vertex {len(vertices)}",
            *(f"property float {axis}" for axis in "xyz"),
            f"element face {len(faces)}",
            "property list uchar int vertex_indices",
            "end_header\n",
        ]
    )
    corners = np.column_stack([np.full(len(faces), 3), faces])
    return header.encode() + _table(vertices, "%.4f") + _table(corners, "%d")


def obj_text(
    vertices: NDArray[np.floating], faces: NDArray[np.integer], image: NDArray[np.uint8]
) -> bytes:
    """A mesh as OBJ; each vertex has the RGB, 0 to 255, of the photo's nearest pixel."""
    colours = nearest_colours(image.astype(np.float32), vertices)
    rows = _table(np.column_stack([vertices, colours]), "v %.4f %.4f %.4f %d %d %d")
    return rows + _table(faces + 1, "f %d %d %d")


def mat_content(vertices: NDArray[np.floating]) -> bytes:
    """A MATLAB file with the ``(3, N)`` array ``vertex``."""
    from scipy.io import savemat  # takes 0.1 s that only dump_vertex is worth

    content = io.BytesIO()
    savemat(content, {"vertex": np.ascontiguousarray(vertices.T)})
    return content.getvalue()


def draw_in_photo(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    colours: NDArray[np.floating],
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """The mesh where the photo shows it, on black.

    Args:
        vertices: ``(N, 3)`` in the photo; z larger = nearer.
        faces: ``(F, 3)``.
        colours: ``(N, 3)`` RGB of the vertices, 0 to 255, interpolated between them.
        shape: Height and width of the photo.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = shape
    side = max(shape)
    near_first = 1.0 - unit_range(vertices[:, 2])
    depth = _NEAREST + (_FARTHEST - _NEAREST) * near_first
    mesh = np.column_stack([ndc_from_pixels(vertices[:, :2], side), depth]).astype(np.float32)
    # The model's triangles are counter-clockwise seen from outside, and so in these coordinates.
    fragments = rasterize(mesh, faces, side, near=0.5 * _NEAREST, far=2.0 * _FARTHEST)
    covered = fragments.face_index >= 0
    corners = colours[faces[fragments.face_index[covered]]]
    picture = np.zeros((side, side, 3), np.uint8)
    picture[covered] = np.einsum("mk,mkc->mc", fragments.barycentric[covered], corners)
    return picture[:height, :width]


def unit_range(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Values stretched to [0, 1] along their first axis."""
    low = values.min(axis=0)
    return np.asarray((values - low) / (values.max(axis=0) - low))


def _table(rows: NDArray[np.generic], number_format: str) -> bytes:
    content = io.BytesIO()
    np.savetxt(content, rows, number_format)
    return content.getvalue()
