"""Images between ROS messages and arrays.

Messages come from other people's drivers, so everything a message says about itself is checked
before its data are touched. `sensor_msgs/image_encodings.hpp` names the encodings.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import check_size, decode_image
from opendr_facerot.rotator import MAX_FOV, MIN_FOV

if TYPE_CHECKING:  # messages of bags are read where there is no ROS
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_msgs.msg import Header

ImageMessage: TypeAlias = "Image | CompressedImage"
"""Of any client library whose messages have these fields."""


@dataclass(frozen=True)
class _Encoding:
    """How the pixels of an encoding lie in memory.

    Attributes:
        channels: Values per pixel.
        to_rgb: OpenCV's conversion of ``(rows, W[, channels])`` uint8 to RGB; None if it is RGB.
        depth: Bytes per value.
        even_width: Two neighbouring pixels share their colour.
        half_height_chroma: A plane of half the height with the colours follows the brightness.
    """

    channels: int
    to_rgb: int | None
    depth: int = 1
    even_width: bool = False
    half_height_chroma: bool = False


_UYVY = _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True)
_YUYV = _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, even_width=True)
_NV12 = _Encoding(1, cv2.COLOR_YUV2RGB_NV12, even_width=True, half_height_chroma=True)
_NV21 = _Encoding(1, cv2.COLOR_YUV2RGB_NV21, even_width=True, half_height_chroma=True)

_ENCODINGS = {
    "rgb8": _Encoding(3, None),
    "bgr8": _Encoding(3, cv2.COLOR_BGR2RGB),
    "rgba8": _Encoding(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Encoding(4, cv2.COLOR_BGRA2RGB),
    "mono8": _Encoding(1, cv2.COLOR_GRAY2RGB),
    "rgb16": _Encoding(3, None, depth=2),
    "bgr16": _Encoding(3, cv2.COLOR_BGR2RGB, depth=2),
    "mono16": _Encoding(1, cv2.COLOR_GRAY2RGB, depth=2),
    # Matrices without a meaning of their channels: OpenCV's order.
    "8UC1": _Encoding(1, cv2.COLOR_GRAY2RGB),
    "8UC3": _Encoding(3, cv2.COLOR_BGR2RGB),
    "8UC4": _Encoding(4, cv2.COLOR_BGRA2RGB),
    "16UC1": _Encoding(1, cv2.COLOR_GRAY2RGB, depth=2),
    # ROS names a Bayer pattern by its first two rows from the corner, OpenCV from one pixel inside.
    "bayer_rggb8": _Encoding(1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Encoding(1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Encoding(1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Encoding(1, cv2.COLOR_BayerGB2RGB),
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "nv12": _NV12,
    "nv21": _NV21,
}


def image_from_message(message: ImageMessage) -> NDArray[np.uint8]:
    """The pixels of a raw or compressed image.

    Returns:
        ``(H, W, 3)`` uint8 RGB; for the encoding ``rgb8`` a view of the message's own data, which
        must not be written to. 16-bit values keep their most significant 8 bits, alpha is dropped.

    Raises:
        ImageError: The message contradicts itself, its encoding is unknown, its size unusable, or
            its compressed data are damaged.
    """
    if hasattr(message, "format"):
        name = f"compressed image ({_shortened(message.format)})"
        return decode_image(bytes(message.data), name, ("JPEG", "PNG"))
    return _image_from_raw(message)


def image_message(pixels: NDArray[np.uint8], header: Header) -> Image:
    """A message of rclpy; see :func:`image_fields`."""
    from sensor_msgs.msg import Image

    fields = image_fields(pixels)
    data = array("B")  # the field would go through any other kind of buffer byte by byte
    data.frombytes(fields.pop("data").data)
    return Image(header=header, data=data, **fields)


def image_fields(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """All fields but the header of an rgb8 or rgba8 image.

    Args:
        pixels: ``(H, W, 3)`` or ``(H, W, 4)`` uint8.

    Returns:
        The fields by name; ``data`` is ``(N,)`` uint8.
    """
    height, width, channels = pixels.shape
    return {
        "height": height,
        "width": width,
        "encoding": "rgb8" if channels == 3 else "rgba8",
        "is_bigendian": 0,
        "step": width * channels,
        "data": np.ascontiguousarray(pixels).reshape(-1),
    }


def is_empty(message: Image) -> bool:
    """Whether a request's image was left empty, so that the latest frame is meant."""
    return message.height == 0 and message.width == 0 and len(message.data) == 0


def vertical_fov(info: CameraInfo) -> float | None:
    """Vertical field of view in radians of a calibrated camera.

    None of an uncalibrated one, or if no pipeline takes it.
    """
    focal_length = float(info.k[4])
    if not focal_length > 0:  # also true of NaN
        return None
    fov = 2.0 * math.atan(info.height / (2.0 * focal_length))
    return fov if MIN_FOV <= fov <= MAX_FOV else None


def _image_from_raw(message: Image) -> NDArray[np.uint8]:
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ImageError(
            f"image encoding {_shortened(message.encoding)} is not supported: send one of "
            + ", ".join(_ENCODINGS)
        )
    width, height = message.width, message.height
    check_size(width, height, f"{message.encoding} image")
    if encoding.even_width and width % 2 or encoding.half_height_chroma and height % 2:
        raise ImageError(f"{width}x{height} {message.encoding} image: its sides must be even")
    if message.is_bigendian > 1:
        raise ImageError(f"is_bigendian of the image is {message.is_bigendian}: send 0 or 1")

    rows = height * 3 // 2 if encoding.half_height_chroma else height
    line = width * encoding.channels * encoding.depth
    if message.step < line:
        raise ImageError(
            f"step of the {width}x{height} {message.encoding} image is {message.step} bytes: "
            f"a row has {line}"
        )
    data = np.frombuffer(message.data, np.uint8)
    needed = message.step * (rows - 1) + line
    if data.size < needed:
        raise ImageError(
            f"data of the {width}x{height} {message.encoding} image with step {message.step} "
            f"are {data.size} bytes: {needed} are needed"
        )
    shape = (rows, width, encoding.channels)
    strides = (message.step, encoding.channels * encoding.depth, encoding.depth)
    order = ">" if message.is_bigendian else "<"
    pixels: NDArray[Any] = np.ndarray(shape, f"{order}u{encoding.depth}", data, strides=strides)
    if encoding.depth == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if encoding.to_rgb is None:
        return pixels
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), encoding.to_rgb))


def _shortened(text: str) -> str:
    """A text from a message, quoted, as far as it fits into a line of a log."""
    return repr(text if len(text) <= 40 else text[:40] + "…")
