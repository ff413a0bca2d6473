"""Start the node facerot.

ros2 launch opendr_facerot facerot.launch.py image_topic:=/camera/image_raw
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode

CONFIG = Path(__file__).resolve().parents[1] / "config"
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"

ARGUMENTS = (
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="Topic of the images to turn faces in; the compressed transport adds "
        "/compressed to it.",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="camera_info",
        description="Topic of the camera's calibration, which gives its field of view.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "facerot.yaml"),
        description="YAML file of the node's parameters.",
    ),
    DeclareLaunchArgument(
        "pipeline",
        default_value="",
        description="Installed pipeline, e.g. head; empty = as in params_file.",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="Compute device: auto, cpu, cuda or cuda:<index>; empty = as in params_file.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description="Whether the node configures and activates itself; empty = as in params_file.",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the node and its topics."
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
        description="Whether to start the node again if it ends by itself.",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """The node, with images larger than the default shared memory of Fast DDS allowed for."""
    profile = EnvironmentVariable(PROFILE, default_value=str(CONFIG / "fastdds_profile.xml"))
    return LaunchDescription(
        [*ARGUMENTS, SetEnvironmentVariable(PROFILE, profile), OpaqueFunction(function=_node)]
    )


def _node(context: LaunchContext) -> list[LifecycleNode]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides: dict[str, str | bool] = {
        name: value(name) for name in ("pipeline", "device") if value(name)
    }
    if value("autostart"):
        overrides["autostart"] = value("autostart") == "true"
    return [
        LifecycleNode(
            package="opendr_facerot",
            executable="facerot_node",
            name="facerot",
            namespace=value("namespace"),
            parameters=[value("params_file"), *([overrides] if overrides else [])],
            remappings=[
                ("image", value("image_topic")),
                ("camera_info", value("camera_info_topic")),
            ],
            arguments=["--ros-args", "--log-level", value("log_level")],
            respawn=value("respawn") == "true",
            output="screen",
        )
    ]
