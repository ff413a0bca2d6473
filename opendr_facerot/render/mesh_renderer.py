"""Pictures of textured meshes by the rules of neural_renderer's orthographic camera.

Kato et al., "Neural 3D Mesh Renderer", CVPR 2018. Light is ambient only: textures are shown as
they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import SettingsError
from opendr_facerot.render.mesh_texture import texture_colours, two_sided
from opendr_facerot.render.rasterize import rasterize

CAMERA_DISTANCE = 1.0 / math.tan(math.radians(30.0)) + 1.0
"""Distance of the camera from the plane z = 0: where a field of view of 60° just holds the
square [-1, 1]², and one more."""


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How meshes are drawn.

    Attributes:
        anti_aliasing: Average 2x2 samples per pixel.
        fill_back: Draw triangles from behind, too.
        near: What is at this depth or nearer is not drawn.
        far: What is at this depth or farther is not drawn; depth of the background.
        texture_eps: How far the far side of a texture cell stays out of reach, in [0, 1).
        background: RGB behind the mesh.
        backend: See :func:`opendr_facerot.render.rasterize.rasterize`.
        device: Idem.

    Raises:
        SettingsError: A value is outside its range.
    """

    anti_aliasing: bool = True
    fill_back: bool = True
    near: float = 0.1
    far: float = 100.0
    texture_eps: float = 1e-3
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    backend: str = "cpu"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0.0 <= self.near < self.far:
            raise SettingsError(f"near {self.near} and far {self.far}: give 0 <= near < far")
        if not 0.0 <= self.texture_eps < 1.0:
            raise SettingsError(f"texture_eps is {self.texture_eps}: give 0 <= texture_eps < 1")


DEFAULT_SETTINGS = RenderSettings()


@dataclass(frozen=True, eq=False)
class RenderedMesh:
    """A picture of a mesh, row 0 at the top.

    Attributes:
        rgb: ``(S, S, 3)`` float32; at silhouettes a mixture with the background.
        alpha: ``(S, S)`` float32 share of samples that hit the mesh.
        depth: ``(S, S)`` float32, mean over the samples; ``far`` where there is no mesh.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]
    depth: NDArray[np.float32]


def in_front_of_camera(vertices_ndc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vertices ``(..., 3)`` whose z is their depth from the camera, of vertices around z = 0."""
    return vertices_ndc + np.array([0.0, 0.0, CAMERA_DISTANCE], np.float32)


def render_mesh(
    vertices: NDArray[np.float32],
    faces: NDArray[np.integer],
    textures: NDArray[np.float32],
    image_size: int,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> RenderedMesh:
    """Draw a mesh.

    Args:
        vertices: ``(V, 3)``: x and y in normalised device coordinates, z the depth.
        faces: ``(F, 3)`` vertex indices.
        textures: ``(F, 3)``, or ``(F, side, side, side, 3)`` as in
            :mod:`opendr_facerot.render.mesh_texture`.
        image_size: Side S of the picture, pixels.
        settings: How to draw.

    Raises:
        DeviceError: The settings' backend or device does not exist here.
        SettingsError: The size is not positive.
        ValueError: The arrays do not describe a textured mesh.
    """
    if len(textures) != len(faces) or textures.ndim not in (2, 5) or textures.shape[-1] != 3:
        raise ValueError(
            f"textures have shape {textures.shape}: expected ({len(faces)}, 3) "
            f"or ({len(faces)}, side, side, side, 3)"
        )
    if settings.fill_back:
        faces, textures = two_sided(faces, textures)
    fragments = rasterize(
        vertices,
        faces,
        2 * image_size if settings.anti_aliasing else image_size,
        near=settings.near,
        far=settings.far,
        backend=settings.backend,
        device=settings.device,
    )
    rgb = texture_colours(
        fragments,
        vertices,
        faces,
        textures,
        background=settings.background,
        eps=settings.texture_eps,
    )
    alpha = (fragments.face_index >= 0).astype(np.float32)
    if not settings.anti_aliasing:
        return RenderedMesh(rgb, alpha, fragments.depth)
    return RenderedMesh(_halved(rgb), _halved(alpha), _halved(fragments.depth))


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2x2 pixels."""
    left, right = image[:, ::2], image[:, 1::2]
    return (left[::2] + right[::2] + left[1::2] + right[1::2]) * np.float32(0.25)
