"""Publishes a photo as if it came from a camera.

python -m opendr_facerot.ros.photo_publisher me.jpg --rate 5 --ros-args -r image:=/camera/image
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import read_image
from opendr_facerot.ros.images import image_message

FRAME_ID = "photo"
_LONGEST_SIDE = 1600  # pixels: as a message, some 8 MB at most


def read_frame(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a photo and scale it down to a camera's size.

    Raises:
        ImageError: It cannot be read.
    """
    image = read_image(path)
    scale = _LONGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish on ``image`` until SIGINT or SIGTERM; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(description="Publish a photo on the topic image.")
    parser.add_argument("photo", type=Path, help="image file")
    parser.add_argument("--rate", type=float, default=2.0, metavar="HZ", help="default: 2")
    options = parser.parse_args(remove_ros_args(["", *arguments])[1:])
    if not options.rate > 0:
        parser.error(f"--rate is {options.rate}: give a positive number")
    try:
        image = read_frame(options.photo)
    except ImageError as error:
        parser.error(str(error))

    rclpy.init(args=["photo_publisher", *arguments])
    node = rclpy.create_node("photo_publisher")
    publisher = node.create_publisher(Image, "image", 1)

    def publish() -> None:
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id=FRAME_ID)
        publisher.publish(image_message(image, header))

    node.create_timer(1.0 / options.rate, publish)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
