"""The rasteriser's rules, one face after the other over the whole image.

The oracle that the fast backends are tested against; see :mod:`opendr_facerot.render.rasterize`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Planes = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]


def rasterize(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    image_size: int,
    *,
    near: float,
    far: float,
    device: str,
) -> Planes:
    """Fields of Fragments, each with a leading batch axis, for ``(B, V, 3)`` vertices."""
    del device  # NumPy computes on the CPU
    shape = (len(vertices), image_size, image_size)
    face_index = np.full(shape, -1, np.int32)
    barycentric = np.zeros((*shape, 3), np.float32)
    depth = np.full(shape, far, np.float32)
    nearest, farthest = np.float32(near), np.float32(far)
    centres = pixel_centres(image_size)
    with np.errstate(all="ignore"):
        for b, mesh in enumerate(vertices):
            for f, face in enumerate(faces):
                triangle = mesh[face]
                if _clockwise(triangle) or not _has_area(triangle, image_size):
                    continue
                yi, xi = np.nonzero(_covered(triangle, centres))
                weights = barycentric_weights(triangle, xi, yi, image_size)
                z = interpolated_depth(weights, triangle[:, 2])
                row = image_size - 1 - yi
                drawn = (z > nearest) & (z < farthest) & (z < depth[b, row, xi])
                pixels = b, row[drawn], xi[drawn]
                face_index[pixels] = f
                barycentric[pixels] = weights[drawn]
                depth[pixels] = z[drawn]
    return face_index, barycentric, depth


def pixel_centres(image_size: int) -> NDArray[np.float32]:
    """``(R,)`` float32 NDC of the columns' centres; with y up also those of the rows."""
    return ((2 * np.arange(image_size) + 1 - image_size) / image_size).astype(np.float32)


def inverse_matrix(triangles: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """Matrices that take pixels (column, row from the bottom, 1) to barycentric weights.

    Args:
        triangles: ``(..., 3, 3)`` NDC of the three vertices.
        image_size: Pixels.

    Returns:
        ``(..., 3, 3)`` float32: the inverse of the matrix whose columns are the vertices (x, y, 1)
        in pixels, as adjugate over determinant; not finite for a triangle without area.
    """
    x0, x1, x2, y0, y1, y2 = _in_pixels(triangles, image_size)
    adjugate = np.stack(
        [y1 - y2, x2 - x1, x1 * y2 - x2 * y1]
        + [y2 - y0, x0 - x2, x2 * y0 - x0 * y2]
        + [y0 - y1, x1 - x0, x0 * y1 - x1 * y0],
        axis=-1,
    )
    inverse = adjugate / _determinant(triangles, image_size)[..., None]
    return np.asarray(inverse.reshape(*inverse.shape[:-1], 3, 3))


def barycentric_weights(
    triangles: NDArray[np.float32],
    column: NDArray[np.integer],
    row_from_bottom: NDArray[np.integer],
    image_size: int,
) -> NDArray[np.float32]:
    """Weights ``(..., 3)`` of the vertices at pixels, clamped to [0, 1] and normalised.

    Args:
        triangles: ``(..., 3, 3)`` or ``(3, 3)`` NDC of the three vertices.
        column: ``(...)``.
        row_from_bottom: ``(...)``.
        image_size: Pixels.
    """
    inverse = inverse_matrix(triangles, image_size)
    x = column.astype(np.float32)[..., None]
    y = row_from_bottom.astype(np.float32)[..., None]
    weights = inverse[..., 0] * x + inverse[..., 1] * y + inverse[..., 2]
    weights = np.fmin(np.fmax(weights, np.float32(0.0)), np.float32(1.0))  # NaN becomes 0
    total = weights[..., 0] + weights[..., 1] + weights[..., 2]
    return np.asarray(weights / total[..., None])


def interpolated_depth(weights: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth ``(...)`` at weights ``(..., 3)`` between vertices of depth ``(..., 3)``."""
    share = weights / z
    return np.asarray(np.float32(1.0) / (share[..., 0] + share[..., 1] + share[..., 2]))


def _in_pixels(triangles: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """The three x, then the three y, ``(6, ...)``, in pixels from the bottom left one's centre."""
    size = np.float32(image_size)
    pixels = np.float32(0.5) * (triangles[..., :2] * size + size - np.float32(1.0))
    return np.moveaxis(pixels, (-1, -2), (0, 1)).reshape(6, *triangles.shape[:-2])


def _determinant(triangles: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """Twice the area ``(...)`` in pixels."""
    x0, x1, x2, y0, y1, y2 = _in_pixels(triangles, image_size)
    return np.asarray(x2 * (y0 - y1) + x0 * (y1 - y2) + x1 * (y2 - y0))


def _has_area(triangle: NDArray[np.float32], image_size: int) -> bool:
    finite = np.isfinite(_in_pixels(triangle, image_size)).all()
    return bool(finite and _determinant(triangle, image_size) != 0.0)


def _clockwise(triangle: NDArray[np.float32]) -> bool:
    (x0, y0), (x1, y1), (x2, y2) = triangle[:, :2]
    return bool((y2 - y0) * (x1 - x0) < (y1 - y0) * (x2 - x0))


def _covered(triangle: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.bool_]:
    """``(R, R)``, row 0 at the bottom: centres inside the triangle or on its edges."""
    covered = np.ones((len(centres), len(centres)), bool)
    x, y = centres[None, :], centres[:, None]
    for start, end in ((0, 1), (1, 2), (2, 0)):
        xs, ys = triangle[start, :2]
        xe, ye = triangle[end, :2]
        covered &= ~((y - ys) * (xe - xs) < (x - xs) * (ye - ys))
    return covered
