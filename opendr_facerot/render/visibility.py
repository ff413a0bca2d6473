"""Which face each sample of a view sees: a visibility buffer.

After Burns and Hunt, "The Visibility Buffer", JCGT 2(2), 2013: first the nearest face of every
sample is found, with nothing but its number kept, then only what is seen gets shaded. Depth and
face share one 64-bit number whose maximum wins, so that a sample is written without a branch.

The same samples see the same faces as in :mod:`opendr_facerot.render.rasterize`, rounding aside;
that module's exact rules, and the weights and depth that it gives for each sample, cost about
three times as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import kernel

_BLOCK = 4096  # faces that one thread looks at a time


class VisibleFaces:
    """The faces of a mesh that a camera can see, ready to be drawn.

    Args:
        screen: ``(V, 3)`` float32, or with more columns: x and y in samples of the image, integer
            at sample centres, x to the right and y down; and 1 / depth.
        faces: ``(F, 3)`` int32, counter-clockwise as seen from outside.
        size: Side of the image, samples.
        nearest: Greatest 1 / depth; faces with a vertex that is nearer, or is not before the
            camera, are not drawn.
        threads: Number of threads; None for all. Does not affect the result.
    """

    def __init__(
        self,
        screen: NDArray[np.float32],
        faces: NDArray[np.int32],
        size: int,
        nearest: float,
        threads: int | None = None,
    ) -> None:
        blocks = -(-len(faces) // _BLOCK)
        self._mesh = screen, faces
        self._boxes = np.empty((len(faces), 5), np.int32)
        self._found = np.empty(blocks, np.int64)

        def find(first: int, last: int) -> None:
            _find_faces(
                screen, faces, size, np.float32(nearest), first, last, self._boxes, self._found
            )

        run_bands(find, blocks, threads)

    def draw(self, top: int, keys: NDArray[np.uint64]) -> None:
        """Find what the image's rows from ``top`` on see.

        Args:
            top: Row of the image that ``keys`` begins at.
            keys: ``(rows, size)`` uint64 to write to: of the nearest face, the lowest among equals,
                ``~face`` in the lower 32 bits, and the bits of its float32 1 / depth above; 0 where
                there is no face. So ``~np.int32(key)`` is the face, -1 for none.
        """
        _draw_faces(*self._mesh, self._boxes, self._found, top, keys)


@kernel
def _find_faces(screen, faces, size, nearest, first, last, boxes, found):  # type: ignore[no-untyped-def]
    """Find the faces of the blocks ``first`` to ``last`` that can cover a sample.

    Each block writes, from its own first face's place on, the number of its ``found`` faces and
    the samples they can cover: first and last column, first and last row.
    """
    zero, end = np.float32(0.0), np.float32(size - 1)
    for block in range(first, last):
        place = block * _BLOCK
        for f in range(block * _BLOCK, min((block + 1) * _BLOCK, len(faces))):
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            x0, y0, z0 = screen[i, 0], screen[i, 1], screen[i, 2]
            x1, y1, z1 = screen[j, 0], screen[j, 1], screen[j, 2]
            x2, y2, z2 = screen[k, 0], screen[k, 1], screen[k, 2]
            # Also where a coordinate is not a number.
            if not (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) < zero:
                continue
            if not (min(z0, z1, z2) > zero and max(z0, z1, z2) <= nearest):
                continue
            left = np.int32(np.ceil(max(min(x0, x1, x2), zero)))
            right = np.int32(np.floor(min(max(x0, x1, x2), end)))
            top = np.int32(np.ceil(max(min(y0, y1, y2), zero)))
            bottom = np.int32(np.floor(min(max(y0, y1, y2), end)))
            if left > right or top > bottom:
                continue
            boxes[place, 0] = f
            boxes[place, 1], boxes[place, 2] = left, right
            boxes[place, 3], boxes[place, 4] = top, bottom
            place += 1
        found[block] = place - block * _BLOCK


@kernel
def _draw_faces(screen, faces, boxes, found, first_row, keys):  # type: ignore[no-untyped-def]
    """Draw the found faces into the rows of an image from ``first_row`` on."""
    keys[:] = np.uint64(0)
    last_row = first_row + len(keys) - 1
    for block in range(len(found)):
        for place in range(block * _BLOCK, block * _BLOCK + found[block]):
            top, bottom = max(boxes[place, 3], first_row), min(boxes[place, 4], last_row)
            if top > bottom:
                continue
            f = boxes[place, 0]
            i, j, k = np.uintp(faces[f, 0]), np.uintp(faces[f, 1]), np.uintp(faces[f, 2])
            x0, y0, z0 = screen[i, 0], screen[i, 1], screen[i, 2]
            x1, y1, z1 = screen[j, 0], screen[j, 1], screen[j, 2]
            x2, y2, z2 = screen[k, 0], screen[k, 1], screen[k, 2]
            ax, ay = x1 - x0, y1 - y0
            bx, by = x2 - x1, y2 - y1
            cx, cy = x0 - x2, y0 - y2
            # 1 / depth is linear on the screen. Rounding must not take a sliver out of its range.
            area = cx * ay - ax * cy
            slope_x = ((z2 - z0) * -ay - (z1 - z0) * cy) / area
            slope_y = ((z2 - z0) * ax + (z1 - z0) * cx) / area
            low, high = min(z0, z1, z2), max(z0, z1, z2)
            name = np.uint64(np.uint32(~f))
            left, right = boxes[place, 1], boxes[place, 2]
            for row in range(top, bottom + 1):
                y = np.float32(row)
                edge0, edge1, edge2 = (y - y0) * ax, (y - y1) * bx, (y - y2) * cx
                start = z0 + slope_y * (y - y0)
                line = np.uintp(row - first_row)
                for column in range(left, right + 1):
                    x = np.float32(column)
                    inside = (
                        ((x - x0) * ay >= edge0)
                        & ((x - x1) * by >= edge1)
                        & ((x - x2) * cy >= edge2)
                    )
                    depth = min(max(start + slope_x * (x - x0), low), high)
                    key = (np.uint64(np.float32(depth).view(np.uint32)) << np.uint64(32)) | name
                    at = np.uintp(column)
                    there = keys[line, at]
                    keys[line, at] = key if inside & (key > there) else there
