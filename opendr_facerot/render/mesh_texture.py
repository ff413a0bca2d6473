"""Colours of a mesh's triangles: taken from a photo, and looked up in texture cells.

A texture is either one colour per triangle, ``(F, 3)``, or a cell of ``side**3`` colours per
triangle, ``(F, side, side, side, 3)``, whose axis k belongs to the triangle's vertex k, after
Kato et al., "Neural 3D Mesh Renderer", CVPR 2018.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.rasterize import Fragments


def nearest_colours(
    image: NDArray[np.float32], points_px: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Colour of the pixel nearest to each point, whether or not the photo shows that point.

    Args:
        image: ``(H, W, C)`` float32.
        points_px: ``(N, 2)`` or ``(N, 3)`` pixels; points outside take the border's colour, points
            half-way between two pixels the one with the even index.

    Returns:
        ``(N, C)`` float32.
    """
    height, width = image.shape[:2]
    column = np.clip(np.rint(points_px[:, 0]), 0, width - 1).astype(np.intp)
    row = np.clip(np.rint(points_px[:, 1]), 0, height - 1).astype(np.intp)
    return image[row, column]


def mean_face_colours(
    vertex_colours: NDArray[np.float32], faces: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Mean colour ``(F, C)`` of each triangle's vertices, of ``(N, C)`` colours."""
    first, second, third = (vertex_colours[faces[:, k]] for k in range(3))
    return np.asarray((first + second + third) / np.float32(3.0))


def two_sided(
    faces: NDArray[np.integer], textures: NDArray[np.float32]
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Faces ``(2F, 3)`` and textures with a back for each triangle; the back of f is f + F."""
    backs = textures if textures.ndim == 2 else textures.transpose(0, 3, 2, 1, 4)
    return np.concatenate([faces, faces[:, ::-1]]), np.concatenate([textures, backs])


def texture_colours(
    fragments: Fragments,
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    textures: NDArray[np.float32],
    *,
    background: tuple[float, float, float],
    eps: float,
) -> NDArray[np.float32]:
    """Colour of every pixel.

    Args:
        fragments: Of ``vertices`` and ``faces``.
        vertices: ``(V, 3)``; only the depth is used.
        faces: ``(F, 3)`` vertex indices.
        textures: One colour or a cell of colours per face.
        background: RGB where there is no face.
        eps: How far the cell's far side stays out of reach of its coordinates.

    Returns:
        ``(R, R, 3)`` float32.
    """
    if textures.ndim == 2:
        # The index of no face, -1, wraps to the last row.
        table = np.concatenate([textures, np.array([background], np.float32)])
        return np.take(table, fragments.face_index, axis=0, mode="wrap")
    colours = np.empty((*fragments.face_index.shape, 3), np.float32)
    colours[:] = background
    covered = fragments.face_index >= 0
    face = fragments.face_index[covered]
    index, weight = cell_corners(
        fragments.barycentric[covered],
        fragments.depth[covered],
        vertices[faces[face], 2].astype(np.float32),
        side=textures.shape[1],
        eps=eps,
    )
    cells = textures.reshape(len(textures), -1, 3)
    colour = np.zeros((len(face), 3), np.float32)
    for corner in range(8):
        colour += weight[:, corner, None] * cells[face, index[:, corner]]
    colours[covered] = colour
    return colours


def cell_corners(
    barycentric: NDArray[np.float32],
    depth: NDArray[np.float32],
    vertex_depth: NDArray[np.float32],
    *,
    side: int,
    eps: float,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Where fragments lie in their texture cells, for trilinear interpolation.

    Args:
        barycentric: ``(M, 3)`` weights on the screen.
        depth: ``(M,)``.
        vertex_depth: ``(M, 3)`` depths of the triangle's vertices.
        side: Colours along each axis of a cell.
        eps: How far the coordinates stay below ``side - 1``.

    Returns:
        Indices ``(M, 8)`` into the flattened cell, and weights ``(M, 8)`` float32. Bit k of a
        corner's number is its offset along axis k.
    """
    if side == 1:
        return np.zeros((len(depth), 8), np.intp), np.full((len(depth), 8), 0.125, np.float32)
    correction = depth[:, None] / vertex_depth  # weights are linear on the screen, colours in space
    position = barycentric * np.float32(side - 1) * correction
    position = np.clip(position, np.float32(0.0), np.float32(side - 1) - np.float32(eps))
    low = np.minimum(position.astype(np.intp), side - 2)  # eps may be lost in rounding
    fraction = position - low.astype(np.float32)
    strides = np.array([side * side, side, 1])
    index = np.empty((len(depth), 8), np.intp)
    weight = np.ones((len(depth), 8), np.float32)
    for corner in range(8):
        offset = corner >> np.arange(3) & 1
        index[:, corner] = (low + offset) @ strides
        for k in range(3):
            weight[:, corner] *= fraction[:, k] if offset[k] else np.float32(1.0) - fraction[:, k]
    return index, weight
