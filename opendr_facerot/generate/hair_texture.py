"""What hair looks like, as far as a photo shows it: its colour, and how it varies at which scale.

Hair of which single strands or locks are seen can be continued from what is seen of it
(:mod:`opendr_facerot.generate.hair_quilt`). Cropped hair, and hair of which but a narrow band is
seen, cannot: a patch of it is all border. It is noise that varies at each scale as the hair does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from opendr_facerot.filters import blur
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, CHART_SIDE
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.work_image import WorkImage

BAND_WIDTHS = (0.08, 0.16, 0.32)
"""Each band of a texture lies between two Gaussian blurs: of the width before, and this; cm.

What is coarser is light and shadow on locks, which noise does not look like.
"""

_PER_CENTIMETRE = CHART_SIDE / CHART_CENTIMETRES  # pixels that textures are measured in
_FACE_CENTIMETRE = 0.057  # face heights
_LIKE_HAIR = 0.5  # probability
_SURELY_HAIR = 0.9  # the same, in a band so narrow that the blur of what is known takes all of it
_LEAST_HEIGHT, _MOST_ASIDE = 0.62, 0.75  # face heights: on the head, not a beard or a fur collar
_MIDDLE = (60.0, 0.03)  # percentile of depth in the hair, and face heights, beyond which it is pure
_FEWEST_PIXELS = 50
_NARROW = 0.075  # face heights: half the width of a band of hair that is too narrow to be quilted
_COMBED = 0.41  # median coherence of hair whose strands are seen
_COHERENT_WITHIN = 0.35  # centimetres
_DARKEST = 6.0  # grey level
_LARGEST = 0.22  # natural log, of one band: more is not texture but light and shadow
_NOISE_ONE = 32.0  # value of 8-bit noise that stands for one standard deviation


@dataclass(frozen=True, eq=False)
class HairTexture:
    """The hair of one photo.

    Attributes:
        colour: ``(3,)`` natural log of its RGB colour, 0..255, away from skin and background.
        deviation: ``(B,)`` float32 standard deviations of the natural log of its luma in the bands
            of :data:`BAND_WIDTHS`.
        brightest: Mean of the log RGB of hair or of skin: what is brighter is light from behind.
        narrow: Only a band of it is seen that is all border, of mixed colours.
        strands: Enough is seen of it to tell how strands lie.
    """

    colour: NDArray[np.float64]
    deviation: NDArray[np.float32]
    brightest: float
    narrow: bool
    strands: bool


def measure_hair(
    photo: WorkImage,
    foreground: NDArray[np.uint8],
    interior: NDArray[np.bool_],
    appearance: Appearance,
) -> HairTexture | None:
    """Measure the hair in a photo.

    Args:
        photo: The work image in full resolution.
        foreground: ``(T, T, 3)`` uint8 RGB of its size, the person's colours.
        interior: ``(S, S)`` bool, pixels that surely show the person; S may be less than T.
        appearance: Skin and hair, ``(S, S)`` too.

    Returns:
        None if the photo shows no hair.
    """
    if not appearance.has_hair:
        return None
    side = len(interior)
    height, lateral = photo.along_face(side)
    hair = (appearance.hair > _LIKE_HAIR) & interior
    hair &= (height > _LEAST_HEIGHT) & (lateral < _MOST_ASIDE)
    face = cv2.resize(photo.face().astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
    hair[face > 0] = False
    if np.count_nonzero(hair) < _FEWEST_PIXELS:
        return None
    left, top, width, tall = cv2.boundingRect(hair.astype(np.uint8))
    part = np.s_[top : top + tall, left : left + width]
    face_height = photo.face_height * side / len(foreground)
    inside = np.pad(hair[part], 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / face_height
    percentile, pure = _MIDDLE
    here = depth[hair[part]]
    narrow = float(np.percentile(here, 90)) < _NARROW
    middle = depth >= min(float(np.percentile(here, percentile)), pure)
    if narrow:
        middle &= appearance.hair[part] > _SURELY_HAIR

    # In the resolution of the chart that hair is drawn on.
    scale = len(foreground) / side
    first_row, first_column = (int(n * scale) for n in (top, left))
    crop = foreground[
        first_row : int((top + tall) * scale), first_column : int((left + width) * scale)
    ]
    reduction = min(_PER_CENTIMETRE / (_FACE_CENTIMETRE * photo.face_height), 1.0)
    small = cv2.resize(crop, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    size = small.shape[1::-1]
    middle = cv2.resize(middle.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not middle.any():
        return None
    luma = np.log(np.maximum(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32(_DARKEST)))
    per_cm = reduction * _FACE_CENTIMETRE * photo.face_height
    split = split_bands(luma, middle, per_cm)
    deviation = np.array([band[middle].std() for band in split[:-1]], np.float32)
    strands = not narrow and _coherence(luma, middle, _COHERENT_WITHIN * per_cm) > _COMBED
    colours = np.log(np.maximum(small[middle], _DARKEST))
    colour = np.median(colours, axis=0)
    rows, columns = ((scale * places).astype(int) for places in np.nonzero(appearance.skin))
    skin = np.median(np.log(np.maximum(foreground[rows, columns], _DARKEST)), axis=0)
    if narrow and colour.mean() < skin.mean():
        # Skin below and light from behind both brighten dark hair.
        beyond = (colours - colour) @ (colour - skin)
        colour = np.median(colours[beyond >= 0.0], axis=0)
    brightest = float(max(colour.mean(), skin.mean()))
    return HairTexture(colour, np.minimum(deviation, _LARGEST), brightest, narrow, strands)


def split_bands(
    luma: NDArray[np.float32], inside: NDArray[np.bool_], per_cm: float
) -> list[NDArray[np.float32]]:
    """Values ``(H, W)`` as a sum of bands, the finest first, and of what is coarser than those.

    Args:
        luma: ``(H, W)`` float32.
        inside: ``(H, W)`` bool, what the values around count in.
        per_cm: Pixels per centimetre.
    """
    weight = inside.astype(np.float32)
    values = luma * weight
    bands = []
    finer = luma
    for width in BAND_WIDTHS:
        sigma = width * per_cm
        coarser = blur(values, sigma) / np.maximum(blur(weight, sigma), np.float32(1e-3))
        bands.append(finer - coarser)
        finer = coarser
    return [*bands, finer]


def _coherence(luma: NDArray[np.float32], inside: NDArray[np.bool_], radius: float) -> float:
    """How far gradients within ``radius`` pixels are parallel in the median: 0 not at all, 1 all.

    From the eigenvalues of the structure tensor (Bigun and Granlund, ICCV 1987).
    """
    soft = blur(luma, 0.8)
    weight = inside.astype(np.float32)
    dx, dy = (weight * cv2.Sobel(soft, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (blur(product, radius)[inside] for product in (dx * dx, dy * dy, dx * dy))
    parallel = np.sqrt((xx - yy) ** 2 + 4.0 * xy**2) / np.maximum(xx + yy, 1e-9)
    return float(np.median(parallel))


def grain(texture: HairTexture) -> NDArray[np.float32]:
    """Noise ``(CHART_SIDE, CHART_SIDE)`` that varies in each band as the hair does."""
    noise, seen_in_bands = _noise()
    share = np.sqrt(nnls(seen_in_bands, texture.deviation.astype(np.float64) ** 2)[0])
    result = np.zeros(noise.shape[1:], np.float32)
    for layer, amount in zip(noise, share, strict=True):
        cv2.scaleAdd(layer.astype(np.float32), float(amount) / _NOISE_ONE, result, result)
    return result


@lru_cache(maxsize=1)
def _noise() -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Noise of each band ``(B, N, N)``, and which variance ``[i, k]`` layer k has in band i."""
    random = np.random.default_rng(0)
    everywhere = np.ones((CHART_SIDE, CHART_SIDE), bool)
    layers = []
    for band in range(len(BAND_WIDTHS)):
        white = random.standard_normal((CHART_SIDE, CHART_SIDE), np.float32)
        layer = split_bands(white, everywhere, _PER_CENTIMETRE)[band]
        layers.append(layer / layer.std())
    variances = [
        [float(band.var()) for band in split_bands(layer, everywhere, _PER_CENTIMETRE)[:-1]]
        for layer in layers
    ]
    stored = np.clip(np.round(_NOISE_ONE * np.stack(layers)), -127, 127).astype(np.int8)
    return stored, np.array(variances).T
