"""Generated faces as pictures: 8-bit images, five landmarks and face-recognition crops."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.geometry import fit_similarity

ARCFACE_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""``(5, 2)`` pixels in a 112x112 image: eyes, nose tip, mouth corners, image-left first.
Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019."""

CROP_SIZE = 224
"""Side of an aligned crop in pixels, twice the template's."""


def image_from_output(output: NDArray[np.float32]) -> NDArray[np.uint8]:
    """8-bit image from a generator's output.

    Values are truncated, not rounded, as in the published tool.

    Args:
        output: ``(..., 3, H, W)`` float32; [-1, 1] maps to [0, 255], what lies outside is clipped.

    Returns:
        ``(..., H, W, 3)`` uint8.
    """
    scaled = np.clip((output + 1.0) / 2.0 * 255.0, 0.0, 255.0).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(scaled, -3, -1))


def five_landmarks(landmarks68: ArrayLike) -> NDArray[np.float64]:
    """Eye centres, nose and mouth corners of the 68 iBUG landmarks.

    The nose is landmark 31, the image-left end of the nose's base, not the tip (30): aligned crops
    are compatible with those of the published tool only so.

    Args:
        landmarks68: ``(68, 2)`` or ``(68, 3)`` pixels; a third coordinate is ignored.

    Returns:
        ``(5, 2)`` float64 pixels, in the order of :data:`ARCFACE_TEMPLATE`.
    """
    points = np.asarray(landmarks68, np.float64)[:, :2]
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([*eyes, points[31], points[48], points[54]])


def aligned_crop(image: NDArray[np.uint8], landmarks5: ArrayLike) -> NDArray[np.uint8]:
    """The face moved onto the ArcFace template by a similarity transform.

    Args:
        image: ``(H, W, 3)`` uint8.
        landmarks5: ``(5, 2)`` pixels, in the order of :data:`ARCFACE_TEMPLATE`.

    Returns:
        ``(224, 224, 3)`` uint8, bilinear, black outside the image.

    Raises:
        ImageError: The landmarks have another shape, are not finite or all coincide.
    """
    points = np.asarray(landmarks5, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all() or np.ptp(points, axis=0).max() == 0:
        raise ImageError(
            f"the landmarks {points.tolist()} define no face: give five different points (x, y)"
        )
    template = ARCFACE_TEMPLATE * (CROP_SIZE / 112)
    matrix = fit_similarity(points, template).matrix
    return cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
