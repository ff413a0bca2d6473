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
{photo} is published on {namespace}/image, and its faces, turned, are to be seen with
  ros2 run rqt_image_view rqt_image_view {namespace}/facerot/montage
  ros2 topic echo --no-arr {namespace}/facerot/faces
  ros2 service call {namespace}/facerot/rotate_face opendr_facerot_interfaces/srv/RotateFace \
"{{yaw: [-0.5, 0.5], pitch: [0.0], grid: true}}"
  ros2 param set {namespace}/facerot view_preset hemisphere"""

ARGUMENTS = (
    DeclareLaunchArgument(
        "photo",
        default_value=str(SHARE / "photos" / "astronaut.png"),
        description="Photo, folder of photos or video to play.",
    ),
    DeclareLaunchArgument(
        "photo_rate",
        default_value="",
        description="Frames a second; empty = a video's own, 2 of photos.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "demo.yaml"),
        description="YAML file of the node's parameters.",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the nodes and their topics."
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="auto",
        choices=["auto", "true", "false"],
        description="Whether to start rviz2; auto = if it is installed.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """The node, a player of photos in place of a camera, and rviz2."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_entities)])


def _entities(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    forwarded = {name: value for name, value in values.items() if name != "rviz"}
    facerot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "facerot.launch.py")),
        launch_arguments={"camera": "true", "camera_driver": "file", **forwarded}.items(),
    )
    namespace = values["namespace"].strip("/")
    prefix = f"/{namespace}" if namespace else ""
    told = LogInfo(msg=WHAT_TO_LOOK_AT.format(photo=values["photo"], namespace=prefix))
    return [facerot, *_rviz(values["rviz"], prefix), told]


def _rviz(wish: str, prefix: str) -> list[Node]:
    """The viewer, with the topics of its file moved to the namespace ``prefix``.

    Raises:
        RuntimeError: It is not installed, but asked for.
    """
    if wish == "false":
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        if wish == "auto":
            return []
        raise RuntimeError(
            "rviz:=true needs the ROS package rviz2, which is not installed: "
            "sudo apt install ros-$ROS_DISTRO-rviz2, or rviz:=false"
        ) from None
    topics = ("/image", "/facerot/montage")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(SHARE / "rviz" / "facerot.rviz")],
            remappings=[(topic, prefix + topic) for topic in topics],
            output="screen",
        )
    ]
