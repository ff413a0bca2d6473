"""What the benchmark works on, made of one photo or of nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.views import View

NINE_VIEWS = facerot.view_grid(yaw=range(-60, 61, 15), degrees=True)

VIEW_SERIES = (
    [View(np.pi / 6, 0.0)],
    NINE_VIEWS,
    facerot.view_grid(yaw=range(-90, 91, 5), degrees=True),
    facerot.view_grid(yaw=range(-60, 61, 10), pitch=range(-30, 31, 5), degrees=True),
)
"""1, 9, 37 and 169 views."""

_PHOTO_SIDE = 512


def square_photo(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo on a square of 512 pixels, ``(512, 512, 3)`` uint8 RGB."""
    height, width = photo.shape[:2]
    scale = _PHOTO_SIDE / max(height, width)
    matrix = np.array(
        [
            [scale, 0.0, (_PHOTO_SIDE - scale * width) / 2],
            [0.0, scale, (_PHOTO_SIDE - scale * height) / 2],
        ]
    )
    size = (_PHOTO_SIDE, _PHOTO_SIDE)
    return np.asarray(cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REPLICATE))


def ellipsoid(rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A closed surface that fills most of the image [-1, 1]² at depths around 2.7.

    Returns:
        Vertices ``(rows * columns, 3)`` and ``2 * columns * (rows - 1)`` triangles, front ones
        towards the viewer.
    """
    polar, around = np.meshgrid(
        np.linspace(0.0, np.pi, rows),
        np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False),
        indexing="ij",
    )
    x = 0.7 * np.sin(polar) * np.cos(around)
    z = 2.7 + 0.7 * np.sin(polar) * np.sin(around)
    vertices = np.stack([x, 0.9 * np.cos(polar), z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    here, below = index[:-1], index[1:]
    right, below_right = (np.roll(row, -1, axis=1) for row in (here, below))
    corners = [here, below, right], [right, below, below_right]
    faces = [np.stack(triple, axis=-1).reshape(-1, 3) for triple in corners]
    return vertices, np.concatenate(faces)


def face_mesh() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """An ellipsoid of as many triangles as the Basel Face Model's face has in 3DDFA: 105840."""
    return ellipsoid(217, 245)
