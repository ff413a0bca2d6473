"""The library for recordings, ``rosbags``, and the messages made and read with it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from opendr_facerot.bags.errors import MissingExtraError
from opendr_facerot.errors import ImageError
from opendr_facerot.ros.face_messages import FaceMessages
from opendr_facerot.ros.images import image_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
FACE = "opendr_facerot_interfaces/msg/RotatedFaceArray"
VIEW = "opendr_facerot_interfaces/msg/RotatedFace"


def check_library() -> None:
    """Raise MissingExtraError unless the library is installed."""
    try:
        import rosbags.rosbag2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"recordings need the package rosbags ({error}): pip install 'opendr_facerot[bag]'"
        ) from error


def type_store() -> Typestore:
    """The message types of ROS 2 Jazzy and those of this package."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    definitions = files("opendr_facerot.bags") / "msg"
    for name in (VIEW, FACE):
        text = (definitions / f"{name.rpartition('/')[2]}.msg").read_text("utf-8")
        store.register(get_types_from_msg(text, name))
    return store


def face_messages(store: Typestore) -> FaceMessages:
    """Makes the library's messages."""
    types = store.types

    def image(pixels: NDArray[np.uint8], header: Any) -> Any:
        return types[IMAGE](header=header, **image_fields(pixels))

    return FaceMessages(
        types[FACE],
        types[VIEW],
        types["sensor_msgs/msg/RegionOfInterest"],
        types["builtin_interfaces/msg/Duration"],
        image,
    )


def decoded(store: Typestore, data: bytes, kind: str) -> Any:
    """A message of its recorded bytes.

    Raises:
        ImageError: The bytes are no message of that kind.
    """
    try:
        return store.deserialize_cdr(data, kind)
    except Exception as error:  # the library lets through what damaged bytes lead to
        raise ImageError(f"{len(data)} recorded bytes are no {kind}: {error!r}") from error
