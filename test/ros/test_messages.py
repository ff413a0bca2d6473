"""Requests, results and errors between messages and the package's types."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_facerot import (
    AngleError,
    DeviceError,
    Face,
    FittedFace,
    ImageError,
    NoFaceError,
    RotatedFace,
    View,
)
from opendr_facerot.ros.errors import BusyError, NoImageError, NotActiveError
from opendr_facerot.ros.messages import (
    error_code,
    face_message,
    region_of_interest,
    requested_views,
    set_error,
    view_message,
)
from opendr_facerot.ros.rotation import MAX_VIEWS, TurnedFace
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.srv import RotateFace

HEADER = Header(frame_id="camera")
PIXELS = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)


def rotated(view: View, alpha: bool = False) -> RotatedFace:
    coverage = np.full((4, 4), 9, np.uint8) if alpha else None
    return RotatedFace(view, np.float32(0.5), 0.25, -0.125, 1, PIXELS, coverage)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [RotateFace.Request, RotateFaceSet.Goal])
def test_views_of_a_request(kind: type) -> None:
    angles = {"yaw": [0.5, math.nan], "pitch": [0.25, -0.25]}
    assert requested_views(kind(**angles)) == [View(0.5, 0.25), View(None, -0.25)]
    assert requested_views(kind(**angles, grid=True)) == [
        View(0.5, 0.25),
        View(None, 0.25),
        View(0.5, -0.25),
        View(None, -0.25),
    ]
    assert requested_views(kind(yaw=[0.5, 1.0], pitch=[math.nan])) == [
        View(0.5, None),
        View(1.0, None),
    ]


def test_a_right_angle_of_32_bits_is_in_range() -> None:
    request = RotateFace.Request(yaw=[float(np.float32(math.pi / 2))], pitch=[0.0])
    assert requested_views(request) == [View(math.pi / 2, 0.0)]


def test_number_of_views_is_limited_before_they_are_made() -> None:
    assert len(requested_views(RotateFace.Request(yaw=[0.0] * MAX_VIEWS, pitch=[0.0]))) == MAX_VIEWS
    many = [0.0] * 100_000
    with pytest.raises(AngleError, match="10000000000 views"):
        requested_views(RotateFace.Request(yaw=many, pitch=many, grid=True))


def test_view_message() -> None:
    message = view_message(rotated(View(0.5, None)), HEADER)
    assert message.yaw == 0.5
    assert math.isnan(message.pitch)
    assert (message.applied_yaw, message.applied_pitch) == (0.5, 0.25)
    assert (message.applied_roll, message.seen_fraction) == (-0.125, 1.0)
    assert (message.image.encoding, message.image.header) == ("rgb8", HEADER)
    assert bytes(message.image.data) == PIXELS.tobytes()


def test_transparent_view_is_rgba8() -> None:
    image: Image = view_message(rotated(View(), alpha=True), HEADER).image
    assert (image.encoding, image.step) == ("rgba8", 16)
    pixels = np.frombuffer(image.data, np.uint8).reshape(4, 4, 4)
    assert np.array_equal(pixels[..., :3], PIXELS)
    assert np.all(pixels[..., 3] == 9)


def test_face_message() -> None:
    box = np.array([10.6, -3.0, 30.2, 20.0], np.float32)
    face = Face(box, score=np.float32(0.75), landmarks5=np.zeros((5, 2), np.float32))  # type: ignore[arg-type]
    fitted = FittedFace(face, 0.5, 0.25, 0.125, flags=("low_resolution",))
    turned = TurnedFace(2, fitted, image_size=(30, 100), views=[rotated(View())], seconds=1.25)
    message = face_message(turned, turned.views, HEADER)
    roi = message.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (10, 0, 20, 20)
    assert (message.header, message.face_id) == (HEADER, "face2")
    assert (message.detection_score, message.source_yaw) == (0.75, 0.5)
    assert (message.source_pitch, message.source_roll) == (0.25, 0.125)
    assert (list(message.flags), len(message.views)) == (["low_resolution"], 1)
    assert (message.processing_time.sec, message.processing_time.nanosec) == (1, 250_000_000)


def test_box_beside_the_image_is_empty() -> None:
    roi = region_of_interest(np.array([-20, -20, -5, 200], np.float32), (100, 100))
    assert (roi.x_offset, roi.width, roi.y_offset, roi.height) == (0, 0, 0, 100)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoImageError("x"), "NO_IMAGE"),
        (ImageError("x"), "BAD_IMAGE"),
        (AngleError("x"), "BAD_ANGLES"),
        (NoFaceError("x"), "NO_FACE"),
        (BusyError("x"), "BUSY"),
        (NotActiveError("x"), "NOT_ACTIVE"),
        (DeviceError("x"), "INTERNAL"),
        (MemoryError(), "INTERNAL"),
    ],
)
def test_error_codes(error: Exception, code: str) -> None:
    assert error_code(error) == getattr(RotateFace.Response, code)
    assert error_code(error) == getattr(RotateFaceSet.Result, code)
    for answer in (RotateFace.Response(success=True), RotateFaceSet.Result(success=True)):
        set_error(answer, error)
        assert (answer.success, answer.error_code) == (False, error_code(error))
        assert answer.message == (str(error) or "MemoryError")
