"""A client of the node: finds it, asks it for views, and says what is wrong if none come."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import rclpy
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import NodeNameNonExistentError
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import Image

from opendr_facerot.errors import AngleError, FacerotError, ImageError, NoFaceError
from opendr_facerot.ros.client_messages import set_views
from opendr_facerot.ros.errors import BusyError, NoImageError, NotActiveError
from opendr_facerot.views import View
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import GetStatistics, RotateFace

_SPIN = 0.1  # seconds after which signals are looked for again
_PROBE = 1.0  # seconds after which a question is asked again: the node may not have seen us yet
_FAREWELL = 1.0  # seconds for a cancellation to get through

_Answer: TypeAlias = RotateFace.Response | RotateFaceSet.Result
_ERRORS: dict[int, type[FacerotError]] = {
    RotateFace.Response.NO_IMAGE: NoImageError,
    RotateFace.Response.BAD_IMAGE: ImageError,
    RotateFace.Response.BAD_ANGLES: AngleError,
    RotateFace.Response.NO_FACE: NoFaceError,
    RotateFace.Response.BUSY: BusyError,
    RotateFace.Response.NOT_ACTIVE: NotActiveError,
}


class NodeError(FacerotError):
    """The node failed for a reason that lies in the node."""


class NodeNotFoundError(NodeError):
    """There is no such node in the ROS graph."""


class NoAnswerError(NodeError):
    """The node does not answer in time."""


class NodeClient:
    """Client of one ``facerot`` node; use as a context manager.

    Signals are left to the caller: a KeyboardInterrupt ends any of the methods.

    Args:
        node: Name of the node, relative to this process's namespace unless it begins with ``/``.
        arguments: ROS arguments.

    Attributes:
        name: Full name of the node.
    """

    def __init__(self, node: str, arguments: Sequence[str] = ()) -> None:
        rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(f"facerot_client_{os.getpid()}")
        service = str(self._node.resolve_service_name(f"{node}/rotate_face"))
        self.name = service.removesuffix("/rotate_face")
        self._rotate_face = self._node.create_client(RotateFace, service)
        self._get_statistics = self._node.create_client(
            GetStatistics, f"{self.name}/get_statistics"
        )
        self._rotate_face_set = ActionClient(
            self._node, RotateFaceSet, f"{self.name}/rotate_face_set"
        )

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._rotate_face_set.destroy()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def connect(self, patience: float) -> None:
        """Wait until the node has been found and is active.

        Raises:
            NodeNotFoundError: It has not been found within ``patience`` seconds.
            NoAnswerError: It has been found and does not answer.
            NotActiveError: It is disabled, could not be activated, or is not active in time.
        """
        deadline = time.monotonic() + patience
        if not self._wait(self._is_found, patience):
            raise NodeNotFoundError(self._not_found())
        while (statistics := self._probe()) is None or statistics.lifecycle_state != "active":
            if statistics is not None and statistics.problem:
                raise NotActiveError(f"{self.name} {statistics.problem}")
            if time.monotonic() > deadline:
                if statistics is None:
                    raise NoAnswerError(f"{self.name} was found, but does not answer: restart it")
                raise NotActiveError(_not_active(self.name, statistics.lifecycle_state))
            self.listen(_SPIN)
        if not statistics.enabled:
            raise NotActiveError(
                f"{self.name} is disabled: enable it (ros2 service call {self.name}/enable "
                'std_srvs/srv/SetBool "{data: true}")'
            )

    def statistics(self, timeout: float) -> GetStatistics.Response:
        """The node's counters and latencies.

        Raises:
            NoAnswerError: They do not come within ``timeout`` seconds.
        """
        future = self._get_statistics.call_async(GetStatistics.Request())
        return self._result(future, timeout)

    def rotate(
        self, views: Sequence[View], image: Image | None, max_faces: int, timeout: float
    ) -> list[RotatedFaceArray]:
        """Views of the faces in an image, or in the node's latest frame if it is None.

        Raises:
            NoAnswerError: There is no answer within ``timeout`` seconds.
            FacerotError: The node's reason for not giving any, in the type of its error code.
        """
        request = _filled(RotateFace.Request(), views, image, max_faces)
        answer = self._result(self._rotate_face.call_async(request), timeout)
        return list(self._faces(answer))

    def rotate_set(
        self, views: Sequence[View], image: Image | None, max_faces: int, timeout: float
    ) -> Generator[RotatedFaceArray, None, None]:
        """As :meth:`rotate`, by the action: gives each view as soon as it is there.

        Each message has one view; their order is that of the answer unless feedback was lost on the
        way, whose views come last. The goal is cancelled if the iteration ends early.

        Raises:
            NoAnswerError: Nothing new comes for ``timeout`` seconds.
            FacerotError: As :meth:`rotate`.
        """
        arrived: deque[RotateFaceSet.Feedback] = deque()
        goal = _filled(RotateFaceSet.Goal(), views, image, max_faces)
        accepted = self._rotate_face_set.send_goal_async(
            goal, feedback_callback=lambda message: arrived.append(message.feedback)
        )
        handle: ClientGoalHandle = self._result(accepted, timeout)
        if not handle.accepted:
            raise NodeError(f"{self.name} does not take the goal: see its log")
        future = handle.get_result_async()
        given = set()
        try:
            while not future.done() or arrived:
                if not arrived and not self._wait(lambda: arrived or future.done(), timeout):
                    raise self._no_answer(timeout)
                while arrived:
                    feedback = arrived.popleft()
                    given.add(feedback.done)
                    yield feedback.partial
        finally:
            if not future.done():
                cancelled = handle.cancel_goal_async()
                self._wait(cancelled.done, _FAREWELL)
        number = 0
        for face in self._faces(future.result().result):
            for view in face.views:
                number += 1
                if number not in given:
                    yield _with_one_view(face, view)

    def watch(self) -> deque[RotatedFaceArray]:
        """Subscribe to ``~/faces``: what comes is appended while :meth:`listen` is called."""
        faces: deque[RotatedFaceArray] = deque()
        self._node.create_subscription(
            RotatedFaceArray, f"{self.name}/faces", lambda face: faces.append(face), 10
        )
        return faces

    def listen(self, seconds: float = _SPIN) -> None:
        """Take the next message that arrives within some seconds."""
        rclpy.spin_once(self._node, timeout_sec=seconds)

    def now(self) -> tuple[int, int]:
        """Seconds and nanoseconds of the ROS clock."""
        seconds, nanoseconds = self._node.get_clock().now().seconds_nanoseconds()
        return int(seconds), int(nanoseconds)

    def _is_found(self) -> bool:
        return (
            self._get_statistics.service_is_ready()
            and self._rotate_face.service_is_ready()
            and self._rotate_face_set.server_is_ready()
        )

    def _probe(self) -> GetStatistics.Response | None:
        try:
            return self.statistics(_PROBE)
        except NoAnswerError:
            return None

    def _not_found(self) -> str:
        others = sorted(self._nodes_with_the_service())
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        advice = (
            f"give its name with --node: {', '.join(others)}"
            if others
            else "start it (ros2 launch opendr_facerot facerot.launch.py)"
        )
        return f"there is no node {self.name} in ROS domain {domain}: {advice}"

    def _nodes_with_the_service(self) -> Iterator[str]:
        kind = "opendr_facerot_interfaces/srv/RotateFace"
        for node in set(self._node.get_node_names_and_namespaces()):
            with suppress(NodeNameNonExistentError):  # it has just ended
                for name, types in self._node.get_service_names_and_types_by_node(*node):
                    if kind in types:
                        yield name.removesuffix("/rotate_face")

    def _no_answer(self, timeout: float) -> NoAnswerError:
        return NoAnswerError(
            f"{self.name} gave no answer within {timeout:g} s: allow more time, ask for fewer "
            "views, or see what it is doing on /diagnostics"
        )

    def _result(self, future: Future, timeout: float) -> Any:
        if not self._wait(future.done, timeout):
            raise self._no_answer(timeout)
        return future.result()

    def _faces(self, answer: _Answer) -> Sequence[RotatedFaceArray]:
        if not answer.success:
            raise _ERRORS.get(answer.error_code, NodeError)(answer.message)
        return answer.faces

    def _wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Listen until something is the case; returns whether it is after some seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.listen(_SPIN)
        return True


def _not_active(name: str, state: str) -> str:
    steps = ["activate"] if state == "inactive" else ["configure", "activate"]
    commands = " && ".join(f"ros2 lifecycle set {name} {step}" for step in steps)
    advice = "start it again" if state == "finalized" else f"activate it ({commands})"
    return f"{name} is {state}: {advice}"


def _filled(request: Any, views: Sequence[View], image: Image | None, max_faces: int) -> Any:
    set_views(request, views)
    request.max_faces = max_faces
    if image is not None:
        request.image = image
    return request


def _with_one_view(face: RotatedFaceArray, view: Any) -> RotatedFaceArray:
    fields = {name: getattr(face, name) for name in face.get_fields_and_field_types()}
    return RotatedFaceArray(**{**fields, "views": [view]})
