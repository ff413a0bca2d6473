"""The launch file, where launch is installed: it is not among the ROS wheels."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")
pytest.importorskip("launch_ros", reason="launch_ros is not installed")

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from graph import PATIENCE, Graph
from sensor_msgs.msg import Image
from squares import picture
from std_msgs.msg import Header

from opendr_facerot.ros.images import image_message

# Not by import statements, which a type checker could not follow where there is no launch.
launch: Any = import_module("launch")
launch_ros: Any = import_module("launch_ros.actions")
launch_files: Any = import_module("launch.launch_description_sources")

LAUNCH_FILE = Path(__file__).parents[2] / "launch" / "facerot.launch.py"
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.fixture
def description() -> Any:
    return launch_files.get_launch_description_from_python_launch_file(str(LAUNCH_FILE))


def launched(description: Any, **arguments: str) -> Any:
    """The node that would be started."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    (node,) = (
        result
        for entity in description.entities
        for result in entity.visit(context) or []
        if isinstance(result, launch_ros.LifecycleNode)
    )
    return node


def test_arguments(description: Any) -> None:
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert list(arguments) == [
        "image_topic", "camera_info_topic", "params_file", "pipeline", "device", "autostart",
        "namespace", "log_level", "respawn",
    ]  # fmt: skip
    for argument in arguments.values():
        assert len(argument.description) > 20
        assert argument.default_value is not None
    assert "info" in arguments["log_level"].choices


def test_unknown_log_level_is_refused(description: Any) -> None:
    with pytest.raises(RuntimeError, match="log_level"):
        launched(description, log_level="loud")


def test_node(description: Any) -> None:
    node = launched(description)
    assert node.node_package == "opendr_facerot"
    assert node.node_executable == "facerot_node"


@pytest.mark.parametrize("mine", [None, "/mine.xml"])
def test_profile_of_the_user_is_kept(
    description: Any, monkeypatch: pytest.MonkeyPatch, mine: str | None
) -> None:
    monkeypatch.delenv(PROFILE, raising=False)
    if mine is not None:
        monkeypatch.setenv(PROFILE, mine)
    launched(description)
    profile = os.environ[PROFILE]
    assert profile == (mine or str(LAUNCH_FILE.parents[1] / "config" / "fastdds_profile.xml"))
    assert mine or Path(profile).is_file()


def test_arguments_reach_the_node(
    node_environment: dict[str, str], connect: Callable[[str], Graph], tmp_path: Path
) -> None:
    try:
        get_package_prefix("opendr_facerot")
    except PackageNotFoundError:
        pytest.skip("opendr_facerot is not installed as a ROS package")
    parameters = tmp_path / "mine.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    pipeline: cubes\n    yaw_deg: [12.0]\n    output_size: 64\n"
    )
    arguments = [
        f"params_file:={parameters}", "pipeline:=squares", "namespace:=launched",
        "image_topic:=/eye/image", "log_level:=warn",
    ]  # fmt: skip
    script = (
        "import sys; from launch import LaunchService; "
        "from launch.actions import IncludeLaunchDescription as Include; "
        "arguments = [tuple(a.split(':=')) for a in sys.argv[2:]]; service = LaunchService(); "
        "service.include_launch_description("
        "Include(sys.argv[1], launch_arguments=arguments)); sys.exit(service.run())"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(LAUNCH_FILE), *arguments],
            env={**node_environment, "ROS_LOG_DIR": str(tmp_path / "ros_log")},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        client = connect("/launched")
        camera = client.node.create_publisher(Image, "/eye/image", 10)
        client.wait(lambda: camera.get_subscription_count() > 0, "the node to subscribe")
        client.subscribe()
        while not client.faces:
            camera.publish(image_message(picture(), Header(frame_id="eye")))
            client.report()
        (view,) = client.faces[0].views
        assert client.faces[0].header.frame_id == "eye"
        assert (round(view.yaw, 4), view.image.width) == (0.2094, 64)
        assert client.parameter("pipeline") == "squares"
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(PATIENCE)
    output = (tmp_path / "log").read_text()
    assert status == 0, output
    assert "process has finished cleanly" in output
    assert "active: pipeline" not in output, "log_level has no effect"
