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

BAND_WIDTHS = (0.08, 0.16, 0.32, 0.9)
"""Each band of a texture lies between two Gaussian blurs: of the width before, and this; cm."""

_GRAIN_BANDS = 3  # what is coarser is light and shadow on locks, which noise does not look like
_STRAND_BANDS = 2  # as fine as strands are
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
    found = _middle_of_hair(photo, interior, appearance)
    if found is None:
        return None
    left, top, middle, narrow = found
    # In the resolution of the chart that hair is drawn on.
    scale = len(foreground) / len(interior)
    bottom, right = (
        int(scale * (first + n)) for first, n in zip((top, left), middle.shape, strict=True)
    )
    crop = foreground[int(scale * top) : bottom, int(scale * left) : right]
    centimetre = _FACE_CENTIMETRE * photo.face_height
    reduction = min(_PER_CENTIMETRE / centimetre, 1.0)
    small = cv2.resize(crop, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    size = small.shape[1::-1]
    middle = cv2.resize(middle.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    if not middle.any():
        return None
    luma = np.log(np.maximum(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32(_DARKEST)))
    per_cm = reduction * centimetre
    bands = split_bands(luma, middle, per_cm)[:-1]
    deviation = np.array([band[middle].std() for band in bands], np.float32)

    colours = _log(small[middle])
    colour = np.median(colours, axis=0)
    skin = colour
    if appearance.skin.any():
        rows, columns = ((scale * places).astype(int) for places in np.nonzero(appearance.skin))
        skin = np.median(_log(foreground[rows, columns]), axis=0)
    if narrow:
        # Much of it is a mixture with skin: hair alone is what is farther from that.
        alone = np.median(colours[(colours - colour) @ (colour - skin) >= 0.0], axis=0)
        lighter = colour.mean() > skin.mean()
        # So is light hair with light from behind, which is white, too, but brighter.
        colour = alone + (colour.mean() - alone.mean() if lighter else 0.0)
        deviation[_STRAND_BANDS:] = deviation[_STRAND_BANDS - 1]  # coarser are but its edges
    return HairTexture(
        colour=colour,
        deviation=np.minimum(deviation, _LARGEST),
        brightest=float(max(colour.mean(), skin.mean())),
        narrow=narrow,
        strands=not narrow and _coherence(luma, middle, _COHERENT_WITHIN * per_cm) > _COMBED,
    )


def _middle_of_hair(
    photo: WorkImage, interior: NDArray[np.bool_], appearance: Appearance
) -> tuple[int, int, NDArray[np.bool_], bool] | None:
    """Where hair is nothing but hair.

    Returns:
        Left and top of a part of ``interior``; ``(H, W)`` bool, the hair's middle in that part; and
        whether the hair is but a narrow band. None if there is too little hair.
    """
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
    inside = np.pad(hair[part], 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth *= len(photo.image) / (side * photo.face_height)
    here = depth[hair[part]]
    percentile, pure = _MIDDLE
    middle = depth >= min(float(np.percentile(here, percentile)), pure)
    narrow = float(np.percentile(here, 90)) < _NARROW
    if narrow:
        middle &= appearance.hair[part] > _SURELY_HAIR
    return left, top, np.asarray(middle), narrow


def _log(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(colours, _DARKEST)))


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


def subdue(
    values: NDArray[np.float32],
    seen: NDArray[np.bool_],
    exemplar: NDArray[np.bool_],
    texture: HairTexture,
) -> float:
    """Let no band of seen hair on a chart vary more than in the photo, in place.

    Hair at the hairline runs along the line of sight: laid out, it is smeared, and what is fine in
    the photo is coarse on the chart.

    Args:
        values: ``(M, M)`` float32 chart of the natural log of luma.
        seen: ``(N, N)`` bool, where it is known.
        exemplar: ``(N, N)`` bool, where it is measured.
        texture: Of the hair in the photo.

    Returns:
        The standard deviation that the finest bands lack.
    """
    ratio = len(values) // len(seen)
    left, top, width, height = cv2.boundingRect(seen.astype(np.uint8))
    size = (width * ratio, height * ratio)
    part = np.s_[top * ratio : top * ratio + size[1], left * ratio : left * ratio + size[0]]
    small = np.s_[top : top + height, left : left + width]
    known, measured = (
        cv2.resize(mask[small].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for mask in (seen, exemplar)
    )
    *bands, result = split_bands(values[part], known, len(values) / CHART_CENTIMETRES)
    deviation = np.array([band[measured].std() for band in bands])
    for band, gain in zip(bands, texture.deviation / np.maximum(deviation, 1e-6), strict=True):
        result = result + np.float32(min(gain, 1.0)) * band
    values[part] = np.where(known, result, values[part])
    lacking = np.maximum(texture.deviation**2 - deviation**2, 0.0)
    return float(np.sqrt(lacking[:_STRAND_BANDS].sum()))


def grain(texture: HairTexture) -> NDArray[np.float32]:
    """Noise ``(CHART_SIDE, CHART_SIDE)`` that varies as the hair does in each band but the last."""
    noise, seen_in_bands = _noise()
    wanted = texture.deviation[:_GRAIN_BANDS].astype(np.float64) ** 2
    share = np.sqrt(nnls(seen_in_bands, wanted)[0])
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
    for band in range(_GRAIN_BANDS):
        white = random.standard_normal((CHART_SIDE, CHART_SIDE), np.float32)
        layer = split_bands(white, everywhere, _PER_CENTIMETRE)[band]
        layers.append(layer / layer.std())
    variances = [
        [
            float(band.var())
            for band in split_bands(layer, everywhere, _PER_CENTIMETRE)[:_GRAIN_BANDS]
        ]
        for layer in layers
    ]
    stored = np.clip(np.round(_NOISE_ONE * np.stack(layers)), -127, 127).astype(np.int8)
    return stored, np.array(variances).T
