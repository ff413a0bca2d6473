"""Rasterisation of triangle meshes: one entry point, several backends with the same result.

Coordinates
    Vertices are in normalised device coordinates: x to the right, y up, both in [-1, 1] across the
    image, and z the depth from the camera, positive, smaller = nearer. Pixel column i of an image
    of R pixels has its centre at x = (2i + 1 - R) / R; :func:`ndc_from_pixels` converts from the
    package's pixel coordinates. Row 0 of every result is the top row.

Rules (those of Kato et al., "Neural 3D Mesh Renderer", CVPR 2018)
    Clockwise triangles (seen with y up) are culled. A pixel is covered when its centre is inside
    or on an edge. Depth is interpolated harmonically, 1 / sum(w_k / z_k), and must lie strictly
    between near and far. The nearest triangle wins, the lowest face index among equals.
    Triangles without area, or with an x or y that is not a finite number, are never drawn.
    All arithmetic is IEEE float32 without fused multiply-add.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.errors import DeviceError, SettingsError

_MODULES = {
    "cpu": "opendr_facerot.render.cpu",
    "torch": "opendr_facerot.render.torch_",
    "neural_renderer": "opendr_facerot.render.neural_renderer",
    "reference": "opendr_facerot.render.reference",
}
_PACKAGES = {"torch": "torch", "neural_renderer": "neural_renderer"}


@dataclass(frozen=True, eq=False)
class Fragments:
    """What each pixel of a square image sees. A batch of B meshes adds a leading axis B.

    Attributes:
        face_index: ``(R, R)`` int32, the face that covers the pixel's centre; -1 for none.
        barycentric: ``(R, R, 3)`` float32 weights of the face's vertices, in [0, 1] with sum 1, on
            the screen (not perspective-corrected); 0 for none.
        depth: ``(R, R)`` float32; ``far`` for none.
    """

    face_index: NDArray[np.int32]
    barycentric: NDArray[np.float32]
    depth: NDArray[np.float32]


def rasterize(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    image_size: int,
    *,
    near: float = 0.1,
    far: float = 100.0,
    backend: str = "cpu",
    device: str = "cpu",
) -> Fragments:
    """Find the nearest triangle at every pixel centre.

    Args:
        vertices: ``(V, 3)``, or ``(B, V, 3)`` for B meshes with the same faces; rounded to float32.
        faces: ``(F, 3)`` vertex indices.
        image_size: Side R of the image in pixels.
        near: Fragments at this depth or nearer are not drawn; at least 0.
        far: Fragments at this depth or farther are not drawn.
        backend: ``"cpu"`` (Numba, threaded), ``"torch"`` (any torch device), ``"neural_renderer"``
            (that CUDA package, where installed) or ``"reference"`` (NumPy; slow and simple).
        device: Where the backend computes: ``"cpu"``, or for ``"torch"`` and
            ``"neural_renderer"`` also e.g. ``"cuda:0"``.

    Raises:
        DeviceError: The backend or the device does not exist here.
        SettingsError: ``image_size``, ``near`` or ``far`` makes no sense.
        ValueError: The arrays do not describe a mesh.
    """
    if image_size < 1:
        raise SettingsError(f"image_size is {image_size}: give at least 1 pixel")
    if not 0.0 <= near < far:
        raise SettingsError(f"near {near} and far {far}: give 0 <= near < far")
    # Numba would compile again for arrays that cannot be written to.
    mesh = np.require(vertices, np.float32, ["C", "W"])
    triangles = np.asarray(faces)
    if mesh.ndim not in (2, 3) or mesh.shape[-1] != 3:
        raise ValueError(f"vertices have shape {mesh.shape}: expected (V, 3) or (B, V, 3)")
    check_faces(triangles, mesh.shape[-2])
    fragments = _backend(backend, device).rasterize(
        mesh if mesh.ndim == 3 else mesh[None],
        np.require(triangles, np.int32, ["C", "W"]),
        image_size,
        near=near,
        far=far,
        device=device,
    )
    if mesh.ndim == 3:
        return Fragments(*fragments)
    return Fragments(*(plane[0] for plane in fragments))


def ndc_from_pixels(points_px: ArrayLike, image_size: int) -> NDArray[np.floating]:
    """Normalised device coordinates ``(..., 2)`` of pixel coordinates ``(..., 2)``.

    Pixel coordinates have integer pixel centres, x to the right and y down.
    """
    points = np.asarray(points_px)
    x = (2.0 * points[..., 0] + (1 - image_size)) / image_size
    y = ((image_size - 1) - 2.0 * points[..., 1]) / image_size
    return np.stack([x, y], axis=-1)


def available_backends() -> tuple[str, ...]:
    """Names of the backends whose packages are installed, the default first."""
    return tuple(name for name in _MODULES if _is_installed(name))


def _is_installed(name: str) -> bool:
    return name not in _PACKAGES or find_spec(_PACKAGES[name]) is not None


def check_faces(faces: NDArray[np.integer], vertex_count: int) -> None:
    """Raise ValueError unless ``faces`` is an ``(F, 3)`` array of indices of the vertices."""
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"faces are {faces.dtype} {faces.shape}: expected integers (F, 3)")
    if faces.size and not 0 <= faces.min() <= faces.max() < vertex_count:
        raise ValueError(
            f"faces refer to vertices {faces.min()} to {faces.max()}, "
            f"but the mesh has {vertex_count}: indices start at 0"
        )


def _backend(name: str, device: str) -> ModuleType:
    if name not in _MODULES or not _is_installed(name):
        problem = "is not installed" if name in _MODULES else "does not exist"
        raise DeviceError(
            f"render backend {name!r} {problem}: choose from {', '.join(available_backends())}"
        )
    if name not in _PACKAGES and device != "cpu":
        raise DeviceError(
            f"render backend {name!r} computes on the CPU, not on {device!r}: "
            "use the 'torch' backend there"
        )
    return import_module(_MODULES[name])
