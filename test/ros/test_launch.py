"""The launch files, where launch is installed: it is not among the ROS wheels."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")
pytest.importorskip("launch_ros", reason="launch_ros is not installed")

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from graph import PATIENCE, Graph
from sensor_msgs.msg import Image
from squares import picture
from std_msgs.msg import Header

from opendr_facerot.imaging import write_image
from opendr_facerot.ros.images import image_message

# Not by import statements, which a type checker could not follow where there is no launch.
launch: Any = import_module("launch")
launch_actions: Any = import_module("launch.actions")
launch_ros: Any = import_module("launch_ros.actions")
launch_files: Any = import_module("launch.launch_description_sources")

ROOT = Path(__file__).parents[2]
FACEROT, DEMO = (ROOT / "launch" / f"{name}.launch.py" for name in ("facerot", "demo"))
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
CAMERA_DRIVERS = {"v4l2_camera": "v4l2_camera_node", "usb_cam": "usb_cam_node_exe"}


def description(file: Path) -> Any:
    return launch_files.get_launch_description_from_python_launch_file(str(file))


def arguments_of(file: Path) -> dict[str, Any]:
    """What ``ros2 launch --show-args`` shows."""
    return {argument.name: argument for argument in description(file).get_launch_arguments()}


@pytest.fixture(autouse=True)
def _own_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launching sets the variable; this puts it back."""
    monkeypatch.delenv(PROFILE, raising=False)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Make packages known to ROS, by name only."""
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    found = [str(prefix), *filter(None, [os.environ.get("AMENT_PREFIX_PATH")])]
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(found))

    def make(package: str) -> None:
        (index / package).touch()

    return make


def launched(file: Path, **arguments: str) -> list[Any]:
    """The nodes that would be started, with everything put in."""
    context = launch.LaunchContext()
    context.launch_configurations.update(arguments)
    nodes = []
    for entity in _visited(description(file), context):
        if isinstance(entity, launch_ros.Node):
            entity._perform_substitutions(context)
            nodes.append(entity)
    return nodes


def _visited(entity: Any, context: Any) -> Iterator[Any]:
    """An entity and all that it leads to, except that no process is started."""
    yield entity
    if not isinstance(entity, launch_ros.Node):
        for inner in entity.visit(context) or []:
            yield from _visited(inner, context)


def own_arguments(node: Any) -> list[str]:
    """A node's arguments without those for ROS."""
    context = launch.LaunchContext()
    found = []
    for word in node.cmd[1:]:
        text = "".join(part.perform(context) for part in word)
        if text == "--ros-args":
            break
        found.append(text)
    return found


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def remappings(node: Any) -> dict[str, str]:
    return dict(node.expanded_remapping_rules)


@pytest.mark.parametrize("file", [FACEROT, DEMO], ids=lambda file: file.name)
def test_every_argument_is_described_and_optional(file: Path) -> None:
    arguments = arguments_of(file)
    assert len(arguments) > 15
    for argument in arguments.values():
        assert len(argument.description) > 20
        assert argument.default_value is not None


def test_choices() -> None:
    arguments = arguments_of(FACEROT)
    switch = ["true", "false"]
    assert {name: list(a.choices) for name, a in arguments.items() if a.choices} == {
        "image_transport": ["", "raw", "compressed"],
        "autostart": ["", *switch],
        "use_sim_time": switch,
        "log_level": ["debug", "info", "warn", "error", "fatal"],
        "respawn": switch,
        "camera": switch,
        "camera_driver": ["auto", *CAMERA_DRIVERS, "file"],
    }


def test_demo_takes_the_arguments_of_the_node_too() -> None:
    assert set(arguments_of(DEMO)) == {"rviz", *arguments_of(FACEROT)}


@pytest.mark.parametrize("argument", ["log_level", "camera_driver", "use_sim_time"])
def test_values_that_are_no_choice_are_refused(argument: str) -> None:
    with pytest.raises(RuntimeError, match=argument):
        launched(FACEROT, **{argument: "loud"})


def test_node() -> None:
    (node,) = launched(FACEROT)
    assert isinstance(node, launch_ros.LifecycleNode)
    assert (node.node_package, node.node_executable) == ("opendr_facerot", "facerot_node")
    assert node.node_name == "/facerot"
    assert remappings(node) == {
        "image": "image",
        "camera_info": "camera_info",
        "~/faces": "~/faces",
        "~/montage": "~/montage",
    }


