"""Following faces: smoothing against signals that are known, names, and streams that are known."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot import Face, FittedFace
from opendr_facerot.detect.attention_mesh import MeshLandmarks
from opendr_facerot.geometry import Intrinsics, rotation_from_euler
from opendr_facerot.tracking.association import match_boxes, overlap
from opendr_facerot.tracking.face_finder import DETECTION_PERIOD, FaceFinder
from opendr_facerot.tracking.one_euro import (
    OneEuroFilter,
    OneEuroRotation,
    OneEuroSettings,
    rotation_vector,
)
from opendr_facerot.tracking.refresh import FollowedFrame, FullFits
from opendr_facerot.tracking.tracks import MEMORY

RATE = 30.0
PATIENCE = 10.0


# One-euro filter


def test_without_beta_a_step_is_followed_as_a_first_order_filter_does() -> None:
    cutoff, seconds = 2.0, 1e-3
    smooth = OneEuroFilter(OneEuroSettings(min_cutoff=cutoff, beta=0.0))
    smooth(0.0, seconds)
    answers = [float(smooth(1.0, seconds)) for _ in range(300)]
    time = seconds * np.arange(1, 301)
    np.testing.assert_allclose(answers, 1.0 - np.exp(-2.0 * np.pi * cutoff * time), atol=4e-3)


def test_without_beta_a_ramp_is_followed_at_the_distance_that_the_cutoff_says() -> None:
    cutoff = 1.5
    smooth = OneEuroFilter(OneEuroSettings(min_cutoff=cutoff, beta=0.0))
    for k in range(200):
        answer = float(smooth(3.0 * k / RATE, 1 / RATE))
    assert 3.0 * 199 / RATE - answer == pytest.approx(3.0 / (2.0 * np.pi * cutoff), rel=1e-6)


def test_the_lag_behind_a_ramp_shrinks_with_its_speed() -> None:
    settings = OneEuroSettings(min_cutoff=1.0, beta=2.0)
    for speed in (0.1, 1.0, 10.0):
        smooth = OneEuroFilter(settings)
        for k in range(400):
            answer = float(smooth(speed * k / RATE, 1 / RATE))
        lag = (speed * 399 / RATE - answer) / speed
        assert lag == pytest.approx(1.0 / (2.0 * np.pi * (1.0 + 2.0 * speed)), rel=1e-3)


def test_noise_at_rest_is_damped_as_the_filter_equation_says() -> None:
    random = np.random.default_rng(0)
    smooth = OneEuroFilter(OneEuroSettings(min_cutoff=0.5, beta=0.0))
    answers = np.array([smooth(random.normal(size=500), 1 / RATE) for _ in range(200)])
    share = 1.0 / (1.0 + RATE / (2.0 * np.pi * 0.5))
    expected = math.sqrt(share / (2.0 - share))  # of an exponential mean of white noise
    assert answers[100:].std() == pytest.approx(expected, rel=0.03)


def test_uneven_stamps_do_not_change_what_is_converged_to() -> None:
    random = np.random.default_rng(1)
    smooth = OneEuroFilter(OneEuroSettings(min_cutoff=2.0, beta=1.0))
    smooth([0.0, 0.0], 1.0)
    for _ in range(400):
        answer = smooth([2.0, -1.0], float(random.uniform(0.005, 0.2)))
    np.testing.assert_allclose(answer, [2.0, -1.0], atol=1e-6)


def test_a_rotation_about_one_axis_is_smoothed_as_its_angle_is() -> None:
    settings = OneEuroSettings(min_cutoff=1.0, beta=3.0)
    rotation, angle = OneEuroRotation(settings), OneEuroFilter(settings)
    start = rotation_from_euler(0.3, -0.2, 0.5)
    axis = np.array([2.0, -1.0, 0.5]) / math.sqrt(5.25)
    for k in range(60):
        theta = 0.8 * math.sin(k / 7.0)
        turned = rotation_of(theta * axis) @ start
        found = rotation(turned, 1 / RATE)
        wanted = rotation_of(float(angle(theta, 1 / RATE)) * axis) @ start
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def rotation_of(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rodrigues' formula, spelt out."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


def test_rotation_vectors_are_axis_times_angle() -> None:
    vector = np.array([0.3, -0.7, 0.2])
    np.testing.assert_allclose(rotation_vector(rotation_of(vector)), vector, atol=1e-9)


# Association


def test_boxes_are_paired_as_the_best_of_all_assignments_pairs_them() -> None:
    random = np.random.default_rng(2)
    for _ in range(30):
        known = boxes(random.uniform(100, 300, (4, 2)), random.uniform(60, 110, 4))
        found = known[random.permutation(4)] + random.uniform(-25, 25, (4, 1))
        pairs = match_boxes(known, found)
        if len(pairs) == 4:  # all within reach of one another
            assert cost(known, found, pairs) == pytest.approx(
                min(cost(known, found, list(enumerate(p))) for p in permutations(range(4)))
            )


def test_boxes_far_apart_or_of_other_sizes_are_no_pairs() -> None:
    here = boxes(np.array([[100.0, 100.0]]), np.array([50.0]))
    assert match_boxes(here, here + 25.0) == [(0, 0)]
    assert match_boxes(here, here + 28.0) == []
    assert match_boxes(here, boxes(np.array([[100.0, 100.0]]), np.array([100.0]))) == []
    assert match_boxes(here, np.zeros((0, 4))) == []


def test_overlap_is_intersection_over_union() -> None:
    a, b = np.array([0.0, 0.0, 10.0, 10.0]), np.array([5.0, 0.0, 15.0, 10.0])
    assert overlap(a, b) == pytest.approx(50.0 / 150.0)
    assert overlap(a, a + 20.0) == 0.0


def boxes(middles: NDArray[np.floating], sides: NDArray[np.floating]) -> NDArray[np.float64]:
    half = sides[:, None] / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def cost(
    known: NDArray[np.floating], found: NDArray[np.floating], pairs: Sequence[tuple[int, int]]
) -> float:
    total = 0.0
    for i, j in pairs:
        a, b = known[i], found[j]
        side_a, side_b = a[2] - a[0], b[2] - b[0]
        distance = math.dist((a[:2] + a[2:]) / 2, (b[:2] + b[2:]) / 2)
        total += distance / ((side_a + side_b) / 2) + abs(math.log(side_a / side_b))
    return total


# Names


class Scene:
    """Faces that move as told, with a detector and a landmark net that see them.

    A face is a square; one that another covers is not seen: both nets then find the one in front.
    """

    def __init__(self, paths: Sequence[Callable[[float], tuple[float, float, float] | None]]):
        self.paths = paths  # the first is in front
        self.now = 0.0
        self.looks = 0
        nets: Any = self
        self.finder = FaceFinder(nets, nets)

    def visible(self) -> list[NDArray[np.float64]]:
        seen: list[NDArray[np.float64]] = []
        for path in self.paths:
            place = path(self.now)
            if place is not None:
                x, y, side = place
                box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
                if all(overlap(box, other) < 0.4 for other in seen):
                    seen.append(box)
        return seen

    # FaceDetector and AttentionMesh

    def detect(self, image: NDArray[np.uint8], *, min_score: float, min_size: float) -> list[Face]:
        self.looks += 1
        return [
            Face(box.astype(np.float32), 0.9, np.zeros((5, 2), np.float32))
            for box in self.visible()
        ]

    def landmarks(self, image: NDArray[np.uint8], face: Face) -> MeshLandmarks:
        return self._near((face.box[:2] + face.box[2:]) / 2, float(face.box[2] - face.box[0]))

    def follow(self, image: NDArray[np.uint8], previous: NDArray[np.floating]) -> MeshLandmarks:
        low, high = previous[:, :2].min(0), previous[:, :2].max(0)
        return self._near((low + high) / 2, float((high - low).max()))

    def _near(self, middle: NDArray[np.floating], side: float) -> MeshLandmarks:
        """The face that lies nearest, if it lies in the net's view."""
        grid = np.linspace(0.0, 1.0, 478)
        found = min(
            self.visible(),
            key=lambda box: float(np.linalg.norm((box[:2] + box[2:]) / 2 - middle)),
            default=np.full(4, -1e9),
        )
        near = np.linalg.norm((found[:2] + found[2:]) / 2 - middle) < 0.7 * side
        box = found if near else np.array([*middle - side / 2, *middle + side / 2])
        x, y = box[0] + grid * (box[2] - box[0]), box[1] + grid * (box[3] - box[1])
        points = np.stack([x, y, np.zeros(478)], axis=1).astype(np.float32)
        return MeshLandmarks(points, 0.95 if near else 0.1)

    def play(
        self, seconds: float, rate: float = RATE, start: float = 0.0
    ) -> Iterator[dict[str, tuple[float, float]]]:
        """Names and middles of the faces found, frame by frame."""
        frame = np.zeros((480, 640, 3), np.uint8)
        for k in range(round(seconds * rate)):
            self.now = start + k / rate
            tracks = self.finder.find(frame, self.now, min_score=0.6, min_size=24)
            yield {track.face_id: tuple((track.box[:2] + track.box[2:]) / 2) for track in tracks}


