"""A camera for the soak test: a photo's person, side by side, moving and in changing light.

    python benchmarks/soak_camera.py test/data/astronaut.png --size 640x480 --rate 30

Publishes on ``image`` (raw) or ``image/compressed`` (JPEG) from the moment somebody subscribes,
each frame with the time of its publication, until SIGINT. Then it prints one line of JSON: frames
published, the seconds since the first, and the longest that publishing one has taken.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from opendr_facerot.imaging import read_image
from opendr_facerot.ros.images import image_message

FRAME_ID = "soak_camera"
"""What the frames' ids begin with; their number, counted from 0, follows."""

_MOTION = 0.03  # of the tile's height
_BRIGHTNESS = 0.15
_ENLARGEMENT = 1.07  # of the photo over the least that covers the tile while it moves
_CYCLE_BYTES = 64_000_000  # of raw frames prepared in advance
_LONGEST_CYCLE = 60
_JPEG_QUALITY = 90


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from ``"640x480"``."""
    width, height = (int(part) for part in text.split("x"))
    return width, height


def scene(
    photo: NDArray[np.uint8], size: tuple[int, int], faces: int, phase: float
) -> NDArray[np.uint8]:
    """One frame: ``faces`` tiles of the photo's middle, every other one mirrored.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB.
        size: Width and height of the frame, pixels.
        faces: Tiles in a row.
        phase: Time in the motion, which repeats after 1.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    edges = np.linspace(0, size[0], faces + 1).astype(int)
    tiles = []
    for index, width in enumerate(np.diff(edges).tolist()):
        angle = 2.0 * math.pi * (phase + index / faces)
        source = photo if index % 2 == 0 else photo[:, ::-1]
        tile = _moved(source, (width, size[1]), angle)
        gain = 1.0 + _BRIGHTNESS * math.sin(2.0 * angle)
        tiles.append(cv2.convertScaleAbs(tile, alpha=gain))
    return np.asarray(np.hstack(tiles))


def _moved(photo: NDArray[np.uint8], size: tuple[int, int], angle: float) -> NDArray[np.uint8]:
    height, width = photo.shape[:2]
    scale = _ENLARGEMENT * max(size[0] / width, size[1] / height)
    reach = _MOTION * size[1]
    left = (size[0] - scale * width) / 2 + reach * math.cos(angle)
    top = (size[1] - scale * height) / 2 + reach * math.sin(angle)
    transform = np.array([[scale, 0.0, left], [0.0, scale, top]])
    moved = cv2.warpAffine(
        np.ascontiguousarray(photo), transform, size, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved)


def messages(
    photo: NDArray[np.uint8], size: tuple[int, int], faces: int, transport: str
) -> list[Image | CompressedImage]:
    """The frames of one cycle of the motion."""
    count = min(_LONGEST_CYCLE, max(8, _CYCLE_BYTES // (3 * size[0] * size[1])))
    frames = [scene(photo, size, faces, index / count) for index in range(count)]
    if transport == "raw":
        return [image_message(frame, Header()) for frame in frames]
    return [_compressed(frame) for frame in frames]


def _compressed(frame: NDArray[np.uint8]) -> CompressedImage:
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(data.reshape(-1).data)
    return message


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until SIGINT; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--size", type=parse_size, default=(640, 480), metavar="WxH")
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ")
    parser.add_argument("--faces", type=int, default=2)
    parser.add_argument("--transport", choices=("raw", "compressed"), default="raw")
    options = parser.parse_args(remove_ros_args(["", *arguments])[1:])
    cycle = messages(read_image(options.photo), options.size, options.faces, options.transport)

    rclpy.init(args=["soak_camera", *arguments])
    node = rclpy.create_node("soak_camera")
    topic = "image" if options.transport == "raw" else "image/compressed"
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(type(cycle[0]), topic, qos)
    published, slowest, first = 0, 0.0, 0.0

    def publish() -> None:
        nonlocal published, slowest, first
        if published == 0 and publisher.get_subscription_count() == 0:
            return
        message = cycle[published % len(cycle)]
        stamp = node.get_clock().now().to_msg()
        message.header = Header(stamp=stamp, frame_id=f"{FRAME_ID}{published}")
        started = time.monotonic()
        first = first or started
        publisher.publish(message)
        slowest = max(slowest, time.monotonic() - started)
        published += 1

    node.create_timer(1.0 / options.rate, publish)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    seconds = time.monotonic() - first
    report = {"published": published, "seconds": seconds, "slowest_publish_ms": 1e3 * slowest}
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
