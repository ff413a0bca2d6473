"""Two cameras with a node each in one graph, both at a camera's rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("opendr_facerot_interfaces")
pytest.importorskip("rclpy")

from graph import Graph, NodeProcess
from squares import picture

pytestmark = pytest.mark.slow

RATE = 30.0
FRAMES = 60
SIDES = {"/left": 40, "/right": 50}


def test_streams_and_requests_of_two_namespaces_stay_apart(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    clients = {}
    for namespace in SIDES:
        start_node("-r", f"__ns:={namespace}", "-p", "pipeline:=squares")
        clients[namespace] = connect(namespace)
    for client in clients.values():
        client.connect()
        client.subscribe()
    left, right = clients.values()
    with (
        left.stream([picture((SIDES["/left"],))], RATE),
        right.stream([picture((SIDES["/right"],))], RATE),
    ):
        left.wait(lambda: len(left.faces) >= FRAMES, "faces of the left camera", 60.0)
        right.wait(lambda: len(right.faces) >= FRAMES, "faces of the right camera", 60.0)
        answers = {namespace: client.rotate() for namespace, client in clients.items()}
    for namespace, client in clients.items():
        assert {face.roi.width for face in client.faces} == {SIDES[namespace]}
        assert [face.roi.width for face in answers[namespace].faces] == [SIDES[namespace]]
        stamps = [face.header.stamp.sec for face in client.faces]
        assert stamps == sorted(set(stamps))
