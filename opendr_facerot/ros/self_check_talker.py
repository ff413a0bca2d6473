"""The other process of ``facerot info --ros``: publishes images as a camera does.

Run as ``python -m opendr_facerot.ros.self_check_talker NAMESPACE``.
"""

from __future__ import annotations

import sys
import time
from array import array

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

SIZES = ((640, 480), (1920, 1080))
"""Width and height of the images; each size has a topic of its own."""

FRAMES = 30
"""Images of each size."""

RATE = 30.0  # a second, as cameras have it
QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
PATIENCE = 10.0
"""Seconds in which the two processes must have found each other."""


def topic(namespace: str, size: tuple[int, int]) -> str:
    """Topic of the images of one size."""
    return f"{namespace}/image_{size[0]}x{size[1]}"


def main() -> int:
    """Publish once there is a subscriber; returns the exit status, 1 if none came."""
    namespace = sys.argv[1]
    rclpy.init()
    node = rclpy.create_node("self_check_talker")
    publishers = [node.create_publisher(Image, topic(namespace, size), QOS) for size in SIZES]
    deadline = time.monotonic() + PATIENCE
    while not all(publisher.get_subscription_count() for publisher in publishers):
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.02)
    time.sleep(0.5)  # the subscriber may see this side later than this side sees it
    for (width, height), publisher in zip(SIZES, publishers, strict=True):
        message = Image(width=width, height=height, step=3 * width, encoding="rgb8")
        message.data = array("B", bytes(3 * width * height))
        due = time.monotonic()
        for number in range(FRAMES):
            message.header.stamp.sec = number
            publisher.publish(message)
            due += 1.0 / RATE
            time.sleep(max(due - time.monotonic(), 0.0))
    time.sleep(0.5)  # what was sent last is still on its way
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
