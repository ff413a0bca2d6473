"""The node with the default pipeline and a real face."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from graph import Graph, NodeProcess

from opendr_facerot.imaging import read_image
from opendr_facerot.ros.images import image_from_message

ASTRONAUT = Path(__file__).parents[1] / "data" / "astronaut.png"


def test_two_people_are_turned_while_the_service_answers(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    node = start_node("-r", "__ns:=/head", "-p", "yaw_deg:=[-30.0, 30.0]", "-p", "output_size:=128")
    client = connect("/head")
    client.connect()
    client.subscribe()
    astronaut = read_image(ASTRONAUT)
    pair = np.hstack([astronaut, astronaut[:, ::-1]])
    answers = []
    with client.stream([pair], rate=15.0) as sent:
        while len(client.faces) < 4 or len(answers) < 3:
            answers.append(client.rotate(astronaut, yaw=(0.5,)))
            assert len(answers) < 60, "no faces of frames"

    for answer in answers:
        (face,) = answer.faces
        assert abs(face.source_yaw) < math.radians(10)
        assert face.views[0].applied_yaw == pytest.approx(0.5)
        assert 0.2 < face.views[0].seen_fraction <= 1.0
    first, second = client.faces[:2]
    assert first.header == second.header
    assert first.header in sent
    left, right = sorted(face.roi.x_offset for face in (first, second))
    assert left < 512 < right
    for face in (first, second):
        turned = [image_from_message(view.image).astype(int) for view in face.views]
        assert [view.shape for view in turned] == [(128, 128, 3)] * 2
        assert np.abs(turned[0] - turned[1]).mean() > 10

    status, seconds = node.stop(signal.SIGINT)
    assert status == 0
    assert seconds < 2.0
    assert "Traceback" not in node.log
