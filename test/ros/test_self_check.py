"""The self check: each finding, in environments that are made for it."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from opendr_facerot.cli import main
from opendr_facerot.ros.self_check import (
    INTERFACES,
    LARGE_IMAGE,
    Finding,
    Level,
    as_text,
    check_discovery_range,
    check_domain,
    check_interfaces,
    check_leftovers,
    check_multicast,
    check_profile,
    check_shared_memory,
    exit_status,
)

if TYPE_CHECKING:  # ROS may be missing, and some tests skipped
    from graph import Graph, NodeProcess

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "config" / "fastdds_profile.xml"
OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL


def needs_ros() -> None:
    reason = "ROS 2 or the interfaces are not installed"
    pytest.importorskip("opendr_facerot_interfaces.msg", reason=reason)


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (None, OK), ("", OK), ("0", OK), ("101", OK), ("102", WARN), ("232", WARN), ("233", FAIL),
        ("-1", FAIL), ("one", FAIL), ("²", FAIL),
    ],
)  # fmt: skip
def test_domain(value: str | None, level: Level) -> None:
    finding = check_domain({} if value is None else {"ROS_DOMAIN_ID": value})
    assert finding.level is level
    assert (value or "0") in finding.message
    assert bool(finding.advice) == (level is not OK)


@pytest.mark.parametrize(
    ("environment", "level", "told"),
    [
        ({}, OK, "SUBNET"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, OK, "LOCALHOST"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, WARN, "no other node is found"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF", "ROS_STATIC_PEERS": "10.0.0.7"}, OK, "10.0.0.7"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "local"}, WARN, "'local'"),
        ({"ROS_LOCALHOST_ONLY": "1"}, WARN, "ROS_LOCALHOST_ONLY=1 is deprecated"),
    ],
)
def test_discovery_range(environment: dict[str, str], level: Level, told: str) -> None:
    finding = check_discovery_range(environment)
    assert finding.level is level
    assert told in finding.message


def test_multicast_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "sendto", refuse)
    finding = check_multicast({})
    assert finding.level is WARN
    assert "Network is unreachable" in finding.message
    assert "ROS_STATIC_PEERS" in finding.advice
    assert check_multicast({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}).level is OK


def test_room_in_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=63 * 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    finding = check_shared_memory(tmp_path)
    assert (finding.level, finding.message) == (WARN, f"63 MiB free in {tmp_path}")
    usage.free = 64 * 2**20
    assert check_shared_memory(tmp_path).level is OK
    monkeypatch.undo()
    assert check_shared_memory(tmp_path / "absent").level is WARN


def test_left_over_segments_are_those_that_nobody_locks(tmp_path: Path) -> None:
    (tmp_path / "something_el").touch()
    assert check_leftovers(tmp_path).level is OK
    for name in ("fastrtps_0a", "fastrtps_0b", "fastrtps_0c"):
        (tmp_path / name).write_bytes(bytes(2**20))
        (tmp_path / f"{name}_el").touch()
    with (tmp_path / "fastrtps_0b_el").open() as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        finding = check_leftovers(tmp_path)
    assert finding.level is WARN
    assert finding.message.startswith("2 segments of Fast DDS, 2 MiB")
    assert len(list(tmp_path.iterdir())) == 7, "it only looks"


def profile(segment: int, largest: int, used: str = "shm") -> str:
    return (
        '<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>'
        "<transport_descriptors><transport_descriptor><transport_id>shm</transport_id>"
        f"<type>SHM</type><segment_size>{segment}</segment_size>"
        f"<maxMessageSize>{largest}</maxMessageSize></transport_descriptor></transport_descriptors>"
        '<participant profile_name="p" is_default_profile="true"><rtps><userTransports>'
        f"<transport_id>{used}</transport_id></userTransports></rtps></participant>"
        "</profiles></dds>"
    )


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (profile(3 * LARGE_IMAGE, LARGE_IMAGE + 1), OK),
        (profile(3 * LARGE_IMAGE - 1, LARGE_IMAGE + 1), WARN),
        (profile(3 * LARGE_IMAGE, LARGE_IMAGE), WARN),
        (profile(3 * LARGE_IMAGE, LARGE_IMAGE + 1, used="udp"), WARN),
        ("<dds>", FAIL),
        (profile(1, 1).replace(">1<", ">many<"), FAIL),
        (None, FAIL),
    ],
)
def test_profile_of_fast_dds(tmp_path: Path, text: str | None, level: Level) -> None:
    path = tmp_path / "profile.xml"
    if text is not None:
        path.write_text(text)
    finding = check_profile({"FASTRTPS_DEFAULT_PROFILES_FILE": str(path)})
    assert finding.level is level
    assert str(path) in finding.message


def test_profile_that_is_shipped_and_none() -> None:
    shipped = check_profile({"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)})
    assert shipped.level is OK
    assert "segment 33554432 B, largest message 16777216 B" in shipped.message
    none = check_profile({"FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE)})
    assert none.level is WARN
    assert "Jazzy ignores FASTDDS_DEFAULT_PROFILES_FILE" in none.message


@pytest.mark.parametrize(
    ("old", "new", "level", "told"),
    [
        ("", "", OK, "with the same types"),
        ("# ", "# other words: ", OK, "with the same types"),
        ("float32 pitch ", "float64 pitch ", FAIL, "RotatedFace.msg"),
        ("<version>0", "<version>7", FAIL, "has version 7"),
    ],
)
def test_interfaces_of_another_release(
    tmp_path: Path, old: str, new: str, level: Level, told: str
) -> None:
    (tmp_path / "msg").mkdir()
    source = REPOSITORY / INTERFACES
    for path in (source / "package.xml", *source.glob("msg/*.msg")):
        text = path.read_text().replace(old, new) if old else path.read_text()
        (tmp_path / path.relative_to(source)).write_text(text)
    finding = check_interfaces(tmp_path)
    assert finding.level is level
    assert told in finding.message


def test_interfaces_without_their_definitions() -> None:
    assert check_interfaces(None).level is WARN


def test_text_and_exit_status() -> None:
    fine, bad = Finding(OK, "a", "fine"), Finding(FAIL, "b", "broken", "mend it\nsoon")
    assert as_text(fine) == "OK   a: fine"
    assert as_text(bad) == "FAIL b: broken\n     mend it\n     soon"
    assert exit_status([fine]) == 0
    assert exit_status([fine, Finding(WARN, "c", "hm")]) == 0
    assert exit_status([fine, bad, fine]) == 1


def test_without_ros(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.setitem(sys.modules, "rclpy.node", None)
    assert main(["info", "--ros"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("OK   domain: ") for line in lines)
    assert any(line.startswith("FAIL rclpy: ROS 2 cannot be imported") for line in lines)
    assert any("source /opt/ros/jazzy/setup.bash" in line for line in lines)


# With ROS, in processes and a domain of their own


@pytest.fixture
def check(node_environment: dict[str, str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the command; gives the exit status and the findings by what was checked."""
    needs_ros()

    def run(*arguments: str | Path, **changes: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "opendr_facerot.cli", "info", "--ros", "--json"]
        environment = {**node_environment, **changes}
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, {f["check"]: f for f in json.loads(done.stdout)}

    return run


