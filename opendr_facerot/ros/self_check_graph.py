"""What ``facerot info --ros`` asks ROS: middleware, images between processes, running nodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from opendr_facerot.errors import SettingsError
from opendr_facerot.ros import self_check_talker as talker
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters, checked, refuse_unknown
from opendr_facerot.ros.self_check import (
    FAST_DDS,
    PROFILE_ADVICE,
    Finding,
    Level,
    share_folder,
)

_SERVICE = "opendr_facerot_interfaces/srv/RotateFace"
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_GRAPH_TIME = 4.0  # seconds in which the nodes that run are found, on a busy machine too
_REPORT_TIME = 5.0  # seconds in which a node has reported on /diagnostics, at 1 Hz
_ANSWER_TIME = 3.0
_MOST_LOST = 0.05  # share of images whose loss is put down to a busy machine
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def middleware() -> Finding:
    """Which middleware is used, and its version."""
    name = get_rmw_implementation_identifier()
    share = share_folder(name)
    text = "" if share is None else (share / "package.xml").read_text("utf-8")
    version = re.search(r"<version>(.*?)</version>", text)
    message = f"{name} {version.group(1) if version else '(version unknown)'}"
    if name != FAST_DDS:
        return Finding(
            Level.WARN, "middleware", message,
            f"this package is tested with {FAST_DDS}: RMW_IMPLEMENTATION={FAST_DDS}",
        )  # fmt: skip
    return Finding(Level.OK, "middleware", message)


def graph_findings(parameter_file: Path | None) -> Iterator[Finding]:
    """Everything that takes a node of our own."""
    if parameter_file is not None:
        yield check_parameters(parameter_file)
    context = Context()
    try:
        rclpy.init(context=context)
        node = rclpy.create_node("facerot_self_check", context=context)
    except RuntimeError as error:  # of the middleware, about the environment
        advice = "see the lines above; ROS has logged the details"
        yield Finding(Level.FAIL, "node", f"ROS cannot start a node: {error}", advice)
        return
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield from check_images(node, executor)
        yield from check_nodes(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def check_parameters(path: Path) -> Finding:
    """Whether the node would start with a parameter file."""
    name = "parameter file"
    advice = "config/facerot.yaml has every parameter with its default and range"
    context = Context()
    try:
        rclpy.init(context=context, args=["--ros-args", "--params-file", str(path)])
        node = rclpy.create_node(
            "facerot",
            context=context,
            allow_undeclared_parameters=True,
            automatically_declare_parameters_from_overrides=True,
        )
        given: dict[str, Any] = dict(node.get_parameters_by_prefix(""))
        node.destroy_node()
        values = {k: p.value for k, p in given.items() if not k.startswith(_OF_ROS)}
        refuse_unknown(values)
        defaults = {k: parameter.default for k, parameter in PARAMETERS.items()}
        NodeParameters.from_values({**defaults, **{k: checked(k, values[k]) for k in values}})
    except (RuntimeError, SettingsError) as error:  # of ROS about the file, of ours about values
        return Finding(Level.FAIL, name, f"{path}: {error}", advice)
    finally:
        context.try_shutdown()
    if not values:
        message = f"{path} has no parameters for a node /facerot"
        return Finding(Level.WARN, name, message, "name the node /facerot, or /** for any node")
    return Finding(Level.OK, name, f"{path}: {len(values)} parameters, all usable")


def check_images(node: Node, executor: SingleThreadedExecutor) -> Iterator[Finding]:
    """Whether another process is found, and how many of its images arrive."""
    namespace = f"/facerot_self_check_{os.getpid()}"
    got: dict[tuple[int, int], set[int]] = {size: set() for size in talker.SIZES}

    def keep(size: tuple[int, int]) -> Callable[[Image], None]:
        return lambda message: got[size].add(message.header.stamp.sec)

    subscriptions = [
        node.create_subscription(Image, talker.topic(namespace, size), keep(size), talker.QOS)
        for size in talker.SIZES
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", talker.__name__, namespace],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _spin(executor, lambda: process.poll() is not None, 4 * talker.PATIENCE)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        for subscription in subscriptions:
            node.destroy_subscription(subscription)
    if process.returncode:
        yield Finding(
            Level.FAIL, "discovery", "two processes on this machine do not find each other",
            "allow UDP on the loopback interface and between processes of this machine, or set "
            "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST",
        )  # fmt: skip
        return
    yield Finding(Level.OK, "discovery", "two processes on this machine find each other")
    for size, numbers in got.items():
        lost = talker.FRAMES - len(numbers)
        name = f"images of {size[0]}x{size[1]}"
        message = f"{lost} of {talker.FRAMES} lost, best effort, {talker.RATE:.0f} Hz"
        if lost > _MOST_LOST * talker.FRAMES:
            yield Finding(Level.WARN, name, message, PROFILE_ADVICE)
        else:
            yield Finding(Level.OK, name, message)


def check_nodes(node: Node, executor: SingleThreadedExecutor) -> Iterator[Finding]:
    """The facerot nodes that run, what they do, and what they get."""
    reports: dict[str, dict[str, str]] = {}

    def keep(message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            reports[status.name] = {**values, "message": status.message}

    subscription = node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    _spin(executor, lambda: False, _GRAPH_TIME)
    found = sorted(
        service.removesuffix("/rotate_face")
        for service, types in node.get_service_names_and_types()
        if _SERVICE in types
    )
    clocks = node.count_publishers("/clock")
    if not found:
        yield Finding(Level.OK, "nodes", "no facerot node runs in this domain")
    for name in found:
        entry = f"{name}: rotation"
        _spin(executor, partial(_is_known, node, name, reports, entry), _REPORT_TIME)
        yield _state(name, reports.get(entry))
        for topic, kind in _image_topics(node, name):
            yield _input(node, name, topic, kind)
        yield _clock(node, executor, name, clocks)
    node.destroy_subscription(subscription)


def _state(name: str, report: dict[str, str] | None) -> Finding:
    if report is None:
        advice = "it hangs: look at its log, and start it again"
        return Finding(Level.FAIL, f"node {name}", "does not report on /diagnostics", advice)
    message = f"{report.get('state')}: {report['message']}"
    if report.get("state") != "active":
        advice = f"ros2 lifecycle set {name} configure, then activate"
        return Finding(Level.WARN, f"node {name}", message, advice)
    return Finding(Level.OK, f"node {name}", message)


def _is_known(node: Node, name: str, reports: dict[str, dict[str, str]], entry: str) -> bool:
    """Whether a node has reported, and the topics that it then has were discovered."""
    report = reports.get(entry)
    return report is not None and (
        report.get("state") != "active" or bool(_image_topics(node, name))
    )


def _image_topics(node: Node, name: str) -> list[tuple[str, str]]:
    """Topics of images that a node subscribes to, with their types."""
    namespace, _, base = name.rpartition("/")
    try:
        topics = node.get_subscriber_names_and_types_by_node(base, namespace or "/")
    except RuntimeError:  # it is not, or no longer, known by name
        return []
    return [(topic, kind) for topic, kinds in topics for kind in kinds if kind in _IMAGES]


def _input(node: Node, name: str, topic: str, wanted: str) -> Finding:
    check = f"images for {name}"
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        advice = "start the camera, or remap: --ros-args -r image:=/camera/image_raw"
        return Finding(Level.WARN, check, f"nobody publishes {topic} ({wanted})", advice)
    readers = [
        info
        for info in node.get_subscriptions_info_by_topic(topic)
        if f"{info.node_namespace.rstrip('/')}/{info.node_name}" == name
    ]
    for publisher in publishers:
        sender = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
        if publisher.topic_type != wanted:
            message = f"{sender} publishes {publisher.topic_type} on {topic}: {wanted} is taken"
            advice = "set image_transport to raw or compressed, or remap to another topic"
            return Finding(Level.FAIL, check, message, advice)
        for reader in readers:
            result, reason = qos_check_compatible(publisher.qos_profile, reader.qos_profile)
            if result == QoSCompatibility.ERROR:
                message = f"the QoS of {sender} on {topic} does not fit: {reason}"
                advice = "publish with sensor-data QoS"
                return Finding(Level.FAIL, check, message, advice)
    return Finding(Level.OK, check, f"{len(publishers)} publish {topic} ({wanted}), QoS fits")


def _clock(node: Node, executor: SingleThreadedExecutor, name: str, clocks: int) -> Finding:
    """Whether a node's time moves on."""
    check = f"time of {name}"
    client = node.create_client(GetParameters, f"{name}/get_parameters")
    future: Any = client.call_async(GetParameters.Request(names=["use_sim_time"]))
    _spin(executor, future.done, _ANSWER_TIME)
    node.destroy_client(client)
    if not future.done():
        message = "it does not answer for its parameters"
        return Finding(Level.WARN, check, message, "look at its log")
    simulated = future.result().values[0].bool_value
    if simulated and not clocks:
        message = "use_sim_time is true, and nobody publishes /clock"
        return Finding(
            Level.FAIL, check, message,
            "start the simulation or 'ros2 bag play --clock', or set use_sim_time to false",
        )  # fmt: skip
    if clocks and not simulated:
        message = "somebody publishes /clock, and use_sim_time is false"
        return Finding(Level.WARN, check, message, "start the node with -p use_sim_time:=true")
    return Finding(Level.OK, check, "simulated" if simulated else "the system's")


def _spin(executor: SingleThreadedExecutor, done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        executor.spin_once(0.05)