def test_names_and_topics() -> None:
    (node,) = launched(
        FACEROT, namespace="left", node_name="turner", image_topic="/eye/image_raw",
        faces_topic="/faces", montage_topic="shown",
    )  # fmt: skip
    assert node.node_name == "/left/turner"
    assert remappings(node) == {
        "image": "/eye/image_raw",
        "camera_info": "/eye/camera_info",
        "~/faces": "/faces",
        "~/montage": "shown",
    }


@pytest.mark.parametrize(
    ("image", "given", "used"),
    [
        ("image", "", "camera_info"),
        ("eye/image", "", "eye/camera_info"),
        ("/image", "", "/camera_info"),
        ("/eye/image", "/calibration", "/calibration"),
    ],
)
def test_calibration_is_beside_the_image_unless_given(image: str, given: str, used: str) -> None:
    (node,) = launched(FACEROT, image_topic=image, camera_info_topic=given)
    assert remappings(node)["camera_info"] == used


@pytest.mark.parametrize("mine", [None, "/mine.xml"])
def test_profile_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch, mine: str | None) -> None:
    if mine is not None:
        monkeypatch.setenv(PROFILE, mine)
    launched(FACEROT)
    profile = os.environ[PROFILE]
    assert profile == (mine or str(ROOT / "config" / "fastdds_profile.xml"))
    assert mine or Path(profile).is_file()


@pytest.mark.parametrize("driver", CAMERA_DRIVERS)
def test_camera_publishes_what_the_node_subscribes_to(
    install: Callable[[str], None], driver: str
) -> None:
    install(driver)
    node, camera = launched(
        FACEROT, camera="true", camera_driver=driver, namespace="left", image_topic="eye/image"
    )
    assert (camera.node_package, camera.node_executable) == (driver, CAMERA_DRIVERS[driver])
    assert camera.node_name == "/left/camera"
    rules = remappings(camera)
    assert rules["image_raw"] == remappings(node)["image"] == "eye/image"
    assert rules["image_raw/compressed"] == "eye/image/compressed"
    # image_transport names it after the image topic, from before or after the remapping.
    for name in ("camera_info", "eye/camera_info"):
        assert rules.get(name, name) == remappings(node)["camera_info"] == "eye/camera_info"


def test_first_driver_that_is_installed_is_taken(install: Callable[[str], None]) -> None:
    install("usb_cam")
    assert launched(FACEROT, camera="true")[1].node_package == "usb_cam"
    install("v4l2_camera")
    assert launched(FACEROT, camera="true")[1].node_package == "v4l2_camera"


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("auto", "v4l2_camera or usb_cam, which is not installed: .*-v4l2-camera, or play"),
        ("usb_cam", "package usb_cam, which is not installed: sudo apt install ros-.*-usb-cam"),
    ],
)
def test_missing_driver_is_named(driver: str, told: str) -> None:
    for package in CAMERA_DRIVERS:
        if _is_installed(package):
            pytest.skip(f"{package} is installed here")
    with pytest.raises(RuntimeError, match=told):
        launched(FACEROT, camera="true", camera_driver=driver)


def test_player_in_place_of_a_camera() -> None:
    node, player = launched(
        FACEROT, camera="true", camera_driver="file", photo="/my clips/a.mp4", photo_rate="7",
        image_topic="/eye/image",
    )  # fmt: skip
    assert (player.node_package, player.node_executable) == (
        "opendr_facerot", "facerot_photo_publisher",
    )  # fmt: skip
    assert own_arguments(player) == ["/my clips/a.mp4", "--rate", "7"]
    assert remappings(player) == {"image": "/eye/image", "camera_info": "/eye/camera_info"}
    assert remappings(node)["image"] == "/eye/image"


def test_missing_parameter_file_is_refused() -> None:
    with pytest.raises(RuntimeError, match="params_file:=/mine.yaml"):
        launched(FACEROT, params_file="/mine.yaml")


def test_demo_plays_the_photo_of_the_package() -> None:
    node, player = launched(DEMO, rviz="false")
    assert node.node_executable == "facerot_node"
    assert player.node_executable == "facerot_photo_publisher"
    (photo,) = own_arguments(player)
    assert Path(photo).is_file()


def test_demo_shows_the_topics_where_they_are(install: Callable[[str], None]) -> None:
    install("rviz2")
    node, player, viewer = launched(DEMO, namespace="left", node_name="turner", image_topic="eye")
    assert (viewer.node_package, viewer.node_executable) == ("rviz2", "rviz2")
    option, file = own_arguments(viewer)
    assert option == "-d"
    assert Path(file).is_file()
    assert remappings(viewer) == {"/image": "/left/eye", "/facerot/montage": "/left/turner/montage"}


