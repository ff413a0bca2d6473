"""Least-squares similarity between two point sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class SimilarityTransform:
    """``target = scale * rotation @ source + translation`` in D dimensions.

    Attributes:
        scale: > 0.
        rotation: ``(D, D)`` float64 with determinant +1.
        translation: ``(D,)`` float64.
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(D, D + 1)`` float64, the form that ``cv2.warpAffine`` takes for D = 2."""
        return np.hstack([self.scale * self.rotation, self.translation[:, None]])

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transformed ``(..., D)`` points."""
        return self.scale * np.asarray(points) @ self.rotation.T + self.translation


def fit_similarity(
    source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None
) -> SimilarityTransform:
    """Similarity that maps ``source`` onto ``target`` with the least weighted squared error.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13(4), 1991, equations 34-42, with per-point weights.

    Args:
        source: ``(N, D)`` points.
        target: ``(N, D)`` points.
        weights: ``(N,)`` non-negative weights, or None for equal ones.

    Raises:
        ValueError: The shapes differ, or all the source points coincide.
    """
    src, dst = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if src.shape != dst.shape or src.ndim != 2:
        raise ValueError(
            f"expected two (N, D) arrays of one shape, got {src.shape} and {dst.shape}"
        )
    w = np.ones(len(src)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    src_mean, dst_mean = w @ src, w @ dst
    src_centred, dst_centred = src - src_mean, dst - dst_mean
    variance = float(w @ (src_centred**2).sum(1))
    if variance == 0.0:
        raise ValueError("the source points coincide: no similarity is defined")
    u, singular, vt = np.linalg.svd((dst_centred * w[:, None]).T @ src_centred)
    sign = np.ones(src.shape[1])
    sign[-1] = np.sign(np.linalg.det(u @ vt)) or 1.0
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / variance)
    return SimilarityTransform(scale, rotation, dst_mean - scale * rotation @ src_mean)
