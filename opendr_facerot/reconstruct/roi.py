"""The square region around a face that 3DDFA looks at."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.reconstruct.face_parameters import CROP_SIZE

MAX_SIDE = 16384
"""Longest side of a region, pixels; it bounds the memory that a wild detection can ask for."""


def roi_from_box(box: ArrayLike) -> NDArray[np.float64]:
    """Region around a detector's box: 1.58 times as large, its centre 14 % lower.

    Args:
        box: ``(4,)`` left, top, right, bottom in pixels.

    Returns:
        ``(4,)`` float64 left, top, right, bottom in pixels; not rounded, may leave the image.

    Raises:
        ImageError: The box is not four finite numbers or is empty.
    """
    corners = np.asarray(box, np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ImageError(f"the face box is {box!r}: give four finite numbers")
    left, top, right, bottom = corners
    size = (right - left + bottom - top) / 2
    side = int(1.58 * size)
    if right <= left or bottom <= top or side < 1:
        raise ImageError(f"the face box {corners.tolist()} is empty: give left, top, right, bottom")
    x = right - (right - left) / 2 - side / 2
    y = bottom - (bottom - top) / 2 + 0.14 * size - side / 2
    return np.array([x, y, x + side, y + side])


def roi_from_landmarks(landmarks: ArrayLike) -> NDArray[np.float64]:
    """Region around landmarks: a square whose side is their box's longer side times the root of 2.

    Args:
        landmarks: ``(K, 2)`` or ``(K, 3)`` pixels; a depth is ignored.

    Returns:
        ``(4,)`` float64 left, top, right, bottom in pixels; not rounded, may leave the image.

    Raises:
        ImageError: The landmarks are not finite or coincide.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
        raise ImageError(
            f"the landmarks have shape {points.shape}: give finite points of shape (K, 2)"
        )
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    half = (high - low).max() / 2 * math.sqrt(2)
    if half == 0:
        raise ImageError(f"all {len(points)} landmarks lie at {low.tolist()}: there is no face")
    centre = (low + high) / 2
    return np.concatenate([centre - half, centre + half])


def crop_roi(image: NDArray[np.uint8], roi: ArrayLike) -> NDArray[np.uint8]:
    """The region of an image as the network sees it.

    The corners are rounded, halves to the even neighbour; what lies outside the image is black.

    Args:
        image: ``(H, W, 3)`` uint8.
        roi: ``(4,)`` left, top, right, bottom in pixels.

    Returns:
        ``(120, 120, 3)`` uint8, channels in the image's order.

    Raises:
        ImageError: The region is not four finite numbers, is empty or unreasonably large.
    """
    corners = np.asarray(roi, np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ImageError(f"a face's region is {roi!r}: give four finite numbers")
    left, top, right, bottom = (round(v) for v in corners.tolist())
    width, height = right - left, bottom - top
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ImageError(
            f"a face's region is {width}x{height} pixels: 1 to {MAX_SIDE} are possible"
        )
    canvas = np.zeros((height, width, 3), np.uint8)
    x0, x1 = np.clip([left, right], 0, image.shape[1])
    y0, y1 = np.clip([top, bottom], 0, image.shape[0])
    canvas[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return cv2.resize(canvas, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
