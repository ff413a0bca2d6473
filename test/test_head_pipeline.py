"""The default pipeline on a real photo."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.runner import Evaluation
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.pipelines.second_thread import SecondThread
from opendr_facerot.views import View, view_grid

PHOTO = Path(__file__).parent / "data" / "astronaut.png"
YAWS_DEG = tuple(range(-60, 61, 15))


@pytest.fixture(scope="module")
def views(rotator: HeadRotator, astronaut_face: facerot.FittedFace) -> list[facerot.RotatedFace]:
    return list(rotator.render(astronaut_face, view_grid(yaw=YAWS_DEG, degrees=True)))


@pytest.fixture(scope="module")
def cut_out(rotator: HeadRotator, astronaut_face: facerot.FittedFace) -> list[facerot.RotatedFace]:
    """The same views over nothing."""
    with changed(rotator, background="transparent"):
        rotated = list(rotator.render(astronaut_face, view_grid(yaw=YAWS_DEG, degrees=True)))
    return rotated


@contextmanager
def changed(rotator: HeadRotator, **settings: Any) -> Iterator[None]:
    """Other settings than the default ones, for a while."""
    before, rotator.settings = rotator.settings, HeadRotator.Settings(**settings)
    try:
        yield
    finally:
        rotator.settings = before


def test_the_photo_s_pose_is_found(astronaut_face: facerot.FittedFace) -> None:
    angles = [math.degrees(a) for a in (astronaut_face.yaw, astronaut_face.pitch)]
    assert np.abs(angles).max() < 6.0  # she looks into the camera
    assert astronaut_face.flags == ()
    box = astronaut_face.face.box
    assert box[0] < 223 < box[2]
    assert box[1] < 110 < box[3]


def test_a_view_at_the_photo_s_pose_is_the_photo(
    rotator: HeadRotator, astronaut_face: facerot.FittedFace, astronaut: NDArray[np.uint8]
) -> None:
    (view,) = rotator.render(astronaut_face, [View(None, None)])
    assert (view.yaw, view.pitch, view.roll) == (
        astronaut_face.yaw,
        astronaut_face.pitch,
        astronaut_face.roll,
    )
    # Where in the photo the view lies: by registration, not by the pipeline's own numbers.
    centre, fit = view.image.astype(np.float32), np.eye(2, 3, dtype=np.float32)
    box = astronaut_face.face.box
    side = 2.0 * float(box[3] - box[1])
    fit[:, 2] = [(box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2]
    fit[:, :2] *= side / len(view.image)
    grey = [cv2.cvtColor(i.astype(np.float32), cv2.COLOR_RGB2GRAY) for i in (centre, astronaut)]
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 300, 1e-8)
    _, fit = cv2.findTransformECC(grey[0], grey[1], fit, cv2.MOTION_AFFINE, stop, None, 5)
    expected = cv2.warpAffine(
        astronaut, fit, view.image.shape[:2], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    error = (expected.astype(float) - view.image)[20:-20, 20:-20]
    assert 10 * math.log10(255**2 / np.mean(error**2)) > 36.0


def test_every_view_has_its_size_type_and_angles(views: list[facerot.RotatedFace]) -> None:
    for view, yaw in zip(views, YAWS_DEG, strict=True):
        assert view.image.shape == (256, 256, 3)
        assert view.image.dtype == np.uint8
        assert (view.yaw, view.pitch, view.roll) == (math.radians(yaw), 0.0, 0.0)
        assert view.alpha is None


def test_less_is_seen_the_further_the_head_turns(views: list[facerot.RotatedFace]) -> None:
    seen = [view.seen_fraction for view in views]
    assert 0.9 < seen[4] <= 1.0  # her collar hides a part of the neck
    assert all(a < b for a, b in pairwise(seen[:5]))
    assert all(a > b for a, b in pairwise(seen[4:]))
    assert min(seen) > 0.3


def test_plus_and_minus_are_different_pictures(views: list[facerot.RotatedFace]) -> None:
    """Not one picture, nor mirror images of one: the photo's two sides differ."""
    for k in range(4):
        minus, plus = views[k].image.astype(int), views[8 - k].image.astype(int)
        assert np.abs(minus - plus).mean() > 5.0
        assert np.abs(minus[:, ::-1] - plus).mean() > 5.0


def test_a_head_has_no_hole(cut_out: list[facerot.RotatedFace]) -> None:
    for view in cut_out:
        assert view.alpha is not None
        outside = np.pad(view.alpha < 250, 1, constant_values=True).astype(np.uint8)
        pieces, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
        holes = [stats[k, cv2.CC_STAT_AREA] for k in range(1, pieces) if k != labels[0, 0]]
        assert sum(holes) <= 6, f"{holes} pixels at yaw {math.degrees(view.yaw):.0f}"
        assert 0.15 < (view.alpha > 250).mean() < 0.6


def test_no_background_lands_on_the_head(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], astronaut_face: facerot.FittedFace
) -> None:
    """Paint the wall behind her green: no view of her head may turn green for it."""
    work = astronaut_face.state.scenery.work
    to_work = np.column_stack([np.eye(2) * work.scale, work.offset])
    person = cv2.warpAffine(
        rotator._matting.matte(work.image),
        to_work,
        astronaut.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )[..., None]
    painted = (astronaut * person + np.array([0, 255, 0]) * (1 - person)).astype(np.uint8)
    with changed(rotator, background="transparent"):
        (face,) = rotator.fit(painted)
        for view in rotator.render(face, view_grid(yaw=YAWS_DEG, degrees=True)):
            assert view.alpha is not None
            red, green, blue = view.image[view.alpha > 250].astype(int).T
            spill = (green - np.maximum(red, blue) > 60).mean()
            assert spill < 0.005, f"{spill:.2%} green at yaw {math.degrees(view.yaw):.0f}"


