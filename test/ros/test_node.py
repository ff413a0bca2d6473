"""The node in a process of its own, as its clients see it."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math

import numpy as np
from graph import Graph
from sensor_msgs.msg import Image
from squares import picture, view_colour
from std_msgs.msg import Header

from opendr_facerot.ros.images import image_from_message, image_message
from opendr_facerot_interfaces.srv import RotateFace

Code = RotateFace.Response


def test_two_faces_give_two_arrays_with_the_header_of_the_frame(shared: Graph) -> None:
    assert shared.set_parameters(yaw_deg=[-30.0, 45.0], pitch_deg=[10.0]) == ""
    shared.subscribe()
    header = shared.publish(picture(sides=(40, 60)), stamp=7)
    shared.wait(lambda: len(shared.faces) >= 2, "two faces")

    first, second = shared.faces
    assert first.header == second.header == header
    assert (first.face_id, second.face_id) == ("face0", "face1")
    assert (first.roi.x_offset, first.roi.y_offset, first.roi.width) == (60, 20, 60)
    assert (second.roi.x_offset, second.roi.y_offset, second.roi.width) == (10, 20, 40)
    for face in shared.faces:
        assert face.detection_score == 0.875
        assert (face.source_yaw, face.source_pitch, face.source_roll) == (0.25, -0.125, 0.0625)
        assert list(face.flags) == ["square"]
        assert [v.yaw for v in face.views] == pytest.approx(np.radians([-30, 45]).tolist())
        assert [v.applied_pitch for v in face.views] == pytest.approx([math.radians(10)] * 2)
        assert face.processing_time.sec == 0
        assert face.processing_time.nanosec > 0
        for view in face.views:
            assert view.image.header == header
            assert (view.image.width, view.image.height) == (256, 256)
            pixels = image_from_message(view.image)
            assert np.all(pixels == view_colour(view.applied_yaw, view.applied_pitch))


def test_service_turns_the_image_of_the_request(shared: Graph) -> None:
    answer = shared.rotate(picture((50, 20, 30)), yaw=(0.5, -0.5), pitch=(0.0, 0.25), grid=True)

    assert (answer.success, answer.error_code, answer.message) == (True, Code.NO_ERROR, "")
    assert [face.roi.width for face in answer.faces] == [50, 30, 20]
    angles = [(view.yaw, view.pitch) for view in answer.faces[0].views]
    assert angles == [(0.5, 0.0), (-0.5, 0.0), (0.5, 0.25), (-0.5, 0.25)]
    assert answer.faces[0].header.frame_id == "request"


def test_pairs_max_faces_and_kept_angles(shared: Graph) -> None:
    answer = shared.rotate(
        picture((50, 20)), yaw=(math.nan, 1.0), pitch=(0.5, math.nan), max_faces=1
    )

    (face,) = answer.faces
    kept_yaw, kept_pitch = face.views
    assert math.isnan(kept_yaw.yaw)
    assert (kept_yaw.applied_yaw, kept_yaw.applied_pitch) == (0.25, 0.5)
    assert math.isnan(kept_pitch.pitch)
    assert (kept_pitch.applied_yaw, kept_pitch.applied_pitch) == (1.0, -0.125)


def test_empty_image_means_the_latest_frame(shared: Graph) -> None:
    header = shared.publish(picture((33,)), stamp=21)
    shared.wait(lambda: shared.rotate().success, "the frame to be the latest")
    answer = shared.rotate()
    assert answer.faces[0].header == header
    assert answer.faces[0].roi.width == 33


@pytest.mark.parametrize(
    ("yaw", "pitch", "grid", "told"),
    [
        ((math.inf,), (0.0,), False, "inf"),
        ((2.0,), (0.0,), False, "2.0000 rad (114.6°)"),
        ((0.0,), (-1.7,), False, "-1.7000 rad (-97.4°)"),
        ((), (0.0,), False, "yaw angles is empty"),
        ((0.0,), (), True, "pitch angles is empty"),
        ((0.0, 0.1, 0.2), (0.0, 0.1), False, "3 yaw and 2 pitch"),
        ((0.0,) * 40, (0.0,) * 40, True, "1600 views"),
    ],
)
def test_bad_angles(
    shared: Graph, yaw: tuple[float, ...], pitch: tuple[float, ...], grid: bool, told: str
) -> None:
    answer = shared.rotate(picture(), yaw, pitch, grid=grid)
    assert (answer.success, answer.error_code) == (False, Code.BAD_ANGLES)
    assert told in answer.message
    assert len(answer.faces) == 0


def malformed(**fields: object) -> Image:
    message = image_message(picture(), Header())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


MALFORMED = [
    (malformed(step=900), "900"),
    (malformed(step=0), "step"),
    (malformed(height=241), "data"),
    (malformed(height=0), "320x0"),
    (malformed(width=2**31), "2147483648"),
    (malformed(encoding="rgb9"), "'rgb9'"),
    (malformed(encoding=""), "''"),
    (malformed(encoding="32FC1"), "'32FC1'"),
    (malformed(is_bigendian=7), "7"),
    (malformed(width=10_000, height=10_000, step=30_000), "100 megapixels"),
    (malformed(width=1, height=1, step=3), "1x1"),
]


@pytest.mark.parametrize(("image", "told"), MALFORMED)
def test_malformed_image_of_a_request(shared: Graph, image: Image, told: str) -> None:
    answer = shared.rotate(image)
    assert (answer.success, answer.error_code) == (False, Code.BAD_IMAGE)
    assert told in answer.message


@pytest.mark.slow
def test_malformed_frames_are_counted_and_survived(shared: Graph) -> None:
    shared.subscribe()
    before = shared.counts()
    for image, _ in MALFORMED:
        shared.publish(image)
        # The answer comes after the frame was taken up, so no frame replaces another.
        assert shared.rotate(picture()).success
    shared.wait(
        lambda: _difference(shared.counts(), before, "frames rejected") == len(MALFORMED),
        "all frames to be rejected",
    )
    shared.publish(picture(), stamp=99)
    shared.wait(lambda: shared.faces and shared.faces[-1].header.stamp.sec == 99, "a good frame")


def _difference(after: dict[str, str], before: dict[str, str], key: str) -> int:
    return int(after[key]) - int(before[key])


@pytest.mark.slow
def test_no_face(shared: Graph) -> None:
    answer = shared.rotate(picture(()))
    assert (answer.success, answer.error_code) == (False, Code.NO_FACE)
    assert "no green square" in answer.message


@pytest.mark.slow
def test_worker_that_raises(shared: Graph) -> None:
    answer = shared.rotate(picture(raises=RuntimeError))
    assert (answer.success, answer.error_code) == (False, Code.INTERNAL)
    assert "fitting fails" in answer.message

    shared.subscribe()
    failed = int(shared.counts()["frames failed"])
    shared.publish(picture(raises=RuntimeError))
    shared.wait(lambda: int(shared.counts()["frames failed"]) == failed + 1, "the failure")
    shared.publish(picture(), stamp=50)
    shared.wait(lambda: shared.faces and shared.faces[-1].header.stamp.sec == 50, "a good frame")


@pytest.mark.slow
def test_montage_of_a_frame(shared: Graph) -> None:
    shared.subscribe_montage()
    header = shared.publish(picture((40, 60)), stamp=3)
    shared.wait(lambda: shared.montages, "a montage")
    montage = shared.montages[0]
    assert montage.header == header
    pixels = image_from_message(montage)
    for face_yaw in (-30, 45):
        colour = view_colour(math.radians(face_yaw), math.radians(10))
        assert np.all(pixels == colour, axis=2).sum() == 2 * 192 * 192


@pytest.mark.slow
def test_nothing_is_done_for_frames_that_nobody_wants(shared: Graph) -> None:
    before = shared.counts()
    for _ in range(3):
        shared.publish(picture())
        assert shared.rotate(picture()).success
    after = shared.counts()
    assert _difference(after, before, "frames unwanted") == 3
    assert _difference(after, before, "frames received") == 0
    assert _difference(after, before, "faces") == 0
