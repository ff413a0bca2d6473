"""Faces that the node follows through a stream."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from graph import PATIENCE, Graph, NodeProcess
from numpy.typing import NDArray

from opendr_facerot_interfaces.msg import RotatedFaceArray

pytestmark = pytest.mark.slow


def two_people(astronaut: NDArray[np.uint8], shift: float) -> NDArray[np.uint8]:
    """Two people in a frame of 640x480, who move ``shift`` pixels towards one another."""
    frame = np.empty((480, 640, 3), np.uint8)
    for column, person in enumerate((astronaut, astronaut[:, ::-1])):
        to_right = shift if column == 0 else -shift
        matrix = np.array([[0.8, 0.0, to_right - 25.0], [0.0, 0.8, 30.0]])
        tile = cv2.warpAffine(
            np.ascontiguousarray(person), matrix, (320, 480), borderMode=cv2.BORDER_REPLICATE
        )
        frame[:, 320 * column : 320 * (column + 1)] = tile
    return frame


def show(
    client: Graph, frames: Sequence[tuple[NDArray[np.uint8], float]]
) -> list[RotatedFaceArray]:
    """The faces of frames with stamps, each published when the one before has been worked on."""
    first = len(client.faces)
    for frame, stamp in frames:
        before = len(client.faces)
        client.publish(frame, stamp)
        client.wait(partial(_has, client, before + 2), "two faces", 4 * PATIENCE)
    return client.faces[first:]


def humans(client: Graph) -> set[str]:
    """Names of the faces that have topics of REP 155."""
    topics = [name.split("/") for name, _ in client.node.get_topic_names_and_types()]
    return {parts[3] for parts in topics if parts[1:3] == ["humans", "faces"]}


def _has(client: Graph, number: int) -> bool:
    return len(client.faces) >= number


def test_faces_keep_their_ids_while_they_move(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    astronaut: NDArray[np.uint8],
) -> None:
    start_node("-r", "__ns:=/followed", "-p", "view_preset:=frontal", "-p", "output_size:=96")
    client = connect("/followed")
    client.connect()
    client.subscribe()
    moving = [(two_people(astronaut, 3.0 * k), 10.0 + k / 10) for k in range(12)]

    followed = show(client, moving)
    paths: dict[str, list[int]] = {}
    for face in followed:
        paths.setdefault(face.face_id, []).append(face.roi.x_offset)
    assert set(paths) == {"track0", "track1"}
    for path in paths.values():
        assert len(path) == len(moving)
        direction = 1 if path[0] < 320 else -1
        np.testing.assert_allclose(np.diff(path), 3 * direction, atol=3)
        assert path[-1] - path[0] == pytest.approx(33 * direction, abs=5)

    # A request with an image is about it alone; the stream's faces are not touched by it.
    answer = client.rotate(moving[0][0])
    assert [face.face_id for face in answer.faces] == ["face0", "face1"]
    # One for the latest frame is about the faces that are followed.
    answer = client.rotate()
    newest = {face.face_id: face for face in followed[-2:]}
    assert {face.face_id for face in answer.faces} == {"track0", "track1"}
    for face in answer.faces:
        assert face.header == newest[face.face_id].header
        assert face.source_yaw == newest[face.face_id].source_yaw
    again = show(client, [(moving[-1][0], moving[-1][1] + 0.1)])
    assert {face.face_id for face in again} == {"track0", "track1"}

    later = show(client, [(moving[-1][0], 60.0)])
    assert {face.face_id for face in later} == {"track2", "track3"}

    # The topic of a face that has left is withdrawn: its name does not return.
    assert client.set_parameters(publish_humans=True) == ""
    show(client, [(moving[-1][0], 60.1)])
    client.wait(lambda: humans(client) == {"track2", "track3"}, "topics of both faces")
    time.sleep(5.5)
    show(client, [(moving[-1][0], 90.0)])
    client.wait(lambda: humans(client) == {"track4", "track5"}, "topics of the new faces")

    assert client.set_parameters(tracking=False) == ""
    alone = show(client, [(moving[0][0], 90.1)])
    assert [face.face_id for face in alone] == ["face0", "face1"]
