"""Rasteriser for the CPU: Numba kernels over bins of image rows.

Faces that cannot be drawn are dropped first; each bin then holds, in face order, the faces that
reach its rows, so that no two threads write to one pixel and the result does not depend on their
number. The rules are in :mod:`opendr_facerot.render.rasterize`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import inlined, kernel
from opendr_facerot.render.pixel_bounds import BOUNDS
from opendr_facerot.render.reference import Planes, pixel_centres

BIN_ROWS = 16
_BLOCK = 4096  # faces that one thread sorts at a time


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
    barycentric = np.zeros((*shape, 3), np.float32)
    depth = np.empty(shape, np.float32)
    for b, mesh in enumerate(vertices):
        binned = BinnedMesh(mesh, faces, image_size, threads)

        def draw(first: int, last: int, b: int = b, binned: BinnedMesh = binned) -> None:
            binned.draw(first, last, 0, near, far, (face_index[b], barycentric[b], depth[b]))

        run_bands(draw, binned.bins, threads)
    return face_index, barycentric, depth


class BinnedMesh:
    """A mesh whose faces are sorted into bins of ``BIN_ROWS`` image rows, the lowest bin first.

    Args:
        vertices: ``(V, 3)`` float32, as in :func:`opendr_facerot.render.rasterize.rasterize`.
        faces: ``(F, 3)`` int32.
        image_size: Side of the image in pixels.
        threads: Number of threads; None for all. Does not affect the result.

    Attributes:
        bins: Number of bins. The top one may have fewer rows than the others.
    """

    def __init__(
        self,
        vertices: NDArray[np.float32],
        faces: NDArray[np.int32],
        image_size: int,
        threads: int | None = None,
    ) -> None:
        self.bins = -(-image_size // BIN_ROWS)
        self._mesh = vertices, faces
        self._centres = pixel_centres(image_size)
        blocks = -(-len(faces) // _BLOCK)
        number = np.empty(len(faces), np.int32)
        boxes = np.empty((len(faces), 4), np.int32)
        found = np.empty(blocks, np.int64)
        counts = np.zeros((blocks, self.bins), np.int64)

        def find(first: int, last: int) -> None:
            _find_faces(
                vertices, faces, image_size, BOUNDS, first, last, number, boxes, found, counts
            )

        def fill(first: int, last: int) -> None:
            _fill_bins(boxes, found, first, last, cursors, members)

        run_bands(find, blocks, threads)
        ends = counts.T.cumsum().reshape(self.bins, blocks)  # within a bin, block after block
        cursors = np.ascontiguousarray(ends.T) - counts
        members = np.empty(int(counts.sum()), np.int32)
        self._starts = np.zeros(self.bins + 1, np.int64)
        np.cumsum(counts.sum(axis=0), out=self._starts[1:])
        run_bands(fill, blocks, threads)
        self._drawable = number, boxes, members

    def rows(self, k: int) -> tuple[int, int]:
        """Image rows of bin ``k``, half-open, counted from the top."""
        size = len(self._centres)
        return max(size - (k + 1) * BIN_ROWS, 0), size - k * BIN_ROWS

    def is_empty(self, k: int) -> bool:
        """Whether no face reaches bin ``k``."""
        return bool(self._starts[k] == self._starts[k + 1])

    def draw(
        self, first: int, last: int, top_row: int, near: float, far: float, planes: Planes
    ) -> None:
        """Draw the bins ``first`` to ``last``.

        Args:
            first: First bin.
            last: The bin after the last one.
            top_row: Image row of the planes' row 0.
            near: As in :func:`opendr_facerot.render.rasterize.rasterize`.
            far: Idem.
            planes: Face index, barycentric weights and depth of whole image rows. The weights are
                left as they are where there is no face.
        """
        _draw_bins(
            *self._mesh,
            *self._drawable,
            self._starts,
            self._centres,
            np.float32(near),
            np.float32(far),
            first,
            last,
            top_row,
            *planes,
        )


@inlined
def _in_pixels(coordinate, size):  # type: ignore[no-untyped-def]
    return np.float32(0.5) * (coordinate * size + size - np.float32(1.0))


@inlined
def _first_pixel(coordinate, size, slack):  # type: ignore[no-untyped-def]
    """The lowest pixel whose centre may lie at ``coordinate`` or above."""
    pixel = np.ceil((coordinate * size + (size - 1.0)) * 0.5 - slack)
    return np.int32(min(max(pixel, 0.0), size))


@inlined
def _last_pixel(coordinate, size, slack):  # type: ignore[no-untyped-def]
    """The highest pixel whose centre may lie at ``coordinate`` or below."""
    pixel = np.floor((coordinate * size + (size - 1.0)) * 0.5 + slack)
    return np.int32(min(max(pixel, -1.0), size - 1.0))


@kernel
def _find_faces(  # type: ignore[no-untyped-def]
    vertices, faces, image_size, bounds, first, last, number, boxes, found, counts
):
    """Find the faces of the blocks ``first`` to ``last`` that can be drawn.

    Each block writes, from its own first face's place on, the numbers of its ``found`` faces and
    their boxes, the pixels that they can cover: first and last column, first and last row from the
    bottom. ``counts`` gets the number of faces by block and bin.
    """
    size, extent = np.float32(image_size), np.float64(image_size)
    for block in range(first, last):
        place = block * _BLOCK
        for f in range(block * _BLOCK, min((block + 1) * _BLOCK, len(faces))):
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            x0, y0 = vertices[i0, 0], vertices[i0, 1]
            x1, y1 = vertices[i1, 0], vertices[i1, 1]
            x2, y2 = vertices[i2, 0], vertices[i2, 1]
            if (y2 - y0) * (x1 - x0) < (y1 - y0) * (x2 - x0):
                continue
            px0, py0 = _in_pixels(x0, size), _in_pixels(y0, size)
            px1, py1 = _in_pixels(x1, size), _in_pixels(y1, size)
            px2, py2 = _in_pixels(x2, size), _in_pixels(y2, size)
            determinant = px2 * (py0 - py1) + px0 * (py1 - py2) + px1 * (py2 - py0)
            if determinant == 0.0 or not np.isfinite(np.float64(px0) + px1 + px2 + py0 + py1 + py2):
                continue
            low_x, high_x = np.float64(min(x0, x1, x2)), np.float64(max(x0, x1, x2))
            low_y, high_y = np.float64(min(y0, y1, y2)), np.float64(max(y0, y1, y2))
            side = max(high_x - low_x, high_y - low_y)
            area2 = (np.float64(x1) - x0) * (np.float64(y2) - y0) - (np.float64(x2) - x0) * (
                np.float64(y1) - y0
            )
            if area2 < bounds.thin * side * side or not (bounds.min_side < side < bounds.max_side):
                left, right, low, high = 0, image_size - 1, 0, image_size - 1
            else:
                margin = bounds.margin * side * side * side / area2
                left = _first_pixel(low_x - margin, extent, bounds.slack)
                right = _last_pixel(high_x + margin, extent, bounds.slack)
                low = _first_pixel(low_y - margin, extent, bounds.slack)
                high = _last_pixel(high_y + margin, extent, bounds.slack)
                if right < left or high < low:
                    continue
            number[place] = f
            boxes[place, 0], boxes[place, 1] = left, right
            boxes[place, 2], boxes[place, 3] = low, high
            place += 1
            for k in range(low // BIN_ROWS, high // BIN_ROWS + 1):
                counts[block, k] += 1
        found[block] = place - block * _BLOCK


@kernel
def _fill_bins(boxes, found, first, last, cursors, members):  # type: ignore[no-untyped-def]
    """Enter the places of the found faces in the bins that they reach."""
    for block in range(first, last):
        for place in range(block * _BLOCK, block * _BLOCK + found[block]):
            for k in range(boxes[place, 2] // BIN_ROWS, boxes[place, 3] // BIN_ROWS + 1):
                members[cursors[block, k]] = place
                cursors[block, k] += 1


@inlined
def _clamped(weight):  # type: ignore[no-untyped-def]
    if not weight > np.float32(0.0):  # also when it is not a number
        return np.float32(0.0)
    return min(weight, np.float32(1.0))


@kernel
def _draw_bins(  # type: ignore[no-untyped-def]
    vertices,
    faces,
    number,
    boxes,
    members,
    starts,
    centres,
    near,
    far,
    first,
    last,
    top_row,
    face_index,
    barycentric,
    depth,
):
    """Draw the bins ``first`` to ``last`` of one mesh into planes that begin at ``top_row``."""
    size = len(centres)
    extent = np.float32(size)
    lowest = size - 1 - top_row
    for k in range(first, last):
        bottom, top = k * BIN_ROWS, min((k + 1) * BIN_ROWS, size) - 1
        for yi in range(bottom, top + 1):
            face_index[lowest - yi] = -1
            depth[lowest - yi] = far
        for m in range(starts[k], starts[k + 1]):
            place = members[m]
            f = number[place]
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            x0, y0, z0 = vertices[i0, 0], vertices[i0, 1], vertices[i0, 2]
            x1, y1, z1 = vertices[i1, 0], vertices[i1, 1], vertices[i1, 2]
            x2, y2, z2 = vertices[i2, 0], vertices[i2, 1], vertices[i2, 2]

            left, right = boxes[place, 0], boxes[place, 1]
            # No fragment is nearer than the nearest vertex, rounding aside.
            nearest = min(z0, z1, z2) * np.float32(0.999999) - np.float32(1e-30)
            inverted = False
            for yi in range(max(boxes[place, 2], bottom), min(boxes[place, 3], top) + 1):
                yp = centres[yi]
                edge0 = (yp - y0) * (x1 - x0)
                edge1 = (yp - y1) * (x2 - x1)
                edge2 = (yp - y2) * (x0 - x2)
                row = np.uintp(lowest - yi)  # unsigned: Numba need not ask for negative ones
                for xi in range(left, right + 1):
                    column = np.uintp(xi)
                    xp = centres[column]
                    if (
                        edge0 < (xp - x0) * (y1 - y0)
                        or edge1 < (xp - x1) * (y2 - y1)
                        or edge2 < (xp - x2) * (y0 - y2)
                    ):
                        continue
                    if depth[row, column] <= nearest:
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
                    across, up = np.float32(xi), np.float32(yi)
                    w0 = _clamped(a0 * across + b0 * up + c0)
                    w1 = _clamped(a1 * across + b1 * up + c1)
                    w2 = _clamped(a2 * across + b2 * up + c2)
                    total = w0 + w1 + w2
                    w0, w1, w2 = w0 / total, w1 / total, w2 / total
                    z = np.float32(1.0) / (w0 / z0 + w1 / z1 + w2 / z2)
                    if z > near and z < far and z < depth[row, column]:
                        depth[row, column] = z
                        face_index[row, column] = f
                        barycentric[row, column, 0] = w0
                        barycentric[row, column, 1] = w1
                        barycentric[row, column, 2] = w2
