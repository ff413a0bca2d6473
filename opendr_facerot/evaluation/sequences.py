"""Flicker: how much a fixed view of a moving face changes from frame to frame, beside the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_POINT_COUNT
from opendr_facerot.errors import ImageError, NoFaceError, SettingsError
from opendr_facerot.evaluation.alignment import warp
from opendr_facerot.evaluation.pictures import masked_mean
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.scores import ViewScore
from opendr_facerot.geometry import SimilarityTransform, fit_similarity
from opendr_facerot.rotator import FaceRotator, FittedFace, TrackingRotator
from opendr_facerot.views import View

_SIZE = 256
_FACE_HEIGHT = 110.0  # pixels, about that of a face in a view of this size
_FOREHEAD, _CHIN = 10, 152


def evaluate_sequence(
    rotator: FaceRotator,
    observer: FaceObserver,
    frames: Sequence[NDArray[np.uint8]],
    views: Sequence[View],
    rate: float | None = None,
) -> tuple[FittedFace, list[ViewScore]]:
    """Temporal differences of views and of the face itself, mean over all pairs of frames.

    A difference is the mean over the face and the channels of |frame - frame before|, in grey
    levels. The input's faces are first laid on one another by their landmarks, so that the motion
    of the head, which a fixed view is to remove, does not count. The views are compared as they
    are, in the outline of the face that the first frame's view has.

    Args:
        rotator: The pipeline; its settings are put back after use.
        observer: Finds faces and landmarks.
        frames: ``(H, W, 3)`` uint8 RGB, at least two.
        views: The fixed views.
        rate: Frames a second, to follow the face from frame to frame; None to fit each by itself.

    Returns:
        The pipeline's fit of the first frame, and the scores of the views.

    Raises:
        ImageError: There are fewer than two frames.
        NoFaceError: A frame shows no face.
        SettingsError: The pipeline cannot follow faces.
    """
    if len(frames) < 2:
        raise ImageError(f"a sequence of {len(frames)} frames has no temporal difference: give two")
    before = rotator.settings
    rotator.settings = replace(before, output_size=_SIZE)
    try:
        fitted = _fitted(rotator, frames, rate)
        rendered = [[one.image for one in rotator.render(face, views)] for face in fitted]
    finally:
        rotator.settings = before
    of_input = _difference(*_registered(observer, frames))
    scores = []
    for view, images in zip(views, zip(*rendered, strict=True), strict=True):
        landmarks = _landmarks(observer, images[0])
        scores.append(
            ViewScore(
                yaw=view.yaw or 0.0,
                pitch=view.pitch or 0.0,
                temporal_input=of_input,
                temporal_view=None
                if landmarks is None
                else _difference(images, _hull(landmarks, _SIZE)),
                failure="no face is found in the view" if landmarks is None else None,
            )
        )
    return fitted[0], scores


def _fitted(
    rotator: FaceRotator, frames: Sequence[NDArray[np.uint8]], rate: float | None
) -> list[FittedFace]:
    """The largest face of each frame."""
    if rate is None:
        return [rotator.fit(frame)[0] for frame in frames]
    if not isinstance(rotator, TrackingRotator):
        raise SettingsError("the pipeline cannot follow faces: leave out the rate")
    tracker = rotator.track()
    try:
        return [tracker.fit(frame, k / rate)[0] for k, frame in enumerate(frames)]
    finally:
        tracker.close()


def _registered(
    observer: FaceObserver, frames: Sequence[NDArray[np.uint8]]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.bool_]]:
    """Faces of all frames, laid on that of the first at the scale of views, and its outline."""
    target: NDArray[np.float64] | None = None
    faces = []
    for k, frame in enumerate(frames):
        found = _landmarks(observer, frame)
        if found is None:
            raise NoFaceError(f"no landmarks are found in frame {k}")
        if target is None:
            scale = _FACE_HEIGHT / float(np.linalg.norm(found[_FOREHEAD] - found[_CHIN]))
            middle = (found[_FOREHEAD] + found[_CHIN]) / 2
            centred = SimilarityTransform(scale, np.eye(2), _SIZE / 2 - scale * middle)
            target = centred.apply(found)
        faces.append(warp(frame, fit_similarity(found, target), (_SIZE, _SIZE)))
    assert target is not None
    return faces, _hull(target, _SIZE)


def _landmarks(observer: FaceObserver, image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    face = observer.observe(image)
    if face is None or face.landmarks is None:
        return None
    return face.landmarks[:FACE_POINT_COUNT, :2].astype(np.float64)


def _hull(points: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    return mask > 0


def _difference(images: Sequence[NDArray[np.uint8]], mask: NDArray[np.bool_]) -> float:
    differences = (
        masked_mean(np.abs(after.astype(np.float64) - before).mean(axis=2), mask)
        for before, after in zip(images, images[1:], strict=False)
    )
    return fmean(value for value in differences if value is not None)
