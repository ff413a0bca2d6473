"""Nine views of one face from a camera of 30 Hz, through the ROS node, seen from outside."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import MEBIBYTES, Measurement
from opendr_facerot.benchmark.memory import peak_memory
from opendr_facerot.benchmark.node_process import ActiveNode, active_node, private_graph
from opendr_facerot.benchmark.scenes import NINE_VIEWS
from opendr_facerot.errors import FacerotError
from opendr_facerot.evaluation.streams import RATE, swaying
from opendr_facerot.imaging import read_image
from opendr_facerot.ros.images import image_message
from opendr_facerot_interfaces.msg import RotatedFaceArray

_NAMESPACE = "/bench"
_CYCLE = 60  # frames, about one sway
_WARM_UP = 3.0  # seconds after the first output
_SECONDS_PER_RUN = 1.0
_PATIENCE = 30.0
_FEWEST = 3  # outputs


class Watcher:
    """The camera and the subscriber, in one process.

    Attributes:
        arrivals: Nanoseconds at which each output came.
        stamps: Nanoseconds at which its frame was taken.
    """

    def __init__(self, photo: Path) -> None:
        self.arrivals: list[int] = []
        self.stamps: list[int] = []
        frames = [frame.image for frame in swaying(read_image(photo), _CYCLE)]
        there_and_back = frames + frames[-2:0:-1]
        self._frames = cycle([image_message(frame, Header()) for frame in there_and_back])
        self._node = rclpy.create_node("watcher", namespace=_NAMESPACE)
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._camera = self._node.create_publisher(Image, "image", qos)
        topic = f"{_NAMESPACE}/facerot/faces"
        self._node.create_subscription(RotatedFaceArray, topic, self._on_face, 10)
        self._node.create_timer(1.0 / RATE, self._publish)

    def listen(self, seconds: float) -> None:
        """Publish frames and take outputs for a time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def close(self) -> None:
        self._node.destroy_node()

    def _publish(self) -> None:
        message = next(self._frames)
        message.header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id="bench")
        self._camera.publish(message)

    def _on_face(self, message: RotatedFaceArray) -> None:
        stamp = message.header.stamp
        self.arrivals.append(self._node.get_clock().now().nanoseconds)
        self.stamps.append(stamp.sec * 10**9 + stamp.nanosec)


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """Rate, age, processor time and memory, for as many seconds as there are runs."""
    environment = private_graph()
    os.environ.update(environment)
    yaws = [round(float(np.degrees(view.yaw or 0.0)), 1) for view in NINE_VIEWS]
    arguments = ["--ros-args", "-p", f"yaw_deg:={yaws}", "-r", f"__ns:={_NAMESPACE}"]
    rclpy.init()
    try:
        with active_node(environment, arguments) as node:
            watcher = Watcher(conditions.photo)
            yield from _watch(conditions, watcher, node)
            watcher.close()
    finally:
        rclpy.try_shutdown()


def _watch(conditions: Conditions, watcher: Watcher, node: ActiveNode) -> Iterator[Measurement]:
    deadline = time.monotonic() + _PATIENCE
    while not watcher.arrivals:
        watcher.listen(0.1)
        if time.monotonic() > deadline:
            raise FacerotError(f"the node gave no output within {_PATIENCE:.0f} s")
    watcher.listen(_WARM_UP)
    watcher.arrivals.clear()
    watcher.stamps.clear()
    worked = _processor_seconds(node.process.pid)
    watcher.listen(_SECONDS_PER_RUN * conditions.runs)
    worked = _processor_seconds(node.process.pid) - worked

    if (count := len(watcher.arrivals)) < _FEWEST:
        raise FacerotError(f"the node gave {count} outputs: too few to measure, take more --runs")
    arrivals, stamps = np.array(watcher.arrivals), np.array(watcher.stamps)
    between = (1e-9 * np.diff(arrivals)).tolist()
    period = statistics.mean(between)
    yield conditions.measured(names.NODE_PERIOD, between, {"the camera's": 1.0 / RATE})
    ages = (1e-9 * (arrivals - stamps)).tolist()
    yield conditions.measured(names.NODE_AGE, ages, {"the time between two": period})
    each = [worked / len(ages)]
    yield conditions.measured(names.NODE_WORK, each, {"the time between two": period})
    memory = [peak_memory(node.process.pid)]
    name = "node, nine views of a 30 Hz camera: peak memory"
    yield conditions.measured(name, memory, {"of the watcher": peak_memory()}, MEBIBYTES)


def _processor_seconds(pid: int) -> float:
    # Fields after the name, which may contain anything: user and system time are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
