"""Soak test of the node: a camera's stream for minutes, with service calls, watched from outside.

    python benchmarks/soak.py --minutes 10 -o report.json

The node runs in a process of its own, a camera (``soak_camera.py``) in a second; this one
subscribes to ``~/faces`` and ``/diagnostics``, calls ``~/rotate_face`` and reads both processes'
memory and processor time from /proc. The graph has a ROS domain of its own on this host. Ends with
status 0 if all criteria hold, 1 if not, 2 if the run could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from soak_camera import parse_size
from soak_report import Measurements, Usage, judge, summarize, table

from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace

REPOSITORY = Path(__file__).parents[1]
PROFILE = REPOSITORY / "config" / "fastdds_profile.xml"

_NAME = "/soak/facerot"
_PATIENCE = 120.0  # seconds; kernels are compiled when a pipeline is loaded for the first time
_SERVICE_YAW = (-0.5, 0.0, 0.5)
_SERVICE_TIMEOUT = 30.0


class SoakError(Exception):
    """The run cannot be made."""


class Watcher:
    """The subscriber and service client; :meth:`listen` does all its work."""

    def __init__(self, measured: Measurements) -> None:
        self.measured = measured
        self.activity = ""
        self._node = rclpy.create_node("watcher", namespace="/soak")
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self._service = self._node.create_client(RotateFace, f"{_NAME}/rotate_face")
        self._call: Any = None
        self._called = 0.0

    def subscribe(self) -> None:
        """Begin to want faces."""
        qos = QoSProfile(depth=10)
        self._node.create_subscription(RotatedFaceArray, f"{_NAME}/faces", self._on_face, qos)

    def listen(self, seconds: float) -> None:
        """Take what comes within a time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            rclpy.spin_once(self._node, timeout_sec=left)
            self._finish_call()

    def call(self) -> None:
        """Ask for three views of the latest frame, unless a call is unanswered."""
        if self._call is None:
            request = RotateFace.Request(yaw=_SERVICE_YAW, pitch=(0.0,))
            self._called = time.monotonic()
            self._call = self._service.call_async(request)

    def close(self) -> None:
        self._node.destroy_node()

    def _finish_call(self) -> None:
        if self._call is None:
            return
        seconds = time.monotonic() - self._called
        if self._call.done():
            answer = self._call.result()
            if answer.success and all(len(f.views) == len(_SERVICE_YAW) for f in answer.faces):
                self.measured.service_seconds.append(seconds)
            else:
                self.measured.service_failures.append(answer.message)
            self._call = None
        elif seconds > _SERVICE_TIMEOUT:
            self.measured.service_failures.append(f"no answer within {_SERVICE_TIMEOUT:.0f} s")
            self._call = None

    def _on_face(self, message: RotatedFaceArray) -> None:
        now = self._node.get_clock().now().nanoseconds
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        measured = self.measured
        if measured.stamps and measured.stamps[-1] == stamp:
            measured.arrivals[-1] = now
            measured.faces[-1] += 1
        else:
            measured.stamps.append(stamp)
            measured.arrivals.append(now)
            measured.faces.append(1)

    def _on_report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"{_NAME}: rotation":
                self.activity = status.message
                self.measured.counts.append(
                    {
                        pair.key.removeprefix("frames "): int(pair.value)
                        for pair in status.values
                        if pair.key.startswith("frames ")
                    }
                )


def run(options: argparse.Namespace, folder: Path) -> Measurements:
    """Start the graph, watch it, end it.

    Raises:
        SoakError: The node or the camera does not start.
    """
    measured = Measurements()
    watcher = Watcher(measured)
    views = ", ".join(str(float(angle)) for angle in options.views)
    node_arguments = ["-p", f"pipeline:={options.pipeline}", "-p", f"yaw_deg:=[{views}]"]
    node_arguments += ["-p", f"image_transport:={options.transport}"]
    node_arguments += [part for value in options.parameter for part in ("-p", value)]
    size = f"{options.size[0]}x{options.size[1]}"
    camera_arguments = [str(options.photo), "--size", size, "--rate", str(options.rate)]
    camera_arguments += ["--faces", str(options.faces), "--transport", options.transport]
    node = [sys.executable, "-m", "opendr_facerot.ros.node", "--ros-args", *node_arguments]
    camera = [sys.executable, str(Path(__file__).with_name("soak_camera.py")), *camera_arguments]
    namespace = ["-r", "__ns:=/soak"]
    with _process([*node, *namespace], folder / "node.log") as node_process:
        _wait(watcher, node_process, lambda: watcher.activity.startswith("active"))
        watcher.subscribe()
        _wait(watcher, node_process, lambda: watcher.activity == "active")
        output = folder / "camera.log"
        with _process([*camera, "--ros-args", *namespace], output) as camera_process:
            _wait(watcher, node_process, lambda: bool(measured.stamps))
            _measure(watcher, node_process, camera_process, options)
            camera_process.send_signal(signal.SIGINT)
            camera_process.wait(_PATIENCE)
        measured.camera = json.loads(output.read_text().splitlines()[-1])
        measured.ended_early = node_process.poll() is not None
        if not measured.ended_early:
            _settle(watcher, node_process)
            node_process.send_signal(signal.SIGINT)
        measured.exit_status = node_process.wait(_PATIENCE)
    watcher.close()
    return measured


