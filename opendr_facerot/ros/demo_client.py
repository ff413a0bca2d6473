"""The demo's own part of the graph: it listens to the node and calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from opendr_facerot.ros.client_messages import set_views
from opendr_facerot.views import View
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace


class DemoClient:
    """Client of the node ``/facerot``; use as a context manager.

    Attributes:
        faces: What has come on ``~/faces``.
    """

    def __init__(self) -> None:
        # Signals are the demo's own to handle: it must end the other processes.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.faces: list[RotatedFaceArray] = []
        self._status = DiagnosticStatus()
        self._node = rclpy.create_node("facerot_demo")
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._subscription = self._node.create_subscription(
            RotatedFaceArray, "/facerot/faces", self.faces.append, 10
        )
        self._rotate_face = self._node.create_client(RotateFace, "/facerot/rotate_face")

    def __enter__(self) -> DemoClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.destroy_node()
        rclpy.shutdown()

    @property
    def is_active(self) -> bool:
        """Whether the node says that it is active and its service has been found."""
        return self._values.get("state") == "active" and bool(self._rotate_face.service_is_ready())

    @property
    def pipeline(self) -> str:
        """The node's pipeline and device."""
        return f"{self._values['pipeline']} on {self._status.hardware_id}"

    @property
    def problem(self) -> str:
        """Why the node could not be activated; empty if it could."""
        failed = self._status.level == DiagnosticStatus.ERROR
        return str(self._status.message) if failed and not self.is_active else ""

    @property
    def frames_done(self) -> int:
        """Frames that the node has finished, with or without a face."""
        return int(self._values.get("frames processed", 0))

    @property
    def stages(self) -> Mapping[str, str]:
        """Milliseconds of each stage of the latest fit, as the node reports them."""
        prefix, suffix = "stage ", " [ms]"
        return {
            key[len(prefix) : -len(suffix)]: value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def listen(self, seconds: float) -> None:
        """Take the next message that arrives within some seconds."""
        rclpy.spin_once(self._node, timeout_sec=seconds)

    def unsubscribe(self) -> None:
        """Leave ``~/faces``, so that the node is free for requests."""
        self._node.destroy_subscription(self._subscription)

    def rotate(self, views: Sequence[View]) -> Future:
        """Ask for views of the latest frame; returns the future of the answer."""
        request = RotateFace.Request()
        set_views(request, views)
        return self._rotate_face.call_async(request)

    @property
    def _values(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self._status.values}

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "/facerot: rotation":
                self._status = status
