"""The topics on which the faces of frames are published."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_facerot.ros.face_messages import face_id
from opendr_facerot.ros.messages import face_message, montage_message, view_message
from opendr_facerot.ros.parameters import FRONTAL, NodeParameters
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot_interfaces.msg import RotatedFaceArray

_LOST_TOPIC = 5.0  # seconds after which the topic of a face that has left is withdrawn
_QOS = QoSProfile(depth=10)  # reliable; deep enough for several faces of one frame


class ResultPublisher:
    """Publishes while the node is active, each message with the header of the source image."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._faces = node.create_lifecycle_publisher(RotatedFaceArray, "~/faces", _QOS)
        self._montage = node.create_lifecycle_publisher(Image, "~/montage", _QOS)
        self._frontalized: dict[str, Publisher] = {}
        self._last_seen: dict[str, float] = {}

    def wanted(self, parameters: NodeParameters) -> bool:
        """Whether anybody subscribes.

        Topics of REP 155 are named by the face, so there is nothing to subscribe to before a face
        has been seen: where they are published, frames are always wanted.
        """
        return (
            parameters.publish_humans
            or self._faces.get_subscription_count() > 0
            or self._montage_wanted(parameters)
        )

    def publish(
        self,
        header: Header,
        image: NDArray[np.uint8],
        faces: list[TurnedFace],
        parameters: NodeParameters,
    ) -> None:
        """Publish the faces of a frame."""
        for face in faces:
            self._faces.publish(face_message(face, face.views, header))
            if parameters.publish_humans:
                self._publish_frontalized(face, header)
        self._withdraw_lost()
        if self._montage_wanted(parameters):
            self._montage.publish(montage_message(image, faces, header))

    def destroy(self) -> None:
        """Withdraw the topics."""
        for publisher in (self._faces, self._montage):
            self._node.destroy_lifecycle_publisher(publisher)
        for publisher in self._frontalized.values():
            self._node.destroy_publisher(publisher)

    def _montage_wanted(self, parameters: NodeParameters) -> bool:
        return parameters.publish_montage and self._montage.get_subscription_count() > 0

    def _publish_frontalized(self, face: TurnedFace, header: Header) -> None:
        name = face_id(face)
        publisher = self._frontalized.get(name)
        if publisher is None:
            topic = f"/humans/faces/{name}/frontalized"
            publisher = self._node.create_publisher(Image, topic, _QOS)
            self._frontalized[name] = publisher
        if face.fitted.face_id is not None:
            self._last_seen[name] = time.monotonic()
        frontal = next(view for view in face.views if view.view == FRONTAL)
        publisher.publish(view_message(frontal, header).image)

    def _withdraw_lost(self) -> None:
        """Withdraw topics of faces that were followed and have left: their names do not return."""
        now = time.monotonic()
        for name in [n for n, seen in self._last_seen.items() if now - seen > _LOST_TOPIC]:
            del self._last_seen[name]
            self._node.destroy_publisher(self._frontalized.pop(name))
