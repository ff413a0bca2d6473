"""Whether the background of a photo shows in the heads made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import FacerotError
from opendr_facerot.evaluation.pictures import masked_mean
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import View

_GREEN = np.array([0.0, 170.0, 0.0])
_MAGENTA = np.array([242.0, 0.0, 242.0])  # of the same luma
_TINT = 0.35  # share of these colours: weak, for the background must stay what the nets know
_SIZE = 256
_OPAQUE = 230  # of 255
_NEIGHBOURHOOD = 3.0  # pixels, the sigma over which the tint is averaged
_LEAKING = 0.15


def leak_fractions(
    rotator: FaceRotator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.floating],
    views: Sequence[View],
) -> list[float | None]:
    """Share of the head's pixels, per view, that show the background of the photo.

    Views are made from two copies of the photo whose backgrounds are tinted, one green, one
    magenta. How far a pixel of the head then goes from the one tint to the other is the share of
    background in it. No label is needed, and neither the head's own colours nor the background's
    matter. What the matte itself takes for the person stays untinted: its errors do not count.

    Args:
        rotator: The pipeline; its settings are put back after use.
        photo: ``(H, W, 3)`` uint8 RGB.
        matte: ``(H, W)`` share of the person in each pixel, in [0, 1].
        views: The views to look at.

    Returns:
        A share in [0, 1] per view; None where a tinted photo has no face for the pipeline, or the
        view no head.
    """
    before = rotator.settings
    rotator.settings = replace(before, output_size=_SIZE, background="transparent")
    try:
        green, magenta = (
            _heads(rotator, _tinted(photo, matte, colour), views) for colour in (_GREEN, _MAGENTA)
        )
        return [leak_fraction(*pair) for pair in zip(green, magenta, strict=True)]
    except FacerotError:
        return [None] * len(views)
    finally:
        rotator.settings = before


def leak_fraction(green: NDArray[np.uint8], magenta: NDArray[np.uint8]) -> float | None:
    """Share of the pixels, opaque in both views, around which there is background.

    The tint is averaged over a neighbourhood: the two fits differ by a part of a pixel, which shows
    at edges within the head, in both directions.

    Args:
        green: ``(H, W, 4)`` RGBA view of the photo whose background is tinted green.
        magenta: The same, tinted magenta.
    """
    both = (green[..., 3] >= _OPAQUE) & (magenta[..., 3] >= _OPAQUE)
    axis = _TINT * (_MAGENTA - _GREEN)
    hue = axis - axis.mean()  # strands of hair lie differently in the two views: that is luma
    share = (magenta[..., :3].astype(np.float64) - green[..., :3]) @ hue / (axis @ hue)
    weight = both.astype(np.float64)
    mean = cv2.GaussianBlur(share * weight, (0, 0), _NEIGHBOURHOOD)
    mean /= np.maximum(cv2.GaussianBlur(weight, (0, 0), _NEIGHBOURHOOD), 1e-9)
    return masked_mean(mean > _LEAKING, both)


def _tinted(
    photo: NDArray[np.uint8], matte: NDArray[np.floating], colour: NDArray[np.float64]
) -> NDArray[np.uint8]:
    share = _TINT * (1.0 - matte[..., None].astype(np.float64))
    return np.rint(photo * (1.0 - share) + colour * share).astype(np.uint8)


def _heads(
    rotator: FaceRotator, photo: NDArray[np.uint8], views: Sequence[View]
) -> list[NDArray[np.uint8]]:
    """``(H, W, 4)`` RGBA views of the largest face."""
    return [
        np.dstack([rotated.image, rotated.alpha])
        for rotated in rotator.render(rotator.fit(photo)[0], views)
        if rotated.alpha is not None
    ]
