"""A head seen from known sides: synthesised views against the true ones.

A posed folder holds pictures named ``y+30_p-15.png``: yaw and pitch, in degrees, of the head before
a camera, turned by ``Rx(pitch) @ Ry(yaw)``; zero need not be the head's own zero. One picture is
the source. Its estimated head rotation, turned by the known rotation between it and another
picture, gives the absolute head angles to ask for. Views come upright: the roll that this leaves is
given to them afterwards, in the picture. The source itself is asked for as "keep the photo's
angles". Where the head lies in the true picture: :mod:`opendr_facerot.evaluation.alignment`.

Masks: background is what has the colour of the picture's border; the head is the rest above the
chin (the median row of its landmark over the views of one pitch); the face is the part of the head
in the convex hull of the landmarks of the true view.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_POINT_COUNT
from opendr_facerot.errors import NoFaceError
from opendr_facerot.evaluation.alignment import Correspondence, chain, fit_orbit, register, warp
from opendr_facerot.evaluation.identity import IdentityNet, cosine
from opendr_facerot.evaluation.leak import leak_fractions
from opendr_facerot.evaluation.pictures import masked_mean, masked_psnr, ssim_map
from opendr_facerot.evaluation.pose import FaceObserver, ObservedFace
from opendr_facerot.evaluation.scores import ViewPictures, ViewScore
from opendr_facerot.geometry import (
    Intrinsics,
    SimilarityTransform,
    euler_from_rotation,
    fit_similarity,
    rotation_from_euler,
)
from opendr_facerot.imaging import read_image
from opendr_facerot.rotator import MAX_SIZE, FaceRotator, FittedFace, RotatedFace
from opendr_facerot.views import View

_NAME = re.compile(r"y([+-]?\d+(?:\.\d+)?)_p([+-]?\d+(?:\.\d+)?)\.(?:png|jpe?g|webp)", re.I)
_PORTRAIT_FOV = math.radians(35.0)
_LANDMARKS_UP_TO = math.radians(61.0)  # beyond, the landmarks of the far side are guesses
_BACKGROUND_DISTANCE = 12  # of 255: what differs less from the border's colour is background
_COVERED = 128  # of 255
_CHIN = 152


@dataclass(frozen=True, eq=False)
class TrueView:
    """One picture of a posed folder.

    Attributes:
        yaw: Radians, as its name says.
        pitch: Radians, as its name says.
        image: ``(H, W, 3)`` uint8 RGB.
    """

    yaw: float
    pitch: float
    image: NDArray[np.uint8]

    @property
    def rotation(self) -> NDArray[np.float64]:
        """``(3, 3)``, model space, from the folder's zero."""
        return rotation_from_euler(0.0, self.pitch) @ rotation_from_euler(self.yaw)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A true view and, in a frame of its own, the synthesised one.

    Attributes:
        turn: ``(3, 3)`` from the source to the true view.
        roll: What the synthesised view lacks of the true one's, radians.
        alpha: ``(N, N)`` uint8 coverage of the synthesised head.
        face_true: What is found in the true view.
        face_ours: What is found in the synthesised view.
    """

    true: TrueView
    turn: NDArray[np.float64]
    roll: float
    rotated: RotatedFace
    alpha: NDArray[np.uint8]
    face_true: ObservedFace | None
    face_ours: ObservedFace | None

    def landmarks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """``(N, 2)`` pixels in the synthesised and in the true view; None if not to be trusted."""
        if abs(self.true.yaw) > _LANDMARKS_UP_TO:
            return None
        ours, true = _points(self.face_ours), _points(self.face_true)
        return None if ours is None or true is None else (ours, true)


def is_posed(folder: Path) -> bool:
    """Whether a folder holds pictures with the names of a posed folder."""
    return folder.is_dir() and any(_NAME.fullmatch(path.name) for path in folder.iterdir())


def read_posed(folder: Path) -> list[TrueView]:
    """The pictures of a posed folder, by pitch, then yaw.

    Raises:
        ImageError: One of them cannot be read.
    """
    views = []
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            yaw, pitch = (math.radians(float(text)) for text in match.groups())
            views.append(TrueView(yaw, pitch, read_image(path)))
    return sorted(views, key=lambda view: (view.pitch, view.yaw))


def evaluate_posed(
    rotator: FaceRotator,
    observer: FaceObserver,
    identity: IdentityNet,
    views: Sequence[TrueView],
    source: TrueView,
    fov: float | None = None,
) -> tuple[FittedFace, list[ViewScore], list[ViewPictures]]:
    """Make every view from one of them, and score it.

    Args:
        rotator: The pipeline; its settings are put back after use.
        observer: Finds faces, landmarks and poses.
        identity: Tells who a face is.
        views: The true views; the source is among them.
        source: The one that the pipeline is given.
        fov: Vertical field of view of the camera, radians; None for that of the settings.

    Returns:
        The pipeline's fit, the scores of all views, and the pictures of those that exist.

    Raises:
        NoFaceError: The pipeline finds no face in the source.
    """
    before = rotator.settings
    # Views are brought to the scale of the true ones: from the largest size, that costs the least.
    rotator.settings = replace(before, output_size=MAX_SIZE, fov=fov or before.fov)
    try:
        return _evaluate(rotator, observer, identity, views, source)
    finally:
        rotator.settings = before


def _evaluate(
    rotator: FaceRotator,
    observer: FaceObserver,
    identity: IdentityNet,
    views: Sequence[TrueView],
    source: TrueView,
) -> tuple[FittedFace, list[ViewScore], list[ViewPictures]]:
    fitted = rotator.fit(source.image)[0]
    pairs = [_make_pair(rotator, observer, fitted, true, source) for true in views]
    made = [pair for pair in pairs if pair is not None]
    at_source = next(pair for pair in made if pair.true is source)
    to_photo = _frame_of_photo(at_source)
    to_true = _frames_of_true_views(made, to_photo, rotator.settings.fov or _PORTRAIT_FOV)
    chins = _chin_rows(made)
    matte = _foreground(source.image).astype(np.float32)
    leaks = leak_fractions(rotator, source.image, matte, [pair.rotated.view for pair in made])
    reference = _embedding(identity, source.image, at_source.face_true)
    results = {
        pair.true: _score(pair, to_true[k], chins[k], leaks[k], observer, identity, reference)
        for k, pair in enumerate(made)
    }
    past = "the head is turned past profile"
    scores = [
        results[true][0] if true in results else ViewScore(true.yaw, true.pitch, failure=past)
        for true in views
    ]
    return fitted, scores, [pictures for _, pictures in results.values()]


def _make_pair(
    rotator: FaceRotator,
    observer: FaceObserver,
    fitted: FittedFace,
    true: TrueView,
    source: TrueView,
) -> _Pair | None:
    """None where the head is turned past profile: no view can be asked for."""
    turn = true.rotation @ source.rotation.T
    wanted = turn @ rotation_from_euler(fitted.yaw, fitted.pitch, fitted.roll)
    if wanted[0, 0] <= 0.0:
        return None
    yaw, pitch, roll = euler_from_rotation(wanted)
    view = View(None, None) if true is source else View(yaw, pitch)
    opaque, settings = next(iter(rotator.render(fitted, [view]))), rotator.settings
    rotator.settings = replace(settings, background="transparent")
    alpha = next(iter(rotator.render(fitted, [view]))).alpha
    rotator.settings = settings
    assert alpha is not None
    return _Pair(
        true=true,
        turn=turn,
        roll=roll - opaque.roll,
        rotated=opaque,
        alpha=alpha,
        face_true=observer.observe(true.image),
        face_ours=observer.observe(opaque.image),
    )


def _points(face: ObservedFace | None) -> NDArray[np.float64] | None:
    if face is None or face.landmarks is None:
        return None
    return face.landmarks[:FACE_POINT_COUNT, :2].astype(np.float64)


def _frame_of_photo(at_source: _Pair) -> SimilarityTransform:
    """From pixels of the synthesised views, which share one camera, to pixels of the photo."""
    landmarks = at_source.landmarks()
    if landmarks is None:
        raise NoFaceError("no landmarks are found in the source or in the view of its own pose")
    start = fit_similarity(*landmarks)
    photo = at_source.true.image
    head = warp(at_source.alpha, start, (photo.shape[1], photo.shape[0])) >= _COVERED
    return register(at_source.rotated.image, photo, head, start)


def _frames_of_true_views(
    pairs: Sequence[_Pair], to_photo: SimilarityTransform, fov: float
) -> list[SimilarityTransform]:
    """From pixels of the synthesised views to pixels of the true ones."""
    height, width = pairs[0].true.image.shape[:2]
    found = [
        Correspondence(pair.turn, pair.roll, to_photo.apply(landmarks[0]), landmarks[1])
        for pair in pairs
        if (landmarks := pair.landmarks()) is not None
    ]
    orbit = fit_orbit(found, Intrinsics.from_fov(width, height, fov))
    return [chain(to_photo, orbit.transform(pair.turn, pair.roll)) for pair in pairs]


def _chin_rows(pairs: Sequence[_Pair]) -> list[float]:
    """Row of the chin in each true view; the bottom row where no view of its pitch shows one."""
    found: dict[float, list[float]] = {}
    for pair in pairs:
        if (landmarks := pair.landmarks()) is not None:
            found.setdefault(pair.true.pitch, []).append(float(landmarks[1][_CHIN, 1]))
    return [float(np.median(found.get(pair.true.pitch, [len(pair.true.image)]))) for pair in pairs]


def _foreground(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """``(H, W)``, what has another colour than the border, and what that surrounds."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    distance = np.abs(image.astype(int) - np.median(border, axis=0)).max(axis=2)
    differs = (distance > _BACKGROUND_DISTANCE).astype(np.uint8)
    outlines, _ = cv2.findContours(differs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(differs)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled > 0


def _embedding(
    identity: IdentityNet, image: NDArray[np.uint8], face: ObservedFace | None
) -> NDArray[np.float32] | None:
    return None if face is None else identity.embedding(image, face.face)


def _score(
    pair: _Pair,
    to_true: SimilarityTransform,
    chin_row: float,
    leak: float | None,
    observer: FaceObserver,
    identity: IdentityNet,
    reference: NDArray[np.float32] | None,
) -> tuple[ViewScore, ViewPictures]:
    truth = pair.true.image
    height, width = truth.shape[:2]
    ours = warp(pair.rotated.image, to_true, (width, height))
    covered = warp(pair.alpha, to_true, (width, height)) >= _COVERED
    true_head = _foreground(truth) & (np.arange(height)[:, None] < chin_row)
    head = true_head & covered
    outline = np.zeros((height, width), np.uint8)
    if (landmarks := pair.landmarks()) is not None:
        hull = cv2.convexHull(np.round(landmarks[1]).astype(np.int32))
        cv2.fillConvexPoly(outline, hull, 1)
    face = head & (outline > 0)
    similarity = ssim_map(ours, truth)

    found = observer.observe(ours)
    ours_is, true_is = (
        _embedding(identity, image, seen)
        for image, seen in ((ours, found), (truth, pair.face_true))
    )
    score = ViewScore(
        yaw=pair.true.yaw,
        pitch=pair.true.pitch,
        asked=(pair.rotated.yaw, pair.rotated.pitch),
        found=_yaw_pitch(found),
        found_true=_yaw_pitch(pair.face_true),
        identity_source=cosine(ours_is, reference),
        identity_true=cosine(ours_is, true_is),
        identity_ceiling=cosine(true_is, reference),
        psnr_head=masked_psnr(ours, truth, head),
        psnr_face=masked_psnr(ours, truth, face),
        ssim_head=masked_mean(similarity, head),
        ssim_face=masked_mean(similarity, face),
        holes=masked_mean(~covered, true_head),
        leak=leak,
        seen=pair.rotated.seen_fraction,
        misalignment=_misalignment(landmarks, to_true),
        failure="no face is found in the view" if found is None else None,
    )
    return score, ViewPictures(pair.true.yaw, pair.true.pitch, ours, truth, true_head)


def _yaw_pitch(face: ObservedFace | None) -> tuple[float, float] | None:
    return None if face is None or face.angles is None else face.angles[:2]


def _misalignment(
    landmarks: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    to_true: SimilarityTransform,
) -> float | None:
    if landmarks is None:
        return None
    ours, true = landmarks
    return float(np.median(np.linalg.norm(to_true.apply(ours) - true, axis=1)))