def still(x: float, y: float, side: float) -> Callable[[float], tuple[float, float, float]]:
    return lambda time: (x, y, side)


def test_faces_keep_their_names_while_they_move() -> None:
    scene = Scene(
        [
            lambda t: (200 + 60 * math.sin(3 * t), 200.0, 80 + 30 * math.sin(2 * t)),
            lambda t: (480.0, 200 + 80 * math.cos(2 * t), 70.0),
        ]
    )
    for found in scene.play(4.0):
        assert set(found) == {"track0", "track1"}
        for name, path in zip(("track0", "track1"), scene.paths, strict=True):
            place = path(scene.now)
            assert place is not None
            assert math.dist(found[name], place[:2]) < 1.0


def test_two_faces_that_cross_keep_their_names() -> None:
    scene = Scene([lambda t: (120 + 120 * t, 220.0, 90.0), lambda t: (520 - 120 * t, 230.0, 80.0)])
    history = list(scene.play(3.2))
    assert len(history[50]) == 1  # one hides the other
    assert set(history[0]) == set(history[-1]) == {"track0", "track1"}
    front = min(history[0], key=lambda name: history[0][name][0])
    back = max(history[0], key=lambda name: history[0][name][0])
    assert history[-1][front][0] > 480
    assert history[-1][back][0] < 160


