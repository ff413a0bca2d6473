"""The camera on one machine and the node on another, without multicast between them."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opendr_facerot_interfaces")
pytest.importorskip("rclpy")

from squares import picture, view_colour

from benchmarks.hosts import Host, HostsError, two_networks
from opendr_facerot.imaging import write_image

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]

PORT = 11811
PATIENCE = 30.0
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """The robot and the server, with a router between them that passes no multicast."""
    with ExitStack() as stack:
        try:
            pair = stack.enter_context(two_networks())
        except HostsError as error:
            pytest.skip(f"cannot make network namespaces: {error}")
        yield pair


@pytest.fixture
def start(hosts: tuple[Host, Host], tmp_path: Path) -> Iterator[Start]:
    """Start processes on hosts; they end with the test, before the hosts do."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(host: Host, command: Sequence[str], environment: Mapping[str, str]) -> Any:
        log = tmp_path / f"process{len(started)}.log"
        started.append(host.start(command, environment, log))
        return started[-1]

    yield begin
    for process in reversed(started):
        process.send_signal(signal.SIGINT)
    for process in reversed(started):
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "square.png"
    write_image(path, picture((40,)))
    return path


@pytest.mark.parametrize("super_client", [False, True])
def test_faces_and_answers_through_a_discovery_server(
    hosts: tuple[Host, Host],
    start: Start,
    photo: Path,
    node_environment: dict[str, str],
    super_client: bool,
) -> None:
    program = _discovery_server()
    robot, server = hosts
    environment = {
        **node_environment,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_DISCOVERY_SERVER": f"{robot.address}:{PORT}",
    }
    listen = [program, "-i", "0", "-l", robot.address, "-p", str(PORT)]
    start(robot, listen, environment)
    report = _watch(robot, server, start, photo, environment, super_client=super_client)
    _check(report)
    # The server tells other clients only of the topics that they use themselves.
    assert ("/image" in report["topics"]) == super_client


def test_faces_and_answers_through_static_peers(
    hosts: tuple[Host, Host],
    start: Start,
    photo: Path,
    node_environment: dict[str, str],
) -> None:
    robot, server = hosts
    environment = {
        **node_environment,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_STATIC_PEERS": f"{robot.address};{server.address}",
    }
    _check(_watch(robot, server, start, photo, environment))


def test_nothing_comes_without_either(
    hosts: tuple[Host, Host],
    start: Start,
    photo: Path,
    node_environment: dict[str, str],
) -> None:
    robot, server = hosts
    environment = {**node_environment, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    report = _watch(robot, server, start, photo, environment, patience=8.0)
    assert report["face"] is None
    assert "facerot" not in report["nodes"]
    assert "photo_publisher" in report["nodes"]


def _watch(
    robot: Host,
    server: Host,
    start: Start,
    photo: Path,
    environment: Mapping[str, str],
    *,
    super_client: bool = False,
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """What a watcher beside the camera gets from the node on the server."""
    node = ["opendr_facerot.ros.node", "--ros-args", "-p", "pipeline:=squares"]
    start(server, [sys.executable, "-m", *node], environment)
    camera = ["opendr_facerot.ros.photo_publisher", str(photo), "--rate", "10"]
    start(robot, [sys.executable, "-m", *camera], environment)
    client = str(Path(__file__).with_name("network_client.py"))
    done = subprocess.run(
        robot.command(sys.executable, client, str(patience)),
        env={**environment, **({"ROS_SUPER_CLIENT": "TRUE"} if super_client else {})},
        stdout=subprocess.PIPE,
        check=True,
        timeout=patience + 30.0,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _discovery_server() -> str:
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("fast-discovery-server", path=folders)
    if program is None:
        pytest.skip("fast-discovery-server is not installed: it comes with Fast DDS")
    return program


def _check(report: Mapping[str, Any]) -> None:
    yaw = [-math.pi / 6, 0.0, math.pi / 6]  # the node's default
    assert report["face"]["frame_id"] == "photo"
    assert report["face"]["roi_width"] == 40
    assert report["face"]["yaw"] == pytest.approx(yaw)
    assert report["face"]["pixel"] == list(view_colour(yaw[0], 0.0))
    assert report["answer"] == {
        "error_code": 0,
        "roi_width": [40],
        "yaw": [pytest.approx(0.5)],
    }
