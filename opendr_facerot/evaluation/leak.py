"""Whether the background of a photo shows in the heads made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import FacerotError
from opendr_facerot.evaluation.pictures import masked_mean
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import View

_GREEN = np.array([0.0, 200.0, 0.0])
_MAGENTA = np.array([200.0, 0.0, 200.0])
_LEAKING = 0.1
_OPAQUE = 230
_SIZE = 256


def leak_fractions(
    rotator: FaceRotator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.floating],
    views: Sequence[View],
) -> list[float | None]:
    """Share of the head's pixels, per view, that show the background of the photo.

    Views are made from two photos that differ only in the colour of the background. How far a pixel
    then goes along the line between the two colours is the share of background in it; it leaks if
    that is more than a tenth. No label is needed, and neither the head's own colours nor shifts of
    a pixel between the two fits are taken for leaks. What the matte itself takes for the person
    stays unpainted: its errors do not count.

    Args:
        rotator: The pipeline; its settings are put back after use.
        photo: ``(H, W, 3)`` uint8 RGB.
        matte: ``(H, W)`` share of the person in each pixel, in [0, 1].
        views: The views to look at.

    Returns:
        A share in [0, 1] per view; None where the pipeline finds no face in a repainted photo, or
        shows no head.
    """
    before = rotator.settings
    rotator.settings = replace(before, output_size=_SIZE, background="transparent")
    try:
        pairs = zip(
            *(_heads(rotator, _repainted(photo, matte, colour), views)
              for colour in (_GREEN, _MAGENTA)),
            strict=True,
        )  # fmt: skip
        return [leak_fraction(*pair) for pair in pairs]
    except FacerotError:
        return [None] * len(views)
    finally:
        rotator.settings = before


def leak_fraction(over_green: NDArray[np.uint8], over_magenta: NDArray[np.uint8]) -> float | None:
    """Leak between two ``(H, W, 4)`` RGBA views, counted where both are opaque."""
    both = (over_green[..., 3] >= _OPAQUE) & (over_magenta[..., 3] >= _OPAQUE)
    axis = _MAGENTA - _GREEN
    difference = over_magenta[..., :3].astype(np.float64) - over_green[..., :3]
    background = difference @ axis / (axis @ axis)
    return masked_mean(background > _LEAKING, both)


def _repainted(
    photo: NDArray[np.uint8], matte: NDArray[np.floating], colour: NDArray[np.float64]
) -> NDArray[np.uint8]:
    share = matte[..., None].astype(np.float64)
    return np.rint(photo * share + colour * (1.0 - share)).astype(np.uint8)


def _heads(
    rotator: FaceRotator, photo: NDArray[np.uint8], views: Sequence[View]
) -> list[NDArray[np.uint8]]:
    """``(H, W, 4)`` RGBA views of the largest face."""
    return [
        np.dstack([rotated.image, rotated.alpha])
        for rotated in rotator.render(rotator.fit(photo)[0], views)
        if rotated.alpha is not None
    ]
