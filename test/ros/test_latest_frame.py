"""Which frame a request for the latest one gets, and what is done for it; without ROS around it."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from squares import SquaresRotator, picture
from std_msgs.msg import Header

from opendr_facerot import FittedFace, NoFaceError, RotatorSettings
from opendr_facerot.ros import core
from opendr_facerot.ros.frames import FittedFrame, Frame
from opendr_facerot.ros.images import image_message
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace

PATIENCE = 10.0


class CountingRotator(SquaresRotator):
    def __init__(self) -> None:
        super().__init__(RotatorSettings(output_size=64))
        self.fits = 0

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        self.fits += 1
        return super().fit(image)


class Turner:
    """The node's work, with a rotator that counts its fits."""

    def __init__(self, rotator: CountingRotator) -> None:
        self.rotator = rotator
        values = {name: parameter.default for name, parameter in PARAMETERS.items()}
        parameters = NodeParameters.from_values({**values, "view_preset": "frontal"})
        self.inner = core.FaceTurner(parameters, lambda *_: None, lambda error: None)
        self.inner.load().result(PATIENCE)
        self.inner.start()

    def take(self, pixels: NDArray[np.uint8], name: str, wanted: bool = True) -> None:
        """A frame, worked on to its end if it is wanted."""
        self.inner.take_frame(frame_message(pixels, name), wanted)
        while self.inner.worker.pending_frames:
            self.inner.worker.call(lambda: None).result(PATIENCE)

    def rotate(self, max_faces: int = 0) -> list[RotatedFaceArray]:
        request = RotateFace.Request(yaw=[0.5], pitch=[0.0], max_faces=max_faces)
        return self.inner.submit(request).result(PATIENCE)


@pytest.fixture
def turner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turner]:
    rotator = CountingRotator()
    monkeypatch.setattr(core, "load", lambda *_, **__: rotator)
    turner = Turner(rotator)
    yield turner
    assert turner.inner.close(PATIENCE)


def frame_message(pixels: NDArray[np.uint8], name: str) -> Image:
    return image_message(pixels, Header(frame_id=name))


def frame_ids(faces: list[RotatedFaceArray]) -> list[str]:
    return [face.header.frame_id for face in faces]


def test_faces_of_the_stream_are_not_fitted_again(turner: Turner) -> None:
    turner.take(picture((40, 30)), "a")
    by_itself = turner.inner.submit(
        RotateFace.Request(
            image=frame_message(picture((40, 30)), "a"), yaw=[0.5], pitch=[0.0], max_faces=1
        )
    ).result(PATIENCE)
    fits = turner.rotator.fits
    answer = turner.rotate()
    assert frame_ids(answer) == ["a", "a"]
    assert [face.roi.width for face in answer] == [40, 30]
    (one,) = turner.rotate(max_faces=1)
    assert turner.rotator.fits == fits
    one.processing_time = by_itself[0].processing_time
    assert one == by_itself[0]


def test_a_newer_frame_without_a_face_ends_the_old_faces(turner: Turner) -> None:
    turner.take(picture((40,)), "a")
    turner.take(picture(()), "b")
    with pytest.raises(NoFaceError):
        turner.rotate()


def test_frames_that_nobody_wants_are_fitted_for_the_request(turner: Turner) -> None:
    turner.take(picture((50,)), "of a stream")
    for name, side in (("a", 40), ("b", 30)):
        turner.take(picture((side,)), name, wanted=False)
        (face,) = turner.rotate()
        assert (face.header.frame_id, face.roi.width) == (name, side)
    assert turner.rotator.fits == 3


def test_the_frame_is_the_latest_when_the_turn_of_the_request_has_come(turner: Turner) -> None:
    go_on = threading.Event()
    held = turner.inner.worker.call(lambda: go_on.wait(PATIENCE))
    turner.inner.take_frame(frame_message(picture((40,)), "a"), wanted=False)
    request = RotateFace.Request(yaw=[0.5], pitch=[0.0])
    answer = turner.inner.submit(request)
    turner.inner.take_frame(frame_message(picture((30,)), "b"), wanted=False)
    go_on.set()
    assert held.result(PATIENCE)
    assert frame_ids(answer.result(PATIENCE)) == ["b"]


def test_faces_are_forgotten_when_the_node_is_disabled(turner: Turner) -> None:
    turner.take(picture((40,)), "a")
    turner.inner.enable(False)
    turner.inner.enable(True)
    turner.take(picture((30,)), "b", wanted=False)
    assert frame_ids(turner.rotate()) == ["b"]


@pytest.mark.parametrize(
    ("later", "found", "limit", "wanted", "stands"),
    [
        (0.0, 2, 0, {}, True),
        (1.9, 2, 0, {"max_faces": 1}, True),
        (2.1, 2, 0, {}, False),  # seconds; too old
        (0.0, 2, 2, {}, False),  # there may be more faces
        (0.0, 1, 2, {}, True),
        (0.0, 2, 2, {"max_faces": 2}, True),
        (0.0, 2, 2, {"max_faces": 3}, False),
        (0.0, 2, 0, {"fov": 1.0}, False),  # another camera
        (0.0, 2, 0, {"min_face_size": 90}, False),
    ],
)
def test_when_fitted_faces_stand_for_the_latest_frame(
    later: float, found: int, limit: int, wanted: dict[str, float], stands: bool
) -> None:
    settings = RotatorSettings(max_faces=limit)
    image = picture((20,) * found)
    faces = SquaresRotator(settings).fit(image)
    message = frame_message(image, "a")
    fitted = FittedFrame(Frame(message, 5.0, True, None), image, faces, settings)
    latest = Frame(message, 5.0 + later, True, None)
    request = replace(settings, **{"max_faces": 0, **wanted})  # type: ignore[arg-type]
    assert fitted.stands_for(latest, request) is stands
