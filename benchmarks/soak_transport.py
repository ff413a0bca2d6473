"""What reaches a subscriber of a camera's images, by Fast DDS's settings, without the node.

    python benchmarks/soak_transport.py [--seconds 6] [--rate 30]

The camera (``soak_camera.py``, best effort as camera drivers are) and a subscriber run on one host,
and on two hosts with a router between them (``hosts.py``; as root). Settings: ``plain``, those of
Fast DDS; ``profile``, config/fastdds_profile.xml; ``large data``, FASTDDS_BUILTIN_TRANSPORTS.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from hosts import HostsError, two_networks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from soak_camera import FRAME_ID

REPOSITORY = Path(__file__).parents[1]
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
LARGE_DATA = "FASTDDS_BUILTIN_TRANSPORTS"

SETTINGS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "profile": {PROFILE: str(REPOSITORY / "config" / "fastdds_profile.xml")},
    "large data": {LARGE_DATA: "LARGE_DATA"},
}
CASES = (("640x480", "raw"), ("1920x1080", "raw"), ("1920x1080", "compressed"))

_START_TIME = 15.0  # seconds until the first frame


def receive(transport: str, seconds: float) -> None:
    """Count frames for ``seconds`` from the first one, and print the figures."""
    rclpy.init()
    node = rclpy.create_node("receiver")
    ages: list[float] = []
    numbers: list[int] = []

    def on_image(message: Image | CompressedImage) -> None:
        stamp = message.header.stamp
        numbers.append(int(message.header.frame_id.removeprefix(FRAME_ID)))
        ages.append(1e-9 * node.get_clock().now().nanoseconds - stamp.sec - 1e-9 * stamp.nanosec)

    kind, topic = (Image, "image") if transport == "raw" else (CompressedImage, "image/compressed")
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(kind, topic, on_image, qos)
    deadline = time.monotonic() + _START_TIME
    while not ages and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    ages.clear()
    numbers.clear()
    deadline, busy = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.1)
    busy = time.process_time() - busy
    median, high = np.percentile(ages, (50, 99)).tolist() if ages else (0.0, 0.0)
    lost = 1.0 - len(numbers) / (numbers[-1] - numbers[0] + 1) if numbers else 1.0
    figures = {"lost": lost, "p50": median, "p99": high, "cores": busy / seconds}
    sys.stdout.write(json.dumps(figures) + "\n")
    node.destroy_node()
    rclpy.try_shutdown()


def measure(
    options: argparse.Namespace,
    size: str,
    transport: str,
    environment: Mapping[str, str],
    camera_prefix: list[str],
    receiver_prefix: list[str],
) -> dict[str, Any]:
    """One row of the table."""  # fmt: skip
    here = Path(__file__)
    camera = [sys.executable, str(here.with_name("soak_camera.py")), str(options.photo)]
    camera += ["--size", size, "--rate", str(options.rate), "--transport", transport]
    receiver = [sys.executable, str(here), "--receive", transport, "--seconds"]
    with _process([*camera_prefix, *camera], environment):
        done = subprocess.run(
            [*receiver_prefix, *receiver, str(options.seconds)],
            env=dict(environment), stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@contextmanager
def _process(command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10.0)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in (PROFILE, LARGE_DATA)}
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "ROS_DOMAIN_ID": str(random.randint(1, 101))}
    return {**kept, **own, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **settings}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row")
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ", help="of the camera")
    parser.add_argument("--photo", type=Path, default=REPOSITORY / "test/data/astronaut.png")
    parser.add_argument("--receive", choices=("raw", "compressed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        receive(options.receive, options.seconds)
        return
    print(f"{'hosts':6} {'settings':11} {'image':21} {'lost':>7} {'p50':>9} {'p99':>9}  cores")

    def rows(count: int, more: Mapping[str, str], prefixes: tuple[list[str], list[str]]) -> None:
        for name, settings in SETTINGS.items():
            for size, transport in CASES:
                environment = _environment({**settings, **more})
                found = measure(options, size, transport, environment, *prefixes)
                image = f"{size} {transport}"
                print(
                    f"{count:<6} {name:11} {image:21} {100 * found['lost']:5.1f} % "
                    f"{1e3 * found['p50']:6.1f} ms {1e3 * found['p99']:6.1f} ms  "
                    f"{found['cores']:.2f}",
                    flush=True,
                )

    rows(1, {}, ([], []))
    try:
        with two_networks() as (robot, server):
            peers = {"ROS_STATIC_PEERS": f"{robot.address};{server.address}"}
            rows(2, peers, (robot.command(), server.command()))
    except HostsError as error:
        print(f"two hosts: not measured, {error}")


if __name__ == "__main__":
    main()
