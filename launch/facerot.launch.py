"""Start the node facerot and, if wished, a camera.

ros2 launch opendr_facerot facerot.launch.py image_topic:=/camera/image_raw
ros2 launch opendr_facerot facerot.launch.py camera:=true
"""

import os
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

SHARE = Path(__file__).resolve().parents[1]
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
CAMERA_DRIVERS = {"v4l2_camera": "v4l2_camera_node", "usb_cam": "usb_cam_node_exe"}
FROM_FILE = "empty = as in params_file."

ARGUMENTS = (
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="Topic of the images to turn faces in; the compressed transport adds "
        "/compressed to it.",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="Topic of the camera's calibration, which gives its field of view; "
        "empty = camera_info beside image_topic.",
    ),
    DeclareLaunchArgument(
        "faces_topic",
        default_value="~/faces",
        description="Topic on which the turned faces are published.",
    ),
    DeclareLaunchArgument(
        "montage_topic",
        default_value="~/montage",
        description="Topic on which the views are published side by side.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "facerot.yaml"),
        description="YAML file of the node's parameters.",
    ),
    DeclareLaunchArgument(
        "pipeline",
        default_value="",
        description=f"Installed pipeline, e.g. head or rotate_and_render; {FROM_FILE}",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description=f"Compute device: auto, cpu, cuda or cuda:<index>; {FROM_FILE}",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description=f"Whether to subscribe to raw or to compressed images; {FROM_FILE}",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description=f"Whether the node configures and activates itself; {FROM_FILE}",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Whether time comes from the topic /clock, as with a simulation or a played "
        "bag.",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the nodes and their topics."
    ),
    DeclareLaunchArgument(
        "node_name", default_value="facerot", description="Name of the node, ~ in topic names."
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity of what is logged.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="Whether to start the node again, after 2 s, if it ends by itself.",
    ),
    DeclareLaunchArgument(
        "fastdds_profile",
        default_value=EnvironmentVariable(
            PROFILE, default_value=str(SHARE / "config" / "fastdds_profile.xml")
        ),
        description="XML profile of Fast DDS, whose own settings lose most images above 512 kB; by "
        "default the one that the environment names already, otherwise this package's.",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="false",
        choices=["true", "false"],
        description="Whether to start a camera too, which publishes on image_topic.",
    ),
    DeclareLaunchArgument(
        "camera_driver",
        default_value="auto",
        choices=["auto", *CAMERA_DRIVERS, "file"],
        description="What camera:=true starts: the driver of that name, the first of them that is "
        "installed (auto), or a player of photos and videos (file).",
    ),
    DeclareLaunchArgument(
        "video_device",
        default_value="/dev/video0",
        description="Device of the camera that a driver opens.",
    ),
    DeclareLaunchArgument(
        "photo",
        default_value=str(SHARE / "photos" / "astronaut.png"),
        description="Photo, folder of photos or video that camera_driver:=file plays.",
    ),
    DeclareLaunchArgument(
        "photo_rate",
        default_value="",
        description="Frames a second of camera_driver:=file; empty = a video's own, 2 of photos.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """The node, with images larger than the default shared memory of Fast DDS allowed for."""
    profile = SetEnvironmentVariable(PROFILE, LaunchConfiguration("fastdds_profile"))
    return LaunchDescription([*ARGUMENTS, profile, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[Node]:
    values = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    values["camera_info_topic"] = values["camera_info_topic"] or _beside(values["image_topic"])
    if not Path(values["params_file"]).is_file():  # launch would go on without it
        raise RuntimeError(f"params_file:={values['params_file']} is not a file: name one that is")
    camera = [_camera(values)] if values["camera"] == "true" else []
    return [_facerot(values), *camera]


def _facerot(values: dict[str, str]) -> LifecycleNode:
    overrides: dict[str, Any] = {
        name: values[name] for name in ("pipeline", "device", "image_transport") if values[name]
    }
    if values["autostart"]:
        overrides["autostart"] = values["autostart"] == "true"
    return LifecycleNode(
        package="opendr_facerot",
        executable="facerot_node",
        name=values["node_name"],
        parameters=[values["params_file"], overrides | _clock(values)],
        remappings=[
            ("image", values["image_topic"]),
            ("camera_info", values["camera_info_topic"]),
            ("~/faces", values["faces_topic"]),
            ("~/montage", values["montage_topic"]),
        ],
        respawn=values["respawn"] == "true",
        respawn_delay=2.0,
        **_common(values),
    )


def _camera(values: dict[str, str]) -> Node:
    image, info = values["image_topic"], values["camera_info_topic"]
    driver = _driver(values["camera_driver"])
    if driver == "file":
        rate = ["--rate", values["photo_rate"]] if values["photo_rate"] else []
        common = _common(values)
        common["arguments"] = [values["photo"], *rate, *common["arguments"]]
        return Node(
            package="opendr_facerot",
            executable="facerot_photo_publisher",
            name="camera",
            parameters=[_clock(values)],
            remappings=[("image", image), ("camera_info", info)],
            **common,
        )
    return Node(
        package=driver,
        executable=CAMERA_DRIVERS[driver],
        name="camera",
        parameters=[{"video_device": values["video_device"]} | _clock(values)],
        remappings=[
            ("image_raw", image),
            ("image_raw/compressed", f"{image}/compressed"),
            # image_transport publishes it beside the image, of Jazzy beside the one not remapped.
            ("camera_info", info),
            (_beside(image), info),
        ],
        **_common(values),
    )


def _common(values: dict[str, str]) -> dict[str, Any]:
    return {
        "namespace": values["namespace"],
        "arguments": ["--ros-args", "--log-level", values["log_level"]],
        "output": "screen",
    }


def _clock(values: dict[str, str]) -> dict[str, bool]:
    return {"use_sim_time": values["use_sim_time"] == "true"}


def _beside(topic: str) -> str:
    """The topic camera_info in the namespace of another."""
    return f"{topic.rpartition('/')[0]}/camera_info" if "/" in topic else "camera_info"


def _driver(chosen: str) -> str:
    """The camera driver to start.

    Raises:
        RuntimeError: It is not installed.
    """
    candidates = list(CAMERA_DRIVERS) if chosen == "auto" else [chosen]
    for name in candidates:
        if name == "file" or _is_installed(name):
            return name
    distribution = os.environ.get("ROS_DISTRO", "jazzy")
    packages = [f"ros-{distribution}-{name.replace('_', '-')}" for name in candidates]
    raise RuntimeError(
        f"camera:=true needs the ROS package {' or '.join(candidates)}, which is not installed: "
        f"sudo apt install {packages[0]}, or play photos or a video with camera_driver:=file "
        "photo:=<file or folder>"
    )


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
