"""Rasteriser for the CPU: Numba kernels over bins of image rows.

Faces that cannot be drawn are dropped first; each bin then holds, in face order, the faces that
reach its rows, so that no two threads write to one pixel and the result does not depend on their
number. The rules are in :mod:`opendr_facerot.render.rasterize`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.pixel_bounds import BOUNDS
from opendr_facerot.render.reference import Planes, pixel_centres

_BIN_ROWS = 16


def rasterize(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    image_size: int,
    *,
    near: float,
    far: float,
    device: str,
    threads: int | None = None,
) -> Planes:
    """Fields of Fragments, each with a leading batch axis, for ``(B, V, 3)`` vertices.

    ``threads``, the number of threads, does not affect the result; None means all.
    """
    del device
    shape = (len(vertices), image_size, image_size)
    face_index = np.empty(shape, np.int32)
    barycentric = np.empty((*shape, 3), np.float32)
    depth = np.empty(shape, np.float32)
    for b, mesh in enumerate(vertices):
        out = face_index[b], barycentric[b], depth[b]
        _rasterize_mesh(mesh, faces, np.float32(near), np.float32(far), threads, out)
    return face_index, barycentric, depth


def _rasterize_mesh(
    mesh: NDArray[np.float32],
    faces: NDArray[np.int32],
    near: np.float32,
    far: np.float32,
    threads: int | None,
    out: Planes,
) -> None:
    image_size = len(out[0])
    centres = pixel_centres(image_size)
    boxes = np.empty((len(faces), 4), np.int32)
    bins = -(-image_size // _BIN_ROWS)

    def find(first: int, last: int) -> None:
        _find_boxes(mesh, faces, image_size, BOUNDS, first, last, boxes)

    def draw(first: int, last: int) -> None:
        _draw_bins(mesh, faces, boxes, starts, members, centres, near, far, first, last, *out)

    if len(faces):
        run_bands(find, len(faces), threads)
    starts, members = _fill_bins(boxes, bins)
    run_bands(draw, bins, threads)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _in_pixels(coordinate, size):  # type: ignore[no-untyped-def]
    return np.float32(0.5) * (coordinate * size + size - np.float32(1.0))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _first_pixel(coordinate, size, slack):  # type: ignore[no-untyped-def]
    """The lowest pixel whose centre may lie at ``coordinate`` or above."""
    pixel = np.ceil((coordinate * size + (size - 1.0)) * 0.5 - slack)
    return np.int32(min(max(pixel, 0.0), size))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _last_pixel(coordinate, size, slack):  # type: ignore[no-untyped-def]
    """The highest pixel whose centre may lie at ``coordinate`` or below."""
    pixel = np.floor((coordinate * size + (size - 1.0)) * 0.5 + slack)
    return np.int32(min(max(pixel, -1.0), size - 1.0))


@njit(nogil=True, cache=True, error_model="numpy")
def _find_boxes(  # type: ignore[no-untyped-def]
    vertices, faces, image_size, bounds, first, last, boxes
):
    """Pixels that each face can cover: first and last column, first and last row from the bottom.

    Faces that cover none get a last row below their first row.
    """
    size, extent = np.float32(image_size), np.float64(image_size)
    for f in range(first, last):
        x0, y0 = vertices[faces[f, 0], 0], vertices[faces[f, 0], 1]
        x1, y1 = vertices[faces[f, 1], 0], vertices[faces[f, 1], 1]
        x2, y2 = vertices[faces[f, 2], 0], vertices[faces[f, 2], 1]
        boxes[f, 2], boxes[f, 3] = 0, -1
        if (y2 - y0) * (x1 - x0) < (y1 - y0) * (x2 - x0):
            continue
        low_x, high_x = np.float64(min(x0, x1, x2)), np.float64(max(x0, x1, x2))
        low_y, high_y = np.float64(min(y0, y1, y2)), np.float64(max(y0, y1, y2))
        px0, py0 = _in_pixels(x0, size), _in_pixels(y0, size)
        px1, py1 = _in_pixels(x1, size), _in_pixels(y1, size)
        px2, py2 = _in_pixels(x2, size), _in_pixels(y2, size)
        determinant = px2 * (py0 - py1) + px0 * (py1 - py2) + px1 * (py2 - py0)
        if determinant == 0.0 or not np.isfinite(np.float64(px0) + px1 + px2 + py0 + py1 + py2):
            continue
        side = max(high_x - low_x, high_y - low_y)
        area2 = (np.float64(x1) - x0) * (np.float64(y2) - y0) - (np.float64(x2) - x0) * (
            np.float64(y1) - y0
        )
        if area2 < bounds.thin * side * side or not bounds.min_side < side < bounds.max_side:
            boxes[f] = 0, image_size - 1, 0, image_size - 1
            continue
        margin = bounds.margin * side * side * side / area2
        boxes[f, 0] = _first_pixel(low_x - margin, extent, bounds.slack)
        boxes[f, 1] = _last_pixel(high_x + margin, extent, bounds.slack)
        if boxes[f, 1] >= boxes[f, 0]:
            boxes[f, 2] = _first_pixel(low_y - margin, extent, bounds.slack)
            boxes[f, 3] = _last_pixel(high_y + margin, extent, bounds.slack)


@njit(nogil=True, cache=True)
def _fill_bins(boxes, bins):  # type: ignore[no-untyped-def]
    """Faces by bins of rows: bin k holds ``members[starts[k] : starts[k + 1]]``, ascending."""
    starts = np.zeros(bins + 1, np.int64)
    for f in range(len(boxes)):
        if boxes[f, 3] >= boxes[f, 2]:
            for k in range(boxes[f, 2] // _BIN_ROWS, boxes[f, 3] // _BIN_ROWS + 1):
                starts[k + 1] += 1
    starts = np.cumsum(starts)
    members = np.empty(starts[-1], np.int32)
    cursor = starts[:-1].copy()
    for f in range(len(boxes)):
        if boxes[f, 3] >= boxes[f, 2]:
            for k in range(boxes[f, 2] // _BIN_ROWS, boxes[f, 3] // _BIN_ROWS + 1):
                members[cursor[k]] = f
                cursor[k] += 1
    return starts, members


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _clamped(weight):  # type: ignore[no-untyped-def]
    if not weight > np.float32(0.0):  # also when it is not a number
        return np.float32(0.0)
    return min(weight, np.float32(1.0))


@njit(nogil=True, cache=True, error_model="numpy")
def _draw_bins(  # type: ignore[no-untyped-def]
    vertices,
    faces,
    boxes,
    starts,
    members,
    centres,
    near,
    far,
    first,
    last,
    face_index,
    barycentric,
    depth,
):
    """Draw the bins ``first`` to ``last`` of one mesh."""
    size = len(centres)
    extent = np.float32(size)
    for k in range(first, last):
        bottom, top = k * _BIN_ROWS, min((k + 1) * _BIN_ROWS, size) - 1
        for yi in range(bottom, top + 1):
            face_index[size - 1 - yi] = -1
            barycentric[size - 1 - yi] = 0.0
            depth[size - 1 - yi] = far
        for m in range(starts[k], starts[k + 1]):
            f = members[m]
            x0, y0, z0 = vertices[faces[f, 0]]
            x1, y1, z1 = vertices[faces[f, 1]]
            x2, y2, z2 = vertices[faces[f, 2]]
            inverted = False
            for yi in range(max(boxes[f, 2], bottom), min(boxes[f, 3], top) + 1):
                yp = centres[yi]
                edge0 = (yp - y0) * (x1 - x0)
                edge1 = (yp - y1) * (x2 - x1)
                edge2 = (yp - y2) * (x0 - x2)
                row = size - 1 - yi
                for xi in range(boxes[f, 0], boxes[f, 1] + 1):
                    xp = centres[xi]
                    if (
                        edge0 < (xp - x0) * (y1 - y0)
                        or edge1 < (xp - x1) * (y2 - y1)
                        or edge2 < (xp - x2) * (y0 - y2)
                    ):
                        continue
                    if not inverted:
                        inverted = True
                        px0, py0 = _in_pixels(x0, extent), _in_pixels(y0, extent)
                        px1, py1 = _in_pixels(x1, extent), _in_pixels(y1, extent)
                        px2, py2 = _in_pixels(x2, extent), _in_pixels(y2, extent)
                        det = px2 * (py0 - py1) + px0 * (py1 - py2) + px1 * (py2 - py0)
                        a0, b0, c0 = py1 - py2, px2 - px1, px1 * py2 - px2 * py1
                        a1, b1, c1 = py2 - py0, px0 - px2, px2 * py0 - px0 * py2
                        a2, b2, c2 = py0 - py1, px1 - px0, px0 * py1 - px1 * py0
                        a0, b0, c0 = a0 / det, b0 / det, c0 / det
                        a1, b1, c1 = a1 / det, b1 / det, c1 / det
                        a2, b2, c2 = a2 / det, b2 / det, c2 / det
                    column, line = np.float32(xi), np.float32(yi)
                    w0 = _clamped(a0 * column + b0 * line + c0)
                    w1 = _clamped(a1 * column + b1 * line + c1)
                    w2 = _clamped(a2 * column + b2 * line + c2)
                    total = w0 + w1 + w2
                    w0, w1, w2 = w0 / total, w1 / total, w2 / total
                    z = np.float32(1.0) / (w0 / z0 + w1 / z1 + w2 / z2)
                    if z > near and z < far and z < depth[row, xi]:
                        depth[row, xi] = z
                        face_index[row, xi] = f
                        barycentric[row, xi, 0] = w0
                        barycentric[row, xi, 1] = w1
                        barycentric[row, xi, 2] = w2
