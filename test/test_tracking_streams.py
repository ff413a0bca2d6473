"""Streams made of a photo whose motion is known, followed by the head pipeline."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot import FittedFace, NoFaceError, View, view_grid
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.sequences import evaluate_sequence
from opendr_facerot.evaluation.streams import RATE, StreamFrame, swaying, talking, turning
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.rotator import TrackingRotator

PATIENCE = 20.0


def follow(rotator: HeadRotator, frames: Sequence[StreamFrame]) -> list[list[FittedFace]]:
    tracker = rotator.track()
    try:
        return [tracker.fit(frame.image, frame.stamp) for frame in frames]
    finally:
        tracker.close()


def flicker(
    rotator: HeadRotator, frames: Sequence[StreamFrame], rate: float | None
) -> tuple[float, list[float]]:
    """Mean difference between frames of the face itself, and of three views of it."""
    views = view_grid(yaw=(0, 30, 60), degrees=True)
    images = [frame.image for frame in frames]
    _, scores = evaluate_sequence(rotator, FaceObserver(), images, views, rate)
    assert scores[0].temporal_input is not None
    return scores[0].temporal_input, [s.temporal_view for s in scores if s.temporal_view]


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["swaying", "turning", "talking"])
def test_views_of_a_face_that_is_followed_change_less_than_the_face_itself(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], stream: str
) -> None:
    frames = {
        "swaying": lambda: swaying(astronaut, 30),
        "turning": lambda: turning(rotator, astronaut, 30, math.radians(20), 0.5),
        "talking": lambda: talking(rotator, astronaut, 30, 1.0),
    }[stream]()
    images = list(frames)
    of_input, of_views = flicker(rotator, images, RATE)
    assert len(of_views) == 3
    assert max(of_views) < 0.85 * of_input
    _, by_itself = flicker(rotator, images[10:16], None)
    # Views of single photos have the head in their middle too, so the motion is not in theirs.
    assert sum(of_views) < 0.95 * sum(by_itself), (of_views, by_itself)


@pytest.mark.slow
def test_the_yaw_of_a_turning_head_is_found_without_a_lag_of_more_than_two_frames(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    frames = list(turning(rotator, astronaut, 60, math.radians(20), 0.5))
    found = np.array([faces[0].yaw for faces in follow(rotator, frames)])
    true = np.array([frame.yaw for frame in frames])
    assert np.degrees(np.sqrt(np.mean((found - true) ** 2))) < 3.5
    delay, error = best_delay(true, found)
    assert -0.5 < delay < 2.0
    assert math.degrees(error) < 1.0


def best_delay(true: NDArray[np.floating], found: NDArray[np.floating]) -> tuple[float, float]:
    """Frames by which a signal comes later, up to scale and offset, and what is then left of it."""
    k = np.arange(len(true))
    best = (math.inf, 0.0)
    for delay in np.arange(-3.0, 6.0, 0.1):
        shifted = np.interp(k - delay, k, true)[10:]
        basis = np.c_[shifted, np.ones_like(shifted)]
        fit = basis @ np.linalg.lstsq(basis, found[10:], rcond=None)[0]
        best = min(best, (float(np.sqrt(np.mean((fit - found[10:]) ** 2))), float(delay)))
    return best[1], best[0]


@pytest.mark.slow
def test_a_mouth_that_opens_opens_in_the_view_at_once(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    frames = list(talking(rotator, astronaut, 31, 1.0))
    faces = follow(rotator, frames)
    observer = FaceObserver()

    def opening(image: NDArray[np.uint8]) -> float:
        """Between the lips' inner borders, in face heights."""
        face = observer.observe(image)
        assert face is not None
        assert face.landmarks is not None
        points = face.landmarks[:, :2]
        return math.dist(points[13], points[14]) / math.dist(points[10], points[152])

    (view,) = view_grid(yaw=(30,), degrees=True)
    of_input = np.array([opening(frame.image) for frame in frames])
    of_view = np.array([opening(next(rotator.render(f[0], [view])).image) for f in faces])
    assert of_view[15] - of_view[0] > 0.6 * (of_input[15] - of_input[0]) > 0.02
    half_open = [(o - o[0] > 0.5 * (o[15] - o[0])).argmax() for o in (of_input, of_view)]
    assert abs(int(half_open[1]) - int(half_open[0])) <= 2


