"""The package's own pipelines in the node, on a real photo."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from graph import Graph, NodeProcess
from numpy.typing import NDArray

from opendr_facerot.ros.images import image_from_message
from opendr_facerot.weights.synthetic import write_synthetic

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pipeline", ["head", "rotate_and_render"])
def test_two_people_in_a_stream_and_a_request_meanwhile(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    tmp_path: Path,
    astronaut: NDArray[np.uint8],
    pipeline: str,
) -> None:
    arguments = ["-r", f"__ns:=/{pipeline}", "-p", f"pipeline:={pipeline}"]
    if pipeline == "rotate_and_render":
        arguments += ["-p", f"weights:={write_synthetic(tmp_path)}"]
    start_node(*arguments)
    client = connect(f"/{pipeline}")
    client.connect()
    assert client.set_parameters(yaw_deg=[-30.0, 30.0]) == ""
    client.subscribe()
    two = np.ascontiguousarray(np.hstack([astronaut[:420, 60:380]] * 2))

    with client.stream([two], rate=10.0) as headers:
        client.wait(lambda: len(client.faces) >= 2, "two faces")
        answer = client.rotate(astronaut, yaw=(0.5,), pitch=(math.nan,))

    first, second = client.faces[:2]
    assert first.header == second.header
    assert first.header in headers
    assert abs(first.roi.x_offset - second.roi.x_offset) == pytest.approx(320, abs=20)
    for face in (first, second):
        left, right = (image_from_message(view.image).astype(int) for view in face.views)
        assert left.shape == (256, 256, 3)
        assert np.abs(left - right).mean() > 2.0
    assert answer.success, answer.message
    (view,) = answer.faces[0].views
    assert view.applied_yaw == pytest.approx(0.5)
    assert view.applied_pitch == pytest.approx(answer.faces[0].source_pitch, abs=1e-5)
    assert 0.0 < view.seen_fraction <= 1.0