@pytest.mark.parametrize(("absence", "same"), [(0.5, True), (0.8, True), (1.6, False)])
def test_a_face_that_returns_has_a_new_name_after_a_second(absence: float, same: bool) -> None:
    def path(time: float) -> tuple[float, float, float] | None:
        return None if 1.0 <= time < 1.0 + absence else (300.0, 200.0, 90.0)

    history = list(Scene([path, still(500, 300, 60)]).play(4.0))
    gone, other = sorted(history[0], key=lambda name: history[0][name][0])
    assert set(history[40]) == {other}
    assert len(history[-1]) == 2
    assert other in history[-1]
    assert (gone in history[-1]) is same
    assert same is (absence < MEMORY)


def test_new_faces_are_found_within_half_a_second_without_a_look_at_every_frame() -> None:
    scene = Scene([still(200, 200, 90), lambda t: (500.0, 200.0, 80.0) if t >= 1.0 else None])
    history = list(scene.play(2.0))
    first = next(k for k, found in enumerate(history) if len(found) == 2)
    assert 1.0 <= first / RATE <= 1.5
    assert scene.looks <= 2.0 / DETECTION_PERIOD + 1


@pytest.mark.parametrize(
    ("pause", "skipped", "same"),
    [(1.5, None, False), (1.5, 0.1, True), (1.5, 1.2, False), (4.9, 0.1, True), (5.1, 0.1, False)],
)
def test_faces_keep_their_names_over_frames_that_were_skipped_but_not_over_a_gap_in_the_stream(
    pause: float, skipped: float | None, same: bool
) -> None:
    """``skipped`` is how long before the next frame the newest of those left out was taken."""
    scene = Scene([still(300, 200, 90)])
    for _ in scene.play(1.0):
        before = scene.now
    (track,) = scene.finder.find(
        np.zeros((480, 640, 3), np.uint8),
        before + pause,
        None if skipped is None else before + pause - skipped,
        min_score=0.6,
        min_size=24,
    )
    assert track.face_id == ("track0" if same else "track1")


def test_a_clock_that_jumps_back_makes_all_faces_new() -> None:
    scene = Scene([still(300, 200, 90)])
    assert set(list(scene.play(1.0, start=100.0))[-1]) == {"track0"}
    assert set(list(scene.play(0.5, start=50.0))[-1]) == {"track1"}


def test_stamps_that_stand_still_count_as_a_usual_rate() -> None:
    scene = Scene([still(300, 200, 90)])
    frame = np.zeros((480, 640, 3), np.uint8)
    for _ in range(31):
        scene.finder.find(frame, 0.0, min_score=0.6, min_size=24)
    assert scene.finder.time == pytest.approx(1.0)
    assert 2 <= scene.looks <= 4


# Full fits beside the stream


def frame_at(time: float) -> FollowedFrame:
    face = Face(np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32))
    image, landmarks = np.zeros((8, 8, 3), np.uint8), np.zeros((478, 3))
    return FollowedFrame(image, face, landmarks, Intrinsics(8.0, 3.5, 3.5), time)


@pytest.mark.parametrize("real_time", [False, True])
def test_full_fits_of_several_heads_are_begun_in_frames_that_lie_apart(real_time: bool) -> None:
    fits = FullFits(lambda *_: Mock(FittedFace), real_time=real_time)
    begun = []
    for k in range(61):
        for head in "ab":  # both are due from the first frame on
            if (fit := fits.begin(frame_at(k / 20))) is not None:
                begun.append((k / 20, head))
                fit.result(PATIENCE)
    fits.close()
    assert [time for time, _ in begun] == [0.0, 1.0, 2.0, 3.0]


def test_in_real_time_no_full_fit_queues_behind_one_that_is_late() -> None:
    go_on = threading.Event()

    def slow(*_: object) -> FittedFace:
        assert go_on.wait(PATIENCE)
        return Mock(FittedFace)

    for real_time in (False, True):
        go_on.clear()
        fits = FullFits(slow, real_time=real_time)
        assert fits.begin(frame_at(0.0)) is not None
        assert (fits.begin(frame_at(2.0)) is None) is real_time
        go_on.set()
        fits.close()