def test_identity_and_pose_survive_the_turn(rotator: HeadRotator) -> None:
    evaluation = Evaluation(rotator, yaws=[math.radians(y) for y in YAWS_DEG])
    (result,) = evaluation.run([PHOTO])
    for score in result.subject.views:
        yaw = round(math.degrees(score.yaw))
        assert score.identity_source is not None
        floor = {0: 0.93, 15: 0.88, 30: 0.75, 45: 0.60, 60: 0.45}[abs(yaw)]
        assert score.identity_source >= floor, f"SFace {score.identity_source:.3f} at yaw {yaw}"
        # The landmark net reads this smiling face's larger yaws short, one side more than the
        # other; a neutral face comes out within 2 degrees. Beyond 45 it guesses, or finds none.
        if abs(yaw) <= 45:
            assert score.found is not None
            reach = {0: 3.0, 15: 4.0, 30: 8.0, 45: 12.5}[abs(yaw)]
            assert abs(math.degrees(score.found[0]) - yaw) < reach


@pytest.mark.parametrize("size", [64, 200, 1024])
def test_any_size_shows_the_same_picture(
    rotator: HeadRotator, astronaut_face: facerot.FittedFace, size: int
) -> None:
    (reference,) = rotator.render(astronaut_face, [View(0.5, 0.0)])
    with changed(rotator, output_size=size):
        (view,) = rotator.render(astronaut_face, [View(0.5, 0.0)])
    assert view.image.shape == (size, size, 3)
    small = [
        cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
        for image in (reference.image, view.image)
    ]
    assert np.abs(small[0] - small[1]).mean() < 4.0


def test_a_colour_background_is_that_colour(
    rotator: HeadRotator, astronaut_face: facerot.FittedFace
) -> None:
    with changed(rotator, background=(10, 200, 30)):
        (view,) = rotator.render(astronaut_face, [View(-0.4, 0.1)])
    assert (view.image[:8] == (10, 200, 30)).all()
    assert (view.image[128, 128] != (10, 200, 30)).any()


def test_the_pitch_asked_for_is_found_in_the_view(
    rotator: HeadRotator, astronaut_face: facerot.FittedFace
) -> None:
    observer = FaceObserver()
    for view in rotator.render(astronaut_face, view_grid(pitch=(-25, 0, 25), degrees=True)):
        found = observer.observe(view.image)
        assert found is not None
        assert found.angles is not None
        assert math.degrees(abs(found.angles[1] - view.pitch)) < 8.0


def test_two_faces_give_two_heads_largest_first(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    small = cv2.resize(astronaut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.full((512, 820, 3), 127, np.uint8)
    both[:, 308:], both[: small.shape[0], :307] = astronaut, small
    faces = rotator.fit(both)
    assert len(faces) == 2
    assert faces[0].face.box[0] > 308 > faces[1].face.box[0]
    pictures = [next(rotator.render(face, [View(0.3, 0.0)])).image.astype(int) for face in faces]
    assert np.abs(pictures[0] - pictures[1])[60:180, 80:180].mean() < 32  # the same woman
    with changed(rotator, max_faces=1):
        assert len(rotator.fit(both)) == 1


def test_the_same_photo_gives_the_same_picture(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], views: list[facerot.RotatedFace]
) -> None:
    again = rotator.render(rotator.fit(astronaut)[0], view_grid(yaw=YAWS_DEG, degrees=True))
    for first, second in zip(views, again, strict=True):
        np.testing.assert_array_equal(first.image, second.image)


def test_one_thread_reconstructs_the_same_bits_as_two(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for threads in (1, 2):
        monkeypatch.setattr(rotator, "_second", SecondThread(threads))
        states.append(rotator.fit(astronaut)[0].state)
    one, two = states
    np.testing.assert_array_equal(one.vertices, two.vertices)
    for part in ("appearance", "appearance.detail", "scenery.plate"):
        first, second = (vars(attrgetter(part)(state)) for state in states)
        for name, values in first.items():
            if part == "appearance" and name == "detail":
                continue  # a part of its own
            np.testing.assert_array_equal(values, second[name], err_msg=f"{part}.{name}")


def test_no_face_is_an_error_that_says_what_to_do(rotator: HeadRotator) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    with pytest.raises(facerot.NoFaceError, match=r"no face found in the 400x300 image.*min_score"):
        rotator.fit(noise)


def test_wrong_arrays_are_refused(rotator: HeadRotator) -> None:
    with pytest.raises(facerot.ImageError, match=r"shape \(40, 40\)"):
        rotator.fit(np.zeros((40, 40), np.uint8))


def test_small_and_turned_faces_are_flagged(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], astronaut_face: facerot.FittedFace
) -> None:
    small = cv2.resize(astronaut, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    assert "low_resolution" in rotator.fit(small)[0].flags
    with changed(rotator, output_size=512):
        (turned,) = rotator.render(astronaut_face, [View(math.radians(50), 0.0)])
    assert "extreme_source_pose" in rotator.fit(turned.image)[0].flags


def test_a_face_cut_by_the_frame_is_flagged_and_still_rendered(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    (face,) = rotator.fit(np.ascontiguousarray(astronaut[:, 205:]))
    assert "cut_by_frame" in face.flags
    (view,) = rotator.render(face, [View(0.3, 0.0)])
    assert view.image.std() > 20


def test_another_device_is_refused() -> None:
    with pytest.raises(facerot.DeviceError, match="'cuda:7'"):
        facerot.load("head", device="cuda:7")


def test_it_implements_the_protocol(rotator: HeadRotator) -> None:
    assert isinstance(rotator, facerot.FaceRotator)
    assert rotator.device == "cpu"
