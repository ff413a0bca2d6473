"""Turn the faces of a photo, without a camera, and show them where rviz2 is installed.

ros2 launch opendr_facerot demo.launch.py photo:=me.jpg
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(__file__).resolve().parents[1]

WHAT_TO_LOOK_AT = """\
{photo} is published on {image}, and its faces, turned, are to be seen with
  ros2 run rqt_image_view rqt_image_view {montage}
  ros2 topic echo --no-arr {faces}
  ros2 service call {node}/rotate_face opendr_facerot_interfaces/srv/RotateFace \
"{{yaw: [-0.5, 0.5], pitch: [0.0], grid: true}}"
  ros2 param set {node} view_preset hemisphere"""


def generate_launch_description() -> LaunchDescription:
    """The node, a player of photos in place of a camera, and rviz2."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(SHARE / "config" / "demo.yaml"),
                description="YAML file of the node's parameters.",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="auto",
                choices=["auto", "true", "false"],
                description="Whether to start rviz2; auto = if it is installed.",
            ),
            OpaqueFunction(function=_check_viewer),  # before anything has been started
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "facerot.launch.py")),
                launch_arguments={"camera": "true", "camera_driver": "file"}.items(),
            ),
            OpaqueFunction(function=_spectators),
        ]
    )


def _check_viewer(context: LaunchContext) -> None:
    """Raise RuntimeError if rviz2 is asked for but not installed."""
    if LaunchConfiguration("rviz").perform(context) == "true" and not _has_rviz():
        raise RuntimeError(
            "rviz:=true needs the ROS package rviz2, which is not installed: "
            "sudo apt install ros-$ROS_DISTRO-rviz2, or rviz:=false"
        )


def _spectators(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    namespace = value("namespace").strip("/")
    prefix = f"/{namespace}" if namespace else ""
    node = f"{prefix}/{value('node_name')}"

    def topic(argument: str) -> str:
        name = value(argument)
        if name.startswith("~"):
            return node + name[1:]
        return name if name.startswith("/") else f"{prefix}/{name}"

    image, faces, montage = map(topic, ("image_topic", "faces_topic", "montage_topic"))
    told = WHAT_TO_LOOK_AT.format(
        photo=value("photo"), image=image, faces=faces, montage=montage, node=node
    )
    remappings = [("/image", image), ("/facerot/montage", montage)]
    return [*_rviz(value("rviz"), remappings), LogInfo(msg=told)]


def _has_rviz() -> bool:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return False
    return True


def _rviz(wish: str, remappings: list[tuple[str, str]]) -> list[Node]:
    """The viewer, if it is wished and installed, with the topics of its file remapped."""
    if wish == "false" or not _has_rviz():
        return []
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(SHARE / "rviz" / "facerot.rviz")],
            remappings=remappings,
            output="screen",
        )
    ]
