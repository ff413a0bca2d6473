"""Rotate-and-Render's pictures of a turned face, the input of its generator.

Zhou et al., "Rotate-and-Render: Unsupervised Photorealistic Face Rotation from Single-View Images",
CVPR 2020. The mesh is drawn in the photo's own pose with the photo's colours; the rim of that
picture is trimmed and filled with the face's mean colour; the mesh takes its colours anew from
there and is drawn turned. Hidden vertices take the colours of what hides them: the generator knows
to repair that.

Pictures are ``(S, S, 3)`` float32 RGB in [0, 1] on black. Meshes are ``(N, 3)`` float32 in pixels
of the crop, as :mod:`opendr_facerot.render.template_alignment` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.erosion import Erosion, fill_with_mean
from opendr_facerot.render.mesh_renderer import (
    DEFAULT_SETTINGS,
    RenderedMesh,
    RenderSettings,
    in_front_of_camera,
    render_mesh,
)
from opendr_facerot.render.mesh_texture import mean_face_colours, nearest_colours
from opendr_facerot.render.template_alignment import normalised_coordinates


@dataclass(frozen=True, eq=False)
class TexturedFace:
    """The face of a photo, ready to be drawn from any side.

    Attributes:
        image_size: Side S of the crop and of all pictures.
        faces: ``(F, 3)`` vertex indices.
        vertices: The mesh in the photo's pose.
        photo_colours: ``(F, 3)`` float32, straight from the photo.
        picture: The mesh in the photo's pose with the photo's colours.
        mask: ``(S, S)`` bool, what of the picture was not trimmed.
        trimmed: ``(S, S, 3)`` the picture after trimming and filling.
        colours: ``(F, 3)`` float32, taken from there: the colours of every view.
    """

    image_size: int
    faces: NDArray[np.int32]
    vertices: NDArray[np.float32]
    photo_colours: NDArray[np.float32]
    picture: RenderedMesh
    mask: NDArray[np.bool_]
    trimmed: NDArray[np.float32]
    colours: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """What the generator is trained with.

    Attributes:
        rotated: The mesh in a random pose.
        mask: ``(S, S)`` bool, what of it was not trimmed.
        trimmed: ``(S, S, 3)``, after trimming and filling.
        colours: ``(F, 3)`` float32, taken from there.
        rotated_back: With these colours, the mesh in the photo's pose again: the generator's input,
            whose wanted output is the photo's crop.
        rotated_double: With these colours, the mesh in the random pose.
        artifacts: With the photo's colours, untrimmed, the mesh in the random pose.
    """

    rotated: RenderedMesh
    mask: NDArray[np.bool_]
    trimmed: NDArray[np.float32]
    colours: NDArray[np.float32]
    rotated_back: RenderedMesh
    rotated_double: RenderedMesh
    artifacts: RenderedMesh


def texture_face(
    crop: NDArray[np.float32],
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    erosion: Erosion,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> TexturedFace:
    """Take a face's colours from its photo: all that does not depend on the view.

    Args:
        crop: ``(S, S, 3)`` float32 RGB in [0, 1].
        vertices: The mesh as the photo shows it.
        faces: ``(F, 3)`` vertex indices.
        erosion: How much of the rim to trim.
        settings: How to draw.

    Raises:
        DeviceError: The settings' backend or device does not exist here.
        ValueError: The arrays do not describe a mesh and a square image.
    """
    if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] != 3:
        raise ValueError(f"the crop has shape {crop.shape}: expected (S, S, 3)")
    photo_colours = face_colours(crop, vertices, faces)
    picture = draw(vertices, faces, photo_colours, len(crop), settings)
    mask = erosion.mask(picture.alpha)
    trimmed = fill_with_mean(picture.rgb, mask)
    colours = face_colours(trimmed, vertices, faces)
    return TexturedFace(len(crop), faces, vertices, photo_colours, picture, mask, trimmed, colours)


def render_view(
    face: TexturedFace,
    vertices: NDArray[np.float32],
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> RenderedMesh:
    """Draw a face with its mesh turned to a view."""
    return draw(vertices, face.faces, face.colours, face.image_size, settings)


def render_training_pictures(
    face: TexturedFace,
    vertices: NDArray[np.float32],
    erosion: Erosion,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> TrainingPictures:
    """Draw a face turned and, with the colours that are left after that, turned back.

    Args:
        face: The face, textured from its photo.
        vertices: Its mesh, turned.
        erosion: How much of the turned picture's rim to trim.
        settings: How to draw.
    """

    def drawn(mesh: NDArray[np.float32], mesh_colours: NDArray[np.float32]) -> RenderedMesh:
        return draw(mesh, face.faces, mesh_colours, face.image_size, settings)

    rotated = drawn(vertices, face.colours)
    mask = erosion.mask(rotated.alpha)
    trimmed = fill_with_mean(rotated.rgb, mask)
    colours = face_colours(trimmed, vertices, face.faces)
    return TrainingPictures(
        rotated,
        mask,
        trimmed,
        colours,
        rotated_back=drawn(face.vertices, colours),
        rotated_double=drawn(vertices, colours),
        artifacts=drawn(vertices, face.photo_colours),
    )


def face_colours(
    image: NDArray[np.float32], vertices: NDArray[np.float32], faces: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Colours ``(F, 3)`` of a mesh's triangles in an image, visible or not."""
    return mean_face_colours(nearest_colours(image, vertices), faces)


def draw(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    colours: NDArray[np.float32],
    image_size: int,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> RenderedMesh:
    """Draw a mesh with one colour ``(F, 3)`` per triangle."""
    mesh = in_front_of_camera(normalised_coordinates(vertices, image_size))
    return render_mesh(mesh, faces, colours, image_size, settings)
