"""The node's process, and a client that watches and calls it and waits for conditions only."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from opendr_facerot.ros.images import image_message
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import GetStatistics, RotateFace

PATIENCE = 30.0
"""Seconds to wait for something that takes a few milliseconds on an idle machine."""

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
}


class NodeProcess:
    """``facerot_node`` in a process group of its own.

    Args:
        arguments: After ``--ros-args``.
        environment: Its environment variables.
        log: File that gets what it prints.
        wrapper: Command that runs the node's, given as its last arguments.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        wrapper: Sequence[str] = (),
    ) -> None:
        self._log = log
        node = [sys.executable, "-m", "opendr_facerot.ros.node", "--ros-args", *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*wrapper, *node],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def status(self, field: str) -> str:
        """A field of ``/proc/<pid>/status``."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))

    def memory(self) -> float:
        """Megabytes of memory in use."""
        return int(self.status("VmRSS")) / 1024

    def peak_memory(self) -> float:
        """Most megabytes of memory that were ever in use."""
        return int(self.status("VmHWM")) / 1024

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def shared_memory(self) -> set[Path]:
        """The shared-memory segments that the process has made for its messages.

        It uses those of its peers too, but only the owner has the lock beside it open.
        """
        files = [path.resolve() for path in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        locks = [path for path in files if re.fullmatch(r"fastrtps_[0-9a-f]{16}_el", path.name)]
        return {path.with_name(path.name.removesuffix("_el")) for path in locks}

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; returns the exit status and the seconds it took to end."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE), time.monotonic() - started

    def end(self) -> None:
        """Make sure that it does not outlive the test. Killed processes leave shared memory."""
        if self.is_running():
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Graph:
    """A client of the node in ``namespace``, with a thread of its own for what arrives.

    Attributes:
        faces: Every RotatedFaceArray received, after :meth:`subscribe`.
        diagnostics: Every status of this node received.
        report_stamp: Seconds of the latest report's stamp.
    """

    def __init__(self, namespace: str) -> None:
        self.name = f"{namespace}/facerot"
        self.faces: list[RotatedFaceArray] = []
        self.montages: list[Image] = []
        self.diagnostics: list[DiagnosticStatus] = []
        self.report_stamp = -1
        self._subscriptions: list[Any] = []
        self._changed = threading.Condition()
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("client", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._image = self.node.create_publisher(Image, "image", 10)
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )
        self.rotate_face_set = ActionClient(
            self.node, RotateFaceSet, f"{self.name}/rotate_face_set"
        )
        self._clients: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph; once is enough."""
        if not self._context.ok():
            return
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Wait until something that arrives makes ``condition`` true."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                assert time.monotonic() < deadline, f"waited {timeout:.0f} s for {what}"
                self._changed.wait(0.05)  # conditions on the graph change without a message

    def subscribe(self) -> None:
        """Subscribe to the faces and wait until the node knows."""
        self._subscribe(RotatedFaceArray, "faces", self.faces.append)

    def subscribe_montage(self) -> None:
        """Subscribe to the montage and wait until the node knows."""
        self._subscribe(Image, "montage", self.montages.append)

    def unsubscribe(self) -> None:
        """Subscribe to nothing any more, and forget what came."""
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        if self._subscriptions:
            self.wait(lambda: self.activity() != "active", "the end of the subscription to be seen")
        self._subscriptions.clear()
        self.faces.clear()
        self.montages.clear()

    def activity(self) -> str:
        """The message of the next report on /diagnostics."""
        return self.report().message

    def connect(self) -> None:
        """Wait until the node is active and gets what this client publishes."""
        blank = np.zeros((16, 16, 3), np.uint8)
        deadline = time.monotonic() + PATIENCE
        answer = None
        while answer is None or answer.error_code != RotateFace.Response.NO_FACE:
            assert time.monotonic() < deadline, "the node gets no frames"
            self.publish(blank, stamp=0)
            answer = self._answer_within(2.0, self.begin_rotate())

    def subscribers(self, topic: str) -> int:
        """Subscriptions to a topic of the namespace that this client knows of."""
        return int(self.node.count_subscribers(topic))

    def publish(self, image: NDArray[np.uint8] | Image, stamp: float = 1) -> Header:
        """Publish a picture; ``stamp`` are its seconds, 0 meaning none."""
        exact = Time(sec=int(stamp), nanosec=round(stamp % 1 * 1e9) + 5 if stamp else 0)
        header = Header(stamp=exact, frame_id=f"camera{stamp}")
        message = image if isinstance(image, Image) else image_message(image, header)
        message.header = header
        self._image.publish(message)
        return header

    @contextmanager
    def stream(
        self, images: Sequence[NDArray[np.uint8]], rate: float, first_stamp: int = 1
    ) -> Iterator[list[Header]]:
        """Publish pictures in turn, ``rate`` a second; gives the headers sent so far."""
        sent: list[Header] = []

        def publish_next() -> None:
            stamp = first_stamp + len(sent)
            sent.append(self.publish(images[len(sent) % len(images)], stamp))

        timer = self.node.create_timer(1.0 / rate, publish_next)
        try:
            yield sent
        finally:
            self.node.destroy_timer(timer)

    def rotate(
        self,
        image: NDArray[np.uint8] | Image | None = None,
        yaw: Sequence[float] = (0.0,),
        pitch: Sequence[float] = (0.0,),
        *,
        grid: bool = False,
        max_faces: int = 0,
    ) -> RotateFace.Response:
        """Call the service and wait for its answer."""
        return self.result(self.begin_rotate(image, yaw, pitch, grid=grid, max_faces=max_faces))

    def begin_rotate(
        self,
        image: NDArray[np.uint8] | Image | None = None,
        yaw: Sequence[float] = (0.0,),
        pitch: Sequence[float] = (0.0,),
        *,
        grid: bool = False,
        max_faces: int = 0,
    ) -> Any:
        """Call the service; returns the future of its answer."""
        request = RotateFace.Request(
            image=_as_message(image), yaw=yaw, pitch=pitch, grid=grid, max_faces=max_faces
        )
        return self._client(RotateFace, "rotate_face").call_async(request)

    def result(self, future: Any) -> Any:
        """Wait for an answer."""
        self.wait(future.done, "an answer")
        return future.result()

    def change_state(self, transition: str) -> bool:
        """Ask for a lifecycle transition; returns whether it succeeded."""
        return bool(self.result(self.begin_change_state(transition)).success)

    def begin_change_state(self, transition: str) -> Any:
        """Ask for a lifecycle transition; returns the future of the answer."""
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self._client(ChangeState, "change_state").call_async(request)

    def state(self) -> str:
        return str(self._call(GetState, "get_state", GetState.Request()).current_state.label)

    def enable(self, enabled: bool) -> bool:
        return bool(self._call(SetBool, "enable", SetBool.Request(data=enabled)).success)

    def set_parameters(self, **values: Any) -> str:
        """Set parameters together; returns the reason of a refusal, or nothing."""
        parameters = [Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        result = self._call(SetParametersAtomically, "set_parameters_atomically", request).result
        assert result.successful == (not result.reason)
        return str(result.reason)

    def parameter(self, name: str) -> Any:
        response = self._call(GetParameters, "get_parameters", GetParameters.Request(names=[name]))
        return rclpy.parameter.parameter_value_to_python(response.values[0])

    def statistics(self) -> GetStatistics.Response:
        return self._call(GetStatistics, "get_statistics", GetStatistics.Request())

    def report(self) -> DiagnosticStatus:
        """The next report on /diagnostics."""
        seen = len(self.diagnostics)
        self.wait(lambda: len(self.diagnostics) > seen, "a report")
        return self.diagnostics[-1]

    def counts(self) -> dict[str, str]:
        """The key-value pairs of the next report."""
        return {pair.key: pair.value for pair in self.report().values}

    def _client(self, kind: Any, name: str) -> Any:
        client = self._clients.get(name)
        if client is None:
            client = self.node.create_client(kind, f"{self.name}/{name}")
            self._clients[name] = client
        self.wait(client.service_is_ready, f"the service {name}")
        return client

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        return self.result(self._client(kind, name).call_async(request))

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> None:
        self._subscriptions.append(
            self.node.create_subscription(kind, f"{self.name}/{topic}", callback, 10)
        )
        self.wait(lambda: self.activity() != "active, no subscribers", "a subscriber to be seen")

    def _answer_within(self, seconds: float, future: Any) -> Any:
        """The answer, or None: a server answers into the void until it has found its client."""
        deadline = time.monotonic() + seconds
        self.wait(lambda: future.done() or time.monotonic() > deadline, "an answer")
        return future.result() if future.done() else None

    def _wait_wanted(self, wanted: str) -> None:
        self.wait(
            lambda: self.counts()["output wanted"] == wanted, "the node to know its subscribers"
        )

    def _spin(self) -> None:
        while self._context.ok() and not self._executor._is_shutdown:
            self._executor.spin_once(0.1)
            with self._changed:
                self._changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.report_stamp = message.header.stamp.sec
        self.diagnostics += [s for s in message.status if s.name == f"{self.name}: rotation"]


def _as_message(image: NDArray[np.uint8] | Image | None) -> Image:
    if image is None:
        return Image()
    return image if isinstance(image, Image) else image_message(image, Header(frame_id="request"))