@pytest.mark.slow
def test_a_stream_gives_the_same_pictures_however_fast_it_comes(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_fits = Mock(side_effect=rotator._reconstruct)
    monkeypatch.setattr(rotator, "_reconstruct", full_fits)
    frames = [
        StreamFrame(frame.image, 8.0 * frame.stamp) for frame in swaying(astronaut, 34)
    ]  # 9 seconds: long enough for a second full fit
    views = [View(0.5), View(None, 0.2)]
    runs = []
    for pause in (0.0, 0.03):
        tracker = rotator.track()
        pictures = []
        for frame in frames:
            time.sleep(pause)
            (face,) = tracker.fit(frame.image, frame.stamp)
            pictures.append([rotated.image for rotated in rotator.render(face, views)])
        tracker.close()
        runs.append(np.array(pictures))
    assert full_fits.call_count == 2 * 2  # that of the first frame, and one beside the stream
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.slow
def test_hair_that_is_not_seen_is_made_up_once(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_fit, fitted = rotator._reconstruct, []

    def counted(*arguments: Any) -> FittedFace:
        fitted.append(full_fit(*arguments))
        return fitted[-1]

    monkeypatch.setattr(rotator, "_reconstruct", counted)
    tracker = rotator.track()
    try:
        details = []
        for second in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.2, 7.0):  # mixed from 6.0 on
            (face,) = tracker.fit(astronaut, second)
            details.append(face.state.appearance.detail)
    finally:
        tracker.close()
    first, *later = (face.state.appearance.detail for face in fitted)
    assert later
    assert all(detail is not first for detail in later)
    assert all(detail is first for detail in details)


@pytest.mark.slow
@pytest.mark.parametrize("real_time", [False, True])
def test_a_late_full_fit_is_waited_for_except_in_real_time(
    rotator: HeadRotator,
    astronaut: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    real_time: bool,
) -> None:
    """The full fits of a stream are told apart by their flags."""
    full_fit, go_on = rotator._reconstruct, threading.Event()
    numbers = itertools.count()

    def marked(*arguments: Any) -> FittedFace:
        number = next(numbers)
        if number == 1:
            assert go_on.wait(PATIENCE)
        return replace(full_fit(*arguments), flags=(f"fit{number}",))

    monkeypatch.setattr(rotator, "_reconstruct", marked)
    tracker = rotator.track(real_time=real_time)

    def flags(stamp: float) -> tuple[str, ...]:
        (face,) = tracker.fit(astronaut, stamp)
        return face.flags

    try:
        for second in range(6):  # the second full fit is begun in the last of these frames
            assert flags(float(second)) == ("fit0",)
        if real_time:
            assert [flags(6.0), flags(6.5)] == [("fit0",)] * 2
            go_on.set()
            deadline = time.monotonic() + PATIENCE
            while flags(6.6) == ("fit0",):
                assert time.monotonic() < deadline
        else:
            release = threading.Timer(0.3, go_on.set)
            release.start()
            assert flags(6.0) == ("fit1",)
            assert go_on.is_set()
    finally:
        go_on.set()
        tracker.close()


def test_the_first_frame_looks_as_the_photo_alone_does(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], astronaut_face: FittedFace
) -> None:
    tracker = rotator.track()
    (face,) = tracker.fit(astronaut, 0.0)
    tracker.close()
    assert face.face_id == "track0"
    assert astronaut_face.face_id is None
    for angle in (face.yaw - astronaut_face.yaw, face.pitch - astronaut_face.pitch):
        assert abs(math.degrees(angle)) < 1.0
    views = view_grid(yaw=(-40, 30), degrees=True)
    for one, other in zip(
        rotator.render(face, views), rotator.render(astronaut_face, views), strict=True
    ):
        assert np.abs(one.image.astype(float) - other.image).mean() < 6.0


def test_a_frame_without_a_face_says_so_and_the_name_is_kept(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    assert isinstance(rotator, TrackingRotator)
    tracker = rotator.track()
    assert [f.face_id for f in tracker.fit(astronaut, 0.0)] == ["track0"]
    with pytest.raises(NoFaceError, match="no face found in the 512x512 image"):
        tracker.fit(np.full_like(astronaut, 90), 0.1)
    assert [f.face_id for f in tracker.fit(astronaut, 0.2)] == ["track0"]
    tracker.close()


@pytest.mark.slow
def test_a_face_that_jumps_is_shown_in_its_new_place_within_three_frames(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    moved = np.roll(astronaut, 40, axis=1)
    frames = [StreamFrame(image, k / RATE) for k, image in enumerate([astronaut] * 6 + [moved] * 6)]
    (view,) = view_grid(yaw=(20,), degrees=True)
    views = [
        next(rotator.render(faces[0], [view])).image.astype(float)
        for faces in follow(rotator, frames)
    ]
    after = [float(np.abs(image - views[5]).mean()) for image in views[6:]]
    assert max(after[2:]) < 2.5
    assert max(after) < 7.0
