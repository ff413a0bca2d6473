"""Which pixels of a work image are hair, learned from this one photo's own skin and hair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.filters import blur, disc
from opendr_facerot.reconstruct.shaded_skin import find_shaded_skin
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import kernel

# Patches of the attention mesh that show bare skin, on either half of the face: cheek, side of the
# nose, forehead.
_SKIN_PATCHES = (
    (
        (117, 118, 101, 36, 205, 187, 147, 123),
        (6, 197, 195, 5, 4, 45, 51, 122),
        (67, 109, 10, 151, 108),
    ),
    (
        (346, 347, 330, 266, 425, 411, 376, 352),
        (6, 197, 195, 5, 4, 275, 281, 351),
        (10, 338, 297, 337, 151),
    ),
)
_SKIN_SPREAD_FLOOR = (9.0, 3.0, 3.0, 1.2)  # L, a, b, texture: below it, spread is sensor noise
_SKIN_SPREAD_LIMIT = (22.0, 7.0, 9.0, 3.0)  # above it, glasses or hair are among the skin
_SKIN_HALF = 0.4  # pixels of skin on one half of the face, over the other half's, to believe it
_HAIR_SPREAD = (14.0, 6.0, 6.0, 2.0)
_HAIR_CLUSTERS = 3
_LAB_TO_8_BIT = np.array([[2.55, 0, 0, 0], [0, 1, 0, 128], [0, 0, 1, 128]], np.float32)
NOT_SKIN = 9.0
"""Squared distance, in standard deviations, beyond which a pixel is not bare skin."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Skin and hair of one face.

    Attributes:
        skin: ``(S, S)`` bool, pixels known to be bare skin.
        skin_distance: ``(S, S)`` float32, squared Mahalanobis distance to the skin's features.
        neck_distance: ``(S, S)`` float32, the same, but skin in the chin's shade is skin.
        hair: ``(S, S)`` float32 probability of hair, 0 off the person.
        has_hair: Hair was found above or beside the face.
    """

    skin: NDArray[np.bool_]
    skin_distance: NDArray[np.float32]
    neck_distance: NDArray[np.float32]
    hair: NDArray[np.float32]
    has_hair: bool


def find_hair(
    work: WorkImage,
    foreground: NDArray[np.float32],
    interior: NDArray[np.bool_],
    matte: NDArray[np.float32],
) -> Appearance:
    """Separate hair from skin by colour and texture.

    Args:
        work: The work image.
        foreground: ``(S, S, 3)`` float32 RGB 0..255, the person's colours.
        interior: ``(S, S)`` bool, pixels that surely show the person.
        matte: ``(S, S)`` float32 person matte.
    """
    features = _features(foreground, work.face_height)
    halves = [_polygons(work, patches) & interior for patches in _SKIN_PATCHES]
    skin = halves[0] | halves[1]
    skin_distance = squared_distance(features, *_skin_colours(features, halves, work.face()))

    height, lateral = work.along_face()
    face = work.face()
    grown = cv2.dilate(face.astype(np.uint8), disc(0.02 * work.face_height)) > 0
    around = interior & ~grown & (height < 1.6)
    crown = around & (height > 1.03) & (lateral < 0.5)
    beside = around & (height > 0.62) & (lateral < 0.75) & (skin_distance > NOT_SKIN)
    share = beside.sum() / max(1, face.sum())
    crown_distance = float(np.median(skin_distance[crown])) if crown.sum() > 100 else 0.0
    has_hair = bool((crown_distance > 8.0 and share > 0.03) or share > 0.12)

    hair = np.zeros(matte.shape, np.float32)
    if has_hair:
        examples = features[beside | (crown & (skin_distance > 5.0))]
        nearest = squared_distance(features, _cluster_centres(examples), _HAIR_SPREAD)
        score = skin_distance - nearest - 1.0
        hair = np.reciprocal(1.0 + np.exp(np.clip(score, -40.0, 40.0) / -4.0))
        hair = blur(hair, 0.01 * work.face_height) * (matte > 0.3)
        hair *= face | _hanging(hair, face, height, work.face_height)
    neck_distance = skin_distance * (1.0 - find_shaded_skin(work, foreground, skin, matte))
    return Appearance(skin, skin_distance, neck_distance, hair, has_hair)


def _skin_colours(
    features: NDArray[np.float32], halves: Sequence[NDArray[np.bool_]], face: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Features of skin ``(K, 4)`` and their spread ``(4,)``.

    Light from one side makes two colours of one skin: a single one of their mean, as wide as both,
    would take in dark hair. A half that is turned away shows too little to have a say.
    """
    most = max(np.count_nonzero(half) for half in halves)
    samples = [
        features[half] for half in halves if np.count_nonzero(half) > max(_SKIN_HALF * most, 20)
    ]
    if not samples:
        samples = [features[face]]
    centres = np.stack([np.median(sample, axis=0) for sample in samples])
    away = np.concatenate([np.abs(s - c) for s, c in zip(samples, centres, strict=True)])
    spread = np.clip(1.4826 * np.median(away, axis=0), _SKIN_SPREAD_FLOOR, _SKIN_SPREAD_LIMIT)
    return centres, 1.25 * spread


