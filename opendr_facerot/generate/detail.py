"""Fine detail for the parts of a head that the photo does not show: grain of skin, strands of hair.

The detail is noise of unit variance in the logarithm of the colour, drawn once on the flat chart of
:mod:`opendr_facerot.generate.head_chart`. How strong the detail is, each photo says itself. That of
hair is made by :mod:`opendr_facerot.generate.hair_detail`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, CHART_SIDE
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail

_WAVINESS = 0.16  # radians that strands deviate from straight lines
_LEAST_WIDTH = 0.8  # pixels that a level is drawn with
_STRAND_LEVELS = ((0.055, 2.0, 0.6), (0.14, 3.5, 0.5))
"""Width and length in centimetres, and share."""
_LOCK_WIDTH = 0.16  # centimetres: what is broader is no single strand
_GRAIN_LEVELS = ((0.06, 0.8), (0.17, 0.6))  # width in centimetres and share, of grain
_FEWEST_PIXELS = 200  # to measure on
_MOST_SKIN = 0.05  # natural log: more is not texture but light and shadow


def measure_detail(
    photo: WorkImage,
    foreground: NDArray[np.uint8] | NDArray[np.float32],
    appearance: Appearance,
) -> NDArray[np.float32]:
    """How strong the detail of the log colour is on this photo's skin.

    Args:
        photo: The work image in full resolution.
        foreground: ``(T, T, 3)`` RGB of its size, 0..255, the person's colours.
        appearance: Skin and hair, ``(S, S)``; S may be less than T.

    Returns:
        ``(3,)`` float32 standard deviations: grain on skin; and 0 for grain and strands on hair.
    """
    centimetre = 0.057 * photo.face_height
    skin, on_skin = _luma_around(foreground, appearance.skin, centimetre)
    grain = (skin - blur(skin, 0.15 * centimetre))[on_skin]
    return np.array([_deviation_of(grain, 0.02, _MOST_SKIN), 0.0, 0.0], np.float32)


def _luma_around(
    image: NDArray[np.uint8] | NDArray[np.float32], region: NDArray[np.bool_], margin: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Log luma of the part of an image around a region, and the region in that part.

    Args:
        image: ``(T, T, 3)`` RGB, 0..255.
        region: ``(S, S)`` bool, of the same extent at a resolution of its own.
        margin: Pixels of the image beside the region.
    """
    mask = cv2.resize(region.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    left, top, width, height = cv2.boundingRect(mask)
    edge = math.ceil(margin)
    part = np.s_[
        max(0, top - edge) : top + height + edge, max(0, left - edge) : left + width + edge
    ]
    colours = image[part]
    mean = cv2.transform(colours.astype(np.float32), np.full((1, 3), 1.0 / 3.0))
    return np.log(np.maximum(mean, 6.0)), mask[part] > 0


def _deviation_of(values: NDArray[np.float32], default: float, most: float) -> float:
    """Robust standard deviation, within limits; the default of too few values."""
    if len(values) < _FEWEST_PIXELS:
        return default
    return min(1.4826 * float(np.median(np.abs(values - np.median(values)))), most)


def procedural_detail(level: NDArray[np.float32]) -> HeadDetail:
    """Detail that is the same for every head but for its level.

    Args:
        level: ``(3,)``, see :func:`measure_detail`.
    """
    return HeadDetail(
        _procedural_chart(), CHART_SIDE / CHART_CENTIMETRES, level, np.ones(3, np.float32)
    )


@lru_cache(maxsize=1)
def strands() -> NDArray[np.uint8]:
    """Chart ``(CHART_SIDE, CHART_SIDE)`` of single strands of combed hair, without locks."""
    random = np.random.default_rng(2)
    layer = np.sum([_level(random, *level) for level in _STRAND_LEVELS], axis=0)
    return _as_chart(layer - blur(layer, _LOCK_WIDTH * CHART_SIDE / CHART_CENTIMETRES))


@lru_cache(maxsize=1)
def _procedural_chart() -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    grain = np.sum([_level(random, width, 0.0, share) for width, share in _GRAIN_LEVELS], axis=0)
    hair = np.full((CHART_SIDE, CHART_SIDE), DETAIL_ZERO, np.uint8)
    return np.dstack([_as_chart(grain), hair])


def _as_chart(layer: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled = np.round(DETAIL_ZERO + DETAIL_ONE * layer / layer.std())
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _level(
    random: np.random.Generator, width: float, length: float, share: float
) -> NDArray[np.float32]:
    """One level, of a size in centimetres, drawn at the resolution that its width needs."""
    width, length = (size * CHART_SIDE / CHART_CENTIMETRES for size in (width, length))
    reduction = 2 ** max(0, math.floor(math.log2(width / _LEAST_WIDTH)))
    side = CHART_SIDE // reduction
    noise = blur(random.standard_normal((side, side), np.float32), width / reduction)
    if length:
        noise = _combed(noise, length / reduction)
    noise = cv2.resize(noise, (CHART_SIDE, CHART_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(share * noise / noise.std())


def _combed(noise: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    """Noise averaged over about ``length`` pixels along lines from the chart's middle, a bit wavy.

    A line integral convolution (Cabral and Leedom, SIGGRAPH 1993), each pass twice as long as the
    one before.
    """
    side = len(noise)
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32) - np.float32(middle)
    wave = np.random.default_rng(1).standard_normal((64, 64), np.float32)
    wave = cv2.resize(blur(wave, 64 / 24), (side, side), interpolation=cv2.INTER_CUBIC)
    turn = wave * np.float32(_WAVINESS / wave.std())
    along, across = np.cos(turn), np.sin(turn)
    along, across = (part / np.sqrt(x * x + y * y) for part in (along, across))
    along_x, along_y = x * along - y * across, x * across + y * along
    x, y = x + np.float32(middle), y + np.float32(middle)
    step = length / 4.0
    while step > 0.5:
        there, back = (
            cv2.remap(noise, x + d * along_x, y + d * along_y, cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REFLECT)
            for d in (-step, step)
        )  # fmt: skip
        noise = there + back
        step /= 2.0
    return noise
