"""How alike two pictures of one scene are, within a mask."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

BEST_PSNR = 100.0
"""Decibels reported for identical pictures, whose ratio has no bound."""

_LUMA = np.array([0.299, 0.587, 0.114])


def masked_psnr(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> float | None:
    """Peak signal-to-noise ratio of ``(H, W, 3)`` pictures over a mask, dB; None if it is empty."""
    if not mask.any():
        return None
    error = picture[mask].astype(np.float64) - truth[mask]
    mse = float((error**2).mean())
    return BEST_PSNR if mse == 0.0 else min(BEST_PSNR, 10.0 * math.log10(255.0**2 / mse))


def ssim_map(picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity ``(H, W)`` of the luma of two ``(H, W, 3)`` pictures.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004, with its Gaussian window of sigma 1.5.
    """
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        picture @ _LUMA,
        truth @ _LUMA,
        data_range=255.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(full)


def masked_mean(values: NDArray[np.generic], mask: NDArray[np.bool_]) -> float | None:
    """Mean of ``(H, W)`` values over a mask; None if it is empty."""
    return float(values[mask].mean()) if mask.any() else None
