"""Other inputs and outputs than the usual ones."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from graph import Graph, NodeProcess
from PIL import Image as Picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from squares import picture, view_colour

from opendr_facerot.ros.images import image_from_message

pytestmark = pytest.mark.slow

StartNode = Callable[..., NodeProcess]


def test_compressed_frames_beside_the_remapped_topic(
    start_node: StartNode, connect: Callable[[str], Graph]
) -> None:
    start_node(
        "-r", "__ns:=/jpeg", "-r", "image:=/eye/image_raw", "-p", "pipeline:=squares",
        "-p", "image_transport:=compressed",
    )  # fmt: skip
    client = connect("/jpeg")
    camera = client.node.create_publisher(CompressedImage, "/eye/image_raw/compressed", 10)
    client.wait(lambda: camera.get_subscription_count() > 0, "the node to subscribe")
    client.subscribe()

    file = io.BytesIO()
    Picture.fromarray(picture((40,))).save(file, "PNG")
    message = CompressedImage(format="png")
    message.header.frame_id = "eye"
    message.data.frombytes(file.getvalue())
    camera.publish(message)
    client.wait(lambda: client.faces, "a face")
    assert client.faces[0].header == message.header
    assert client.faces[0].roi.width == 40

    message.data = message.data[:200]
    camera.publish(message)
    client.wait(lambda: client.counts()["frames rejected"] == "1", "the damaged frame")
    assert "damaged or truncated" in client.counts()["last error"]


def test_frontal_views_for_rep_155(shared: Graph) -> None:
    seen: dict[int, Image] = {}
    for k in range(2):
        keep = partial(seen.__setitem__, k)
        topic = f"/humans/faces/face{k}/frontalized"
        shared.node.create_subscription(Image, topic, keep, 10)
    assert shared.set_parameters(yaw_deg=[30.0], pitch_deg=[0.0], publish_humans=True) == ""
    try:
        # The topics exist only after the first faces.
        while len(seen) < 2:
            header = shared.publish(picture((40, 50)), stamp=8)
            assert shared.rotate(picture()).success
    finally:
        assert shared.set_parameters(publish_humans=False) == ""
    for message in seen.values():
        assert message.header == header
        assert np.all(image_from_message(message) == view_colour(0.0, 0.0))


def test_field_of_view_comes_from_the_camera_unless_it_is_given(shared: Graph) -> None:
    def flags() -> list[str]:
        shared.publish(picture())
        answer = shared.rotate()
        return list(answer.faces[0].flags) if answer.faces else []

    shared.wait(lambda: flags() == ["square"], "a frame without a field of view")
    camera = shared.node.create_publisher(CameraInfo, "/shared/camera_info", 10)
    info = CameraInfo(height=480, width=640)
    info.k[4] = 240.0

    def seen_by_camera() -> bool:
        camera.publish(info)
        return flags() == ["square", "fov_90"]

    shared.wait(seen_by_camera, "the camera's field of view")
    assert list(shared.rotate(picture()).faces[0].flags) == ["square"]
    assert shared.set_parameters(fov_deg=60.0) == ""
    assert flags() == ["square", "fov_60"]
    assert list(shared.rotate(picture()).faces[0].flags) == ["square", "fov_60"]
    assert shared.set_parameters(fov_deg=0.0) == ""
