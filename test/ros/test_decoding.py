"""A camera that is faster than the pipeline costs no decoding."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("opendr_facerot_interfaces")
pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage
from squares import SquaresRotator, picture

from opendr_facerot import RotatorSettings
from opendr_facerot.ros import core
from opendr_facerot.ros.images import ImageMessage, image_from_message
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters
from opendr_facerot.ros.statistics import Count

FRAMES = 60


def test_only_frames_that_are_turned_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = image_from_message

    def counting(message: ImageMessage) -> object:
        decoded.append(message)
        return decode(message)

    monkeypatch.setattr(core, "image_from_message", counting)
    monkeypatch.setattr(core, "load", lambda *_, **__: SquaresRotator(RotatorSettings()))
    values = {name: parameter.default for name, parameter in PARAMETERS.items()}
    turner = core.FaceTurner(
        NodeParameters.from_values(values), lambda *_: None, lambda error: pytest.fail(str(error))
    )
    turner.load().result()
    turner.start()
    frame = _compressed(picture((40,), slow_fit=0.05))
    for _ in range(FRAMES):
        turner.take_frame(frame, wanted=True)
        time.sleep(0.005)
    for _ in range(FRAMES):
        turner.take_frame(frame, wanted=False)
    deadline = time.monotonic() + 10.0
    while turner.statistics.snapshot().pending and time.monotonic() < deadline:
        time.sleep(0.01)
    counts = turner.statistics.snapshot().counts
    turner.close(1.0)

    assert counts[Count.DROPPED] > 0
    assert counts[Count.UNWANTED] == FRAMES
    assert counts[Count.RECEIVED] == FRAMES
    assert len(decoded) == counts[Count.PROCESSED] == FRAMES - counts[Count.DROPPED]


def _compressed(image: NDArray[np.uint8]) -> CompressedImage:
    message = CompressedImage(format="png")
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    message.data.frombytes(data.tobytes())
    return message
