"""The node in somebody else's graph, by remapping alone."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

from collections.abc import Callable

from graph import Graph, NodeProcess
from sensor_msgs.msg import Image
from squares import picture
from std_msgs.msg import Header

from opendr_facerot.ros.images import image_message
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

REMAPPED = {
    "__ns": "/robot",
    "__node": "head_turner",
    "image": "/robot/eye/image",
    "camera_info": "/robot/eye/camera_info",
    "~/faces": "/perception/turned_faces",
    "~/montage": "/perception/turned",
    "~/rotate_face": "/perception/turn_face",
    "/diagnostics": "/robot/diagnostics",
}


def test_every_topic_and_the_service_have_the_names_given(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    rules = [part for name, new in REMAPPED.items() for part in ("-r", f"{name}:={new}")]
    start_node(*rules, "-p", "pipeline:=squares")
    client = connect("/robot")
    node = client.node

    turn_face = node.create_client(RotateFace, "/perception/turn_face")
    client.wait(turn_face.service_is_ready, "the service")
    faces: list[RotatedFaceArray] = []
    montages: list[Image] = []
    node.create_subscription(RotatedFaceArray, "/perception/turned_faces", faces.append, 10)
    node.create_subscription(Image, "/perception/turned", montages.append, 10)
    eye = node.create_publisher(Image, "/robot/eye/image", 10)

    def seen() -> bool:
        eye.publish(image_message(picture((50,)), Header(frame_id="eye")))
        return bool(faces and montages)

    client.wait(seen, "faces and a montage")
    assert (faces[0].header.frame_id, faces[0].roi.width) == ("eye", 50)
    answer = client.result(turn_face.call_async(RotateFace.Request(yaw=[0.25], pitch=[0.0])))
    assert answer.faces[0].roi.width == 50

    ends = (
        *node.get_publisher_names_and_types_by_node("head_turner", "/robot"),
        *node.get_subscriber_names_and_types_by_node("head_turner", "/robot"),
        *node.get_service_names_and_types_by_node("head_turner", "/robot"),
    )
    names = {name for name, _ in ends}
    assert set(REMAPPED.values()) - {"/robot", "head_turner"} <= names
    for name in names - {"/rosout", "/parameter_events"}:
        assert name.startswith(("/robot/", "/perception/"))
