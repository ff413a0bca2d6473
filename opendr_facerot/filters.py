"""Image filters that several stages share."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.render.kernels import kernel

_WIDE = 3.0  # sigma in pixels from which a blur is made in a pyramid


def smoothstep(low: float, high: float, x: ArrayLike) -> NDArray[np.floating]:
    """Cubic ramp from 0 at ``low`` to 1 at ``high``; ``low`` may exceed ``high``."""
    t = np.asarray(np.subtract(x, low))
    t /= high - low
    np.clip(t, 0.0, 1.0, out=t)
    slope = np.asarray(-2.0 * t)
    slope += 3.0
    t *= t
    t *= slope
    return t


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Rounded, halves to even, and cut off at 0 and 255."""
    return np.asarray(cv2.add(image, 0.0, dtype=cv2.CV_8U))


def disc(radius: float) -> NDArray[np.uint8]:
    """Round structuring element for morphology; ``radius`` in pixels, at least 1."""
    r = max(1, round(radius))
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)))


def blur(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; ``sigma`` in pixels.

    A wide one is made of narrow ones in a pyramid (Burt and Adelson, "The Laplacian Pyramid as a
    Compact Image Code", IEEE Trans. Commun. 31(4), 1983), within 0.2 % of the image's range.
    """
    height, width = image.shape[:2]
    margin = math.ceil(3.0 * sigma)
    if sigma < _WIDE or margin >= min(height, width):
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    # At the far sides every other pixel need not be mirrored as the image is: keep them away.
    padded = cv2.copyMakeBorder(image, 0, margin, 0, margin, cv2.BORDER_REFLECT_101)
    return _blur_in_pyramid(np.asarray(padded), sigma)[:height, :width].copy()


def _blur_in_pyramid(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma < _WIDE:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    # Steps down and up each add a variance of 1, and the pixels between them have twice the side.
    narrow = 0.5 * math.sqrt(sigma * sigma - 2.0)
    coarse = _blur_in_pyramid(np.asarray(cv2.pyrDown(image)), narrow)
    return np.asarray(cv2.pyrUp(coarse, dstsize=image.shape[1::-1]))


def sample_bilinear(
    image: NDArray[np.float32], points: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Values ``(N,)`` or ``(N, C)`` of an image at ``(N, 2)`` pixel positions.

    Positions outside the image take the value of the nearest border pixel.
    """
    row = 8192  # cv2.remap takes at most 32,767 columns
    count = len(points)
    padded = np.zeros((max(1, -(-count // row)) * row, 2), np.float32)
    padded[:count] = np.clip(points, -1e4, 1e4)
    where = padded.reshape(-1, row, 2)
    values = cv2.remap(
        image, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(values.reshape((-1, *values.shape[2:]))[:count])


def guided_filter(
    guide: NDArray[np.float32], image: NDArray[np.float32], radius: int, epsilon: float
) -> NDArray[np.float32]:
    """Smooth ``image`` while following the edges of ``guide``.

    He, Sun and Tang, "Guided image filtering", IEEE TPAMI 35(6), 2013, algorithm 1.

    Args:
        guide: ``(H, W)`` float32 in [0, 1].
        image: ``(H, W)`` float32.
        radius: Half side of the window, pixels.
        epsilon: Variance of the guide below which a window counts as flat.

    Returns:
        ``(H, W)`` float32.
    """
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(cv2.boxFilter(x, -1, side, borderType=cv2.BORDER_REPLICATE))

    guide_mean, image_mean = mean(guide), mean(image)
    covariance = mean(guide * image) - guide_mean * image_mean
    variance = mean(guide * guide) - guide_mean * guide_mean
    slope = covariance / (variance + epsilon)
    return mean(slope) * guide + mean(image_mean - slope * guide_mean)


def pull_push(image: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend an image smoothly to where it has no weight.

    A pyramid of weighted means is built up to one pixel, and each level's gaps are filled from
    the level above: Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4.

    Args:
        image: ``(H, W, C)`` float32.
        weight: ``(H, W)`` float32 in [0, 1]: 1 = known, 0 = unknown.

    Returns:
        ``(H, W, C)`` float32, equal to ``image`` where the weight is 1.
    """
    height, width = weight.shape
    if min(height, width) <= 2:
        mean = (image * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return np.broadcast_to(mean, image.shape).astype(np.float32)
    known = np.empty_like(image)
    _times_weight(image, weight, known)
    coarse, coarse_weight = cv2.pyrDown(known), cv2.pyrDown(weight)
    _divide_by_weight(coarse, coarse_weight)
    filled = cv2.pyrUp(pull_push(coarse, coarse_weight), dstsize=(width, height))
    _mix(image, weight, filled)
    return np.asarray(filled)


@kernel
def _times_weight(image, weight, product):  # type: ignore[no-untyped-def]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for c in range(image.shape[2]):
                product[row, column, c] = image[row, column, c] * weight[row, column]


@kernel
def _divide_by_weight(image, weight):  # type: ignore[no-untyped-def]
    """Divide an image by its weight and raise the weight, up to 1, both in place."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            scale = np.float32(1.0) / max(weight[row, column], np.float32(1e-6))
            for c in range(image.shape[2]):
                image[row, column, c] *= scale
            weight[row, column] = min(np.float32(4.0) * weight[row, column], np.float32(1.0))


@kernel
def _mix(image, weight, behind):  # type: ignore[no-untyped-def]
    """Lay an image over the one behind it, which becomes the result."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            share = weight[row, column]
            for c in range(image.shape[2]):
                below = behind[row, column, c]
                behind[row, column, c] = below * (np.float32(1.0) - share) + (
                    image[row, column, c] * share
                )