def _features(foreground: NDArray[np.float32], face_height: float) -> NDArray[np.float32]:
    """CIE Lab (8-bit scale) and log local contrast, ``(S, S, 4)``."""
    soft = blur(foreground, 0.008 * face_height)
    # Not of 8-bit colours: in whole numbers, the spread of a few units jumps by a third.
    lab = cv2.cvtColor(soft * np.float32(1.0 / 255.0), cv2.COLOR_RGB2LAB)
    lab = cv2.transform(lab, _LAB_TO_8_BIT)
    mean = cv2.transform(foreground, np.full((1, 3), 1.0 / 3.0))
    luma = np.log(np.clip(mean, 8.0, 255.0))
    detail = luma - blur(luma, 0.03 * face_height)
    energy = blur(detail * detail, 0.025 * face_height)
    contrast = 4.0 * np.log(np.sqrt(np.maximum(energy, 0.0)) + 0.012)
    return np.asarray(cv2.merge([lab, contrast]))


def squared_distance(
    features: NDArray[np.float32], centres: NDArray[np.floating], spread: ArrayLike
) -> NDArray[np.float32]:
    """Squared distance of every pixel's features to the nearest centre, in units of the spread.

    Args:
        features: ``(S, S, 4)`` float32.
        centres: ``(K, 4)``, at least one.
        spread: ``(4,)`` positive.

    Returns:
        ``(S, S)`` float32.
    """
    scale = np.divide(1.0, spread).astype(np.float32)
    scaled = (centres * scale).astype(np.float32)
    distance = np.empty(features.shape[:2], np.float32)

    def work(first: int, last: int) -> None:
        _nearest(features[first:last], scaled, scale, distance[first:last])

    run_bands(work, len(distance))
    return distance


@kernel
def _nearest(features, centres, scale, distance):  # type: ignore[no-untyped-def]
    for row in range(distance.shape[0]):
        for column in range(distance.shape[1]):
            least = np.float32(np.inf)
            for k in range(len(centres)):
                total = np.float32(0.0)
                for c in range(4):
                    away = features[row, column, c] * scale[c] - centres[k, c]
                    total += away * away
                least = min(least, total)
            distance[row, column] = least


def _hanging(
    hair: NDArray[np.float32],
    face: NDArray[np.bool_],
    height: NDArray[np.float32],
    face_height: float,
) -> NDArray[np.bool_]:
    """Where what looks like hair is one piece with the hair beside and above the eyes.

    A dark jacket looks like hair, too. What joins the two must be broader than a shadow.
    """
    alike = ((hair > 0.4) & ~face).astype(np.uint8)
    core = cv2.erode(alike, disc(0.015 * face_height))
    labels = cv2.connectedComponents(core)[1]
    on_head = np.zeros(int(labels.max()) + 1, bool)
    on_head[labels[height > 0.6]] = True
    on_head[0] = False
    jackets = ~on_head
    jackets[0] = False
    return cv2.dilate(jackets[labels].astype(np.uint8), disc(0.03 * face_height)) == 0


def _cluster_centres(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    thinned = np.ascontiguousarray(samples[:: max(1, len(samples) // 4000)])
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 20, 0.5)
    cv2.setRNGSeed(0)  # the same photo gives the same picture
    count = min(_HAIR_CLUSTERS, len(thinned))
    return np.asarray(cv2.kmeans(thinned, count, None, stop, 2, cv2.KMEANS_PP_CENTERS)[2])


def _polygons(
    work: WorkImage, patches: Iterable[Sequence[int] | NDArray[np.intp]]
) -> NDArray[np.bool_]:
    mask = np.zeros(work.image.shape[:2], np.uint8)
    for patch in patches:
        cv2.fillPoly(mask, [np.round(work.landmarks[list(patch), :2]).astype(np.int32)], 1)
    return mask > 0
