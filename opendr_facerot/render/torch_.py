"""Rasteriser for any torch device, without a loop over faces.

Every (face, pixel) pair in the faces' boxes is tested at once, in chunks of bounded memory; the
nearest face of each pixel is the minimum of (depth, face index) packed into one integer. The rules
are in :mod:`opendr_facerot.render.rasterize`. Each operation is a kernel of its own, so no device
fuses a multiplication with an addition: a GPU gives the pixels of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendr_facerot.errors import DeviceError
from opendr_facerot.render.pixel_bounds import BOUNDS
from opendr_facerot.render.reference import Planes

_CHUNK = 1 << 21  # pairs tested at once; about 100 bytes each
_EMPTY = torch.iinfo(torch.int64).max


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
    place = torch_device(device)
    planes = rasterize_tensors(
        torch.tensor(vertices, device=place),
        torch.tensor(faces, device=place),
        image_size,
        near=near,
        far=far,
    )
    face_index, barycentric, depth = (plane.cpu().numpy() for plane in planes)
    return face_index, barycentric, depth


def torch_device(name: str) -> torch.device:
    """The torch device of that name, seen to work.

    Raises:
        DeviceError: There is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"torch has no device {name!r} here ({reason}): use 'cpu'") from error
    return device


@torch.no_grad()
def rasterize_tensors(
    vertices: Tensor, faces: Tensor, image_size: int, *, near: float, far: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Fragments of tensors, computed and left on their device.

    Args:
        vertices: ``(B, V, 3)`` float32.
        faces: ``(F, 3)`` integers.
        image_size: Side R of the image in pixels.
        near: As in :func:`opendr_facerot.render.rasterize.rasterize`.
        far: Idem.

    Returns:
        Face index ``(B, R, R)`` int32, barycentric weights ``(B, R, R, 3)`` float32 and depth
        ``(B, R, R)`` float32.
    """
    batch, face_count, device = len(vertices), len(faces), vertices.device
    pixel_count = image_size * image_size
    flat_faces = faces.long().flatten()
    corners = vertices.index_select(1, flat_faces).reshape(-1, 3, 3).permute(2, 1, 0).contiguous()
    boxes = _pixel_boxes(corners, image_size)
    drawable = torch.nonzero((boxes[1] >= boxes[0]) & (boxes[3] >= boxes[2])).squeeze(1)
    corners, boxes = corners.index_select(2, drawable), boxes.index_select(1, drawable)
    edges, inverse = _edges(corners), _inverse_matrix(corners, image_size)
    face_number = drawable % max(face_count, 1)
    first_pixel = (drawable - face_number) // max(face_count, 1) * pixel_count

    nearest = torch.full((batch * pixel_count,), _EMPTY, device=device)
    for index, column, row in _pairs_in_chunks(boxes):
        outside = _outside(edges.index_select(1, index), column, row, image_size)
        covered = torch.nonzero(~outside).squeeze(1)
        index, column, row = (t.index_select(0, covered) for t in (index, column, row))
        weights = _barycentric_weights(inverse.index_select(1, index), column, row)
        z = _interpolated_depth(weights, corners[2].index_select(1, index))
        # Positive floats sort like their bits; the face number below them settles ties.
        key = (z.view(torch.int32).long() << 32) | face_number.index_select(0, index)
        key = torch.where((z > near) & (z < far), key, _EMPTY)
        pixel = first_pixel.index_select(0, index) + (image_size - 1 - row) * image_size + column
        nearest.scatter_reduce_(0, pixel, key, "amin")

    drawn = nearest != _EMPTY
    face_index = torch.where(drawn, nearest & 0xFFFFFFFF, -1).int()
    depth = torch.where(drawn, (nearest >> 32).int().view(torch.float32), far)
    shape = (batch, image_size, image_size)
    face_index, depth = face_index.reshape(shape), depth.reshape(shape)
    return face_index, barycentric_at(face_index, vertices, faces), depth


def barycentric_at(face_index: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Barycentric weights ``(B, R, R, 3)`` of the pixel centres in the faces they see.

    Args:
        face_index: ``(B, R, R)`` int32, -1 where there is no face: the weights are 0 there.
        vertices: ``(B, V, 3)`` float32.
        faces: ``(F, 3)`` integers.
    """
    image_size = face_index.shape[-1]
    mesh, row, column = torch.nonzero(face_index >= 0).unbind(1)
    chosen = faces.long().index_select(0, face_index[mesh, row, column].long())
    corners = vertices[mesh[:, None], chosen].permute(2, 1, 0)
    inverse = _inverse_matrix(corners, image_size)
    weights = torch.zeros((*face_index.shape, 3), device=face_index.device)
    weights[mesh, row, column] = _barycentric_weights(inverse, column, image_size - 1 - row).T
    return weights


# Below, ``corners`` are (3 coordinates, 3 vertices, N triangles): whole rows are contiguous.


def _in_pixels(coordinates: Tensor, image_size: int) -> Tensor:
    return (coordinates * image_size + image_size - 1) * 0.5


def _pixel_boxes(corners: Tensor, image_size: int) -> Tensor:
    """Pixels ``(4, N)`` that triangles can cover: first, last column; first, last row from below.

    Those that cover none have a last column or row below the first.
    """
    (x0, x1, x2), (y0, y1, y2) = corners[0], corners[1]
    clockwise = (y2 - y0) * (x1 - x0) < (y1 - y0) * (x2 - x0)
    pixels = _in_pixels(corners[:2], image_size)
    drawn = ~clockwise & (_determinant(pixels) != 0.0) & pixels.isfinite().all(0).all(0)

    exact = corners[:2].double()
    low, high = exact.amin(1), exact.amax(1)
    side = (high - low).amax(0)
    (dx1, dy1), (dx2, dy2) = exact[:, 1] - exact[:, 0], exact[:, 2] - exact[:, 0]
    area2 = dx1 * dy2 - dx2 * dy1
    thin = area2 < BOUNDS.thin * side * side
    thin |= ~((side > BOUNDS.min_side) & (side < BOUNDS.max_side))
    margin = torch.where(thin, torch.inf, BOUNDS.margin * side * side * side / area2)
    first = (((low - margin) * image_size + (image_size - 1)) * 0.5 - BOUNDS.slack).ceil()
    last = (((high + margin) * image_size + (image_size - 1)) * 0.5 + BOUNDS.slack).floor()
    first = torch.where(drawn, first, torch.inf).clamp(0, image_size).int()
    last = torch.where(drawn, last, -torch.inf).clamp(-1, image_size - 1).int()
    return torch.stack([first[0], last[0], first[1], last[1]])


def _pairs_in_chunks(boxes: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Index of the box, column and row from below of every pixel of every box."""
    left, width, bottom = boxes[0], boxes[1] - boxes[0] + 1, boxes[2]
    count = (width * (boxes[3] - bottom + 1)).long()
    end = count.cumsum(0)
    total = int(end[-1]) if len(end) else 0
    # A chunk is a range of boxes, the last of which may exceed the chunk's size.
    targets = torch.arange(_CHUNK, total + _CHUNK, _CHUNK, device=boxes.device)
    cuts = (torch.searchsorted(end, targets) + 1).clamp(max=len(count)).tolist()
    for first, last in pairwise([0, *cuts]):
        part = torch.arange(first, last, dtype=torch.int32, device=boxes.device)
        index = part.repeat_interleave(count[first:last])
        start = end[first:last] - count[first:last]
        start = (start - start[:1]).int()
        offset = torch.arange(len(index), dtype=torch.int32, device=boxes.device)
        offset -= start.index_select(0, index - first)
        across = width.index_select(0, index)
        up = offset.div(across, rounding_mode="floor")
        column = left.index_select(0, index) + offset - up * across
        yield index, column, bottom.index_select(0, index) + up


def _edges(corners: Tensor) -> Tensor:
    """Start x, start y, extent in x and extent in y of the three edges, ``(12, N)``."""
    start = corners[:2]
    return torch.cat([start, start.roll(-1, 1) - start]).flatten(0, 1)


def _outside(edges: Tensor, column: Tensor, row: Tensor, image_size: int) -> Tensor:
    xp = (2 * column + (1 - image_size)).float() / image_size
    yp = (2 * row + (1 - image_size)).float() / image_size
    xs, ys, dx, dy = edges.reshape(4, 3, -1)
    outside = (yp - ys[0]) * dx[0] < (xp - xs[0]) * dy[0]
    outside |= (yp - ys[1]) * dx[1] < (xp - xs[1]) * dy[1]
    outside |= (yp - ys[2]) * dx[2] < (xp - xs[2]) * dy[2]
    return outside


def _determinant(pixels: Tensor) -> Tensor:
    (x0, x1, x2), (y0, y1, y2) = pixels
    return x2 * (y0 - y1) + x0 * (y1 - y2) + x1 * (y2 - y0)


def _inverse_matrix(corners: Tensor, image_size: int) -> Tensor:
    """Matrices ``(9, N)`` from (column, row from below, 1) to barycentric weights."""
    pixels = _in_pixels(corners[:2], image_size)
    (x0, x1, x2), (y0, y1, y2) = pixels
    adjugate = torch.stack(
        [y1 - y2, x2 - x1, x1 * y2 - x2 * y1]
        + [y2 - y0, x0 - x2, x2 * y0 - x0 * y2]
        + [y0 - y1, x1 - x0, x0 * y1 - x1 * y0]
    )
    return adjugate / _determinant(pixels)


def _barycentric_weights(inverse: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Weights ``(3, N)`` at pixels ``(N,)``."""
    by_column, by_row, constant = inverse.reshape(3, 3, -1).unbind(1)
    weights = by_column * column.float() + by_row * row.float() + constant
    weights = torch.where(weights > 0.0, weights, 0.0).clamp(max=1.0)  # NaN becomes 0
    return weights / (weights[0] + weights[1] + weights[2])


def _interpolated_depth(weights: Tensor, z: Tensor) -> Tensor:
    share = weights / z
    return 1.0 / (share[0] + share[1] + share[2])
