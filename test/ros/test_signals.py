"""Ending a node whose pipeline is inside native code."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import signal
from collections.abc import Callable

import numpy as np
from graph import Graph, NodeProcess
from numpy.typing import NDArray

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_node_that_fits_a_face(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    astronaut: NDArray[np.uint8],
    number: signal.Signals,
) -> None:
    node = start_node("-r", f"__ns:=/fit{int(number)}")
    client = connect(f"/fit{int(number)}")
    client.connect()
    client.subscribe()
    with client.stream([astronaut], rate=15.0):
        client.wait(lambda: client.faces, "a face")
        client.wait(lambda: client.counts()["frames pending"] != "0", "work in progress")
        status, seconds = node.stop(number)
    assert status == 0
    assert seconds < 2.0
    assert "Traceback" not in node.log