@pytest.mark.slow
def test_images_arrive_with_the_profile_and_are_lost_without(
    check: Callable[..., tuple[int, dict[str, Any]]],
) -> None:
    status, found = check()
    assert status == 0
    for name in ("rclpy", "interfaces", "middleware", "Fast DDS profile", "discovery", "multicast"):
        assert found[name]["level"] == "OK", found[name]
    assert "rmw_fastrtps_cpp 8." in found["middleware"]["message"]
    # Other programs on the machine may cost an image or two; without the profile most are lost.
    assert _lost(found["images of 640x480"]) <= 3
    assert found["nodes"]["message"] == "no facerot node runs in this domain"

    status, found = check(FASTRTPS_DEFAULT_PROFILES_FILE="")
    assert status == 0
    assert found["Fast DDS profile"]["level"] == "WARN"
    assert _lost(found["images of 1920x1080"]) > 10
    assert found["images of 1920x1080"]["level"] == "WARN"
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" in found["images of 1920x1080"]["advice"]


def _lost(finding: dict[str, str]) -> int:
    return int(finding["message"].split()[0])


@pytest.mark.slow
def test_discovery_that_is_off(check: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    status, found = check(ROS_AUTOMATIC_DISCOVERY_RANGE="OFF")
    assert status == 1
    assert found["discovery"]["level"] == "FAIL"
    assert found["discovery range"]["level"] == "WARN"


@pytest.mark.parametrize(
    ("text", "level", "told"),
    [
        (
            "/**:\n  ros__parameters:\n    max_faces: 2\n    yaw_deg: [-30, 30]\n",
            OK,
            "2 parameters",
        ),
        ("/**:\n  ros__parameters:\n    max_face: 2\n", FAIL, "there is no parameter max_face"),
        ("/facerot:\n  ros__parameters:\n    min_score: 7.0\n", FAIL, "parameter min_score is 7.0"),
        ("/other:\n  ros__parameters:\n    max_faces: 2\n", WARN, "no parameters for a node"),
        ("/**:\n  ros__parameters: [\n", FAIL, "parameters.yaml"),
        (None, FAIL, "parameters.yaml"),
        ((REPOSITORY / "config" / "facerot.yaml").read_text(), OK, "all usable"),
    ],
)
def test_parameter_files(tmp_path: Path, text: str | None, level: Level, told: str) -> None:
    needs_ros()
    from opendr_facerot.ros.self_check_graph import check_parameters

    path = tmp_path / "parameters.yaml"
    if text is not None:
        path.write_text(text)
    finding = check_parameters(path)
    assert finding.level is level, finding
    assert told in finding.message


def node_findings() -> dict[str, Finding]:
    """What the check says about the nodes in the test's domain."""
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from opendr_facerot.ros.self_check_graph import check_nodes

    context = Context()
    context.init()
    node = Node("checker", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        return {finding.check: finding for finding in check_nodes(node, executor)}
    finally:
        executor.shutdown()
        node.destroy_node()  # type: ignore[no-untyped-call]
        context.shutdown()


@pytest.mark.slow
def test_nodes_and_what_they_get(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    needs_ros()
    from sensor_msgs.msg import CompressedImage, Image

    from opendr_facerot_interfaces.srv import RotateFace

    start_node("-r", "__ns:=/checked", "-p", "pipeline:=squares")
    start_node(
        *("-r", "__ns:=/idle", "-p", "pipeline:=squares", "-p", "autostart:=false"),
        *("-p", "image_transport:=compressed", "-p", "use_sim_time:=true"),
    )
    connect("/checked").connect()  # which publishes images
    idle = connect("/idle")
    idle.wait(lambda: idle.state() == "unconfigured", "the second node")

    found = node_findings()
    assert found["node /checked/facerot"].level is OK
    assert found["node /checked/facerot"].message == "active: active, no subscribers"
    assert found["images for /checked/facerot"].level is OK
    assert "1 publish /checked/image" in found["images for /checked/facerot"].message
    assert found["time of /checked/facerot"].message == "the system's"
    assert found["node /idle/facerot"].level is WARN
    assert "lifecycle set /idle/facerot" in found["node /idle/facerot"].advice
    assert found["time of /idle/facerot"].level is FAIL
    assert "nobody publishes /clock" in found["time of /idle/facerot"].message

    assert idle.change_state("configure")
    assert idle.change_state("activate")
    topic = "/idle/image/compressed"
    silent = node_findings()["images for /idle/facerot"]
    assert silent.level is WARN
    assert f"nobody publishes {topic}" in silent.message
    good = idle.node.create_publisher(CompressedImage, topic, 1)
    assert node_findings()["images for /idle/facerot"].level is OK
    idle.node.destroy_publisher(good)

    connect("/camera").node.create_publisher(Image, topic, 1)
    mute = connect("/mute").node  # offers the service under another node's name, and nothing else
    mute.create_service(RotateFace, "/mute/facerot/rotate_face", lambda request, answer: answer)
    found = node_findings()
    assert found["images for /idle/facerot"].level is FAIL
    told = "/camera/client publishes sensor_msgs/msg/Image"
    assert told in found["images for /idle/facerot"].message
    assert found["node /mute/facerot"].level is FAIL
    assert "does not report" in found["node /mute/facerot"].message
    assert found["time of /mute/facerot"].level is WARN


@pytest.mark.slow
def test_clock_that_a_node_does_not_use(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    needs_ros()
    from builtin_interfaces.msg import Time

    start_node("-r", "__ns:=/clocked", "-p", "pipeline:=squares")
    client = connect("/clocked")
    client.connect()
    clock = client.node.create_publisher(Time, "/clock", 1)  # its name is looked at
    try:
        finding = node_findings()["time of /clocked/facerot"]
    finally:
        client.node.destroy_publisher(clock)
    assert finding.level is WARN
    assert "use_sim_time is false" in finding.message


@pytest.mark.slow
def test_segments_of_a_running_node_are_in_use(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    needs_ros()
    node = start_node("-r", "__ns:=/segments", "-p", "pipeline:=squares")
    connect("/segments").connect()
    maps = Path(f"/proc/{node.process.pid}/maps").read_text()
    segments = {line.split()[-1] for line in maps.splitlines() if "/dev/shm/fastrtps_" in line}
    locks = [Path(f"{name}_el") for name in segments if not name.endswith(("_el", "_sl"))]
    locks = [lock for lock in locks if lock.exists() and "port" not in lock.name]
    assert locks
    for lock in locks:
        with lock.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