def _measure(
    watcher: Watcher,
    node: subprocess.Popen[bytes],
    camera: subprocess.Popen[bytes],
    options: argparse.Namespace,
) -> None:
    measured = watcher.measured
    started = time.monotonic()
    next_sample, next_call = started, started + options.service_period
    while (now := time.monotonic()) < started + 60.0 * options.minutes and node.poll() is None:
        if camera.poll() is not None:
            raise SoakError(f"the camera ended with status {camera.returncode}")
        if now >= next_sample:
            next_sample += 1.0
            for name, process in (("node", node), ("camera", camera)):
                _sample(process.pid, now - started, measured.usage[name])
        if options.service_period and now >= next_call:
            next_call += options.service_period
            watcher.call()
        watcher.listen(0.02)
    measured.seconds = time.monotonic() - started


def _sample(pid: int, when: float, usage: Usage) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = {
        line.split()[0]: int(line.split()[1]) for line in status.splitlines() if "kB" in line
    }
    # Fields after the name, which may contain anything: user and system time are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    usage.times.append(when)
    usage.resident.append(1024 * kilobytes["VmRSS:"])
    usage.anonymous.append(1024 * kilobytes["RssAnon:"])
    usage.shared.append(1024 * kilobytes["RssShmem:"])
    usage.cpu.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def _settle(watcher: Watcher, node: subprocess.Popen[bytes]) -> None:
    """Wait for a report that knows what has become of the last frame, or for too long."""
    counts = watcher.measured.counts
    seen = len(counts) + 1  # one may be under way
    _wait(watcher, node, lambda: len(counts) > seen)
    deadline = time.monotonic() + _SERVICE_TIMEOUT
    while counts[-1]["pending"] and time.monotonic() < deadline:
        watcher.listen(1.0)


def _wait(watcher: Watcher, node: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        watcher.listen(0.1)
        if node.poll() is not None:
            raise SoakError(f"the node ended with status {node.returncode}")
        if time.monotonic() > deadline:
            raise SoakError(f"nothing comes from the node, which says: {watcher.activity!r}")


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in a file; if it fails, that is shown."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=None, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _conditions() -> Mapping[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
    }


def main() -> int:
    """Run; returns the exit status."""
    options = _parser().parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    os.environ.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
    if not options.no_profile:
        os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
    before = _conditions()
    rclpy.init()
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = run(options, Path(folder))
    except SoakError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    summary = summarize(measured)
    criteria = judge(summary)
    print(table(summary, criteria))
    if options.output:
        report = {
            "command": sys.argv,
            "before": before,
            "after": _conditions(),
            "summary": summary,
            "criteria": [asdict(criterion) for criterion in criteria],
            "samples": {name: asdict(usage) for name, usage in measured.usage.items()},
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(criterion.passed for criterion in criteria) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ", help="of the camera")
    parser.add_argument("--size", type=parse_size, default=(640, 480), metavar="WxH")
    parser.add_argument("--faces", type=int, default=2)
    parser.add_argument("--transport", choices=("raw", "compressed"), default="raw")
    parser.add_argument("--photo", type=Path, default=REPOSITORY / "test/data/astronaut.png")
    parser.add_argument("--pipeline", default="head")
    parser.add_argument(
        "--views", type=float, nargs="+", default=(-30.0, 0.0, 30.0), metavar="DEG", help="yaws"
    )
    parser.add_argument(
        "--service-period", type=float, default=5.0, metavar="S", help="0 = no calls"
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME:=VALUE", help="of the node"
    )
    parser.add_argument(
        "--no-profile", action="store_true", help="with the transport settings of plain Fast DDS"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON with all samples")
    return parser


if __name__ == "__main__":
    sys.exit(main())