def test_demo_without_a_viewer() -> None:
    if _is_installed("rviz2"):
        pytest.skip("rviz2 is installed here")
    assert len(launched(DEMO, rviz="auto")) == 2
    with pytest.raises(RuntimeError, match="rviz2, which is not installed: sudo apt install"):
        launched(DEMO, rviz="true")


@contextmanager
def running(
    file: Path, environment: dict[str, str], log: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A launch file at work; it must end cleanly."""
    if not _is_installed("opendr_facerot"):
        pytest.skip("opendr_facerot is not installed as a ROS package")
    script = (
        "import sys; from launch import LaunchService; "
        "from launch.actions import IncludeLaunchDescription as Include; "
        "arguments = [tuple(a.split(':=')) for a in sys.argv[2:]]; service = LaunchService(); "
        "service.include_launch_description("
        "Include(sys.argv[1], launch_arguments=arguments)); sys.exit(service.run())"
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(file), *arguments],
            env={**environment, "ROS_LOG_DIR": str(log.parent / "ros_log")},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(PATIENCE)
    assert status == 0, log.read_text()
    assert "process has finished cleanly" in log.read_text()


@pytest.mark.slow
def test_arguments_reach_the_node(
    node_environment: dict[str, str], connect: Callable[[str], Graph], tmp_path: Path
) -> None:
    parameters = tmp_path / "mine.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    pipeline: cubes\n    yaw_deg: [12.0]\n    output_size: 64\n"
    )
    arguments = (
        f"params_file:={parameters}", "pipeline:=squares", "namespace:=launched",
        "image_topic:=/eye/image", "log_level:=warn",
    )  # fmt: skip
    with running(FACEROT, node_environment, tmp_path / "log", *arguments):
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
    assert "active: pipeline" not in (tmp_path / "log").read_text(), "log_level has no effect"


def _has_faces(client: Graph, count: int) -> bool:
    return len(client.faces) >= count


@pytest.mark.slow
def test_two_namespaces_each_see_their_own_photo(
    node_environment: dict[str, str], connect: Callable[[str], Graph], tmp_path: Path
) -> None:
    clients = {}
    with ExitStack() as stack:
        for name, side, transport in (("left", 40, "raw"), ("right", 60, "compressed")):
            photo = tmp_path / f"{name}.png"
            write_image(photo, picture((side,)))
            arguments = (
                f"namespace:={name}", "pipeline:=squares", f"image_transport:={transport}",
                "camera:=true", "camera_driver:=file", f"photo:={photo}", "photo_rate:=10",
            )  # fmt: skip
            stack.enter_context(running(FACEROT, node_environment, tmp_path / name, *arguments))
            clients[name] = connect(f"/{name}")
        widths = {}
        for client in clients.values():
            client.subscribe()
            client.wait(partial(_has_faces, client, 11), "eleven messages")
        for name, client in clients.items():
            widths[name] = {face.roi.width for face in client.faces}
    assert widths["left"] == {40}
    assert 45 < max(widths["right"]) <= 60, "JPEG leaves pure green along the square's rim only"


@pytest.mark.slow
def test_respawned_node_works_again(
    node_environment: dict[str, str], connect: Callable[[str], Graph], tmp_path: Path
) -> None:
    arguments = ("namespace:=again", "pipeline:=squares", "respawn:=true")
    with running(FACEROT, node_environment, tmp_path / "log", *arguments):
        client = connect("/again")
        client.connect()
        (started,) = re.findall(
            r"process started with pid \[(\d+)\]", (tmp_path / "log").read_text()
        )
        os.kill(int(started), signal.SIGINT)
        client.wait(
            lambda: (tmp_path / "log").read_text().count("process started") == 2, "a new node"
        )
        client.connect()


@pytest.mark.slow
def test_demo_turns_its_photo(
    node_environment: dict[str, str], connect: Callable[[str], Graph], tmp_path: Path
) -> None:
    with running(DEMO, node_environment, tmp_path / "log", "namespace:=shown", "rviz:=false"):
        client = connect("/shown")
        client.subscribe()
        client.wait(lambda: client.faces, "a face", timeout=60)
        (face,) = client.faces[:1]
        assert len(face.views) == 9
        assert [round(math.degrees(view.yaw)) for view in face.views] == list(range(-60, 61, 15))
    told = (tmp_path / "log").read_text()
    assert "astronaut.png is published on /shown/image" in told
    assert "ros2 service call /shown/facerot/rotate_face" in told
