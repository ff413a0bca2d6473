"""Start-up times and peak memory, of processes that are started for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from opendr_facerot.benchmark.measurement import MEBIBYTES, Measurement, measurement
from opendr_facerot.errors import FacerotError

_IMPORT_NUMPY = "importing NumPy"
_ACTIVE = b"active: pipeline"
_COMMAND_LINE = "import sys, opendr_facerot.cli; assert not opendr_facerot.cli.main(sys.argv[1:])"
# As benchmark.memory, whose import would take part of the time that is measured.
_PRINT_PEAK = "\nprint(*(s.split()[1] for s in open('/proc/self/status') if 'VmHWM' in s))"


def startup(photo: Path, threads: int, runs: int) -> Iterator[Measurement]:
    """The import, one photo on the command line, and the node, over the import of NumPy."""
    numpy = _processes("import numpy", [], runs)
    seconds, memory = (sorted(column)[len(column) // 2] for column in zip(*numpy, strict=True))
    over_numpy, over_its_memory = {_IMPORT_NUMPY: seconds}, {_IMPORT_NUMPY: memory}
    imported = _processes("import opendr_facerot", [], runs)
    yield measurement("import opendr_facerot", threads, [s for s, _ in imported], over_numpy)
    with tempfile.TemporaryDirectory(prefix="facerot-bench-") as folder:
        rotated = _processes(_COMMAND_LINE, ["rotate", str(photo), "-o", folder], runs)
    name = "facerot rotate, one photo, five views"
    yield measurement(name, threads, [s for s, _ in rotated], over_numpy)
    peaks = [peak for _, peak in rotated]
    yield measurement(f"{name}: peak memory", threads, peaks, over_its_memory, MEBIBYTES)
    if find_spec("rclpy"):
        ready = [_seconds_until_active() for _ in range(runs + 1)][1:]
        yield measurement("node, until it is active", threads, ready, over_numpy)


def _processes(program: str, arguments: Sequence[str], runs: int) -> list[tuple[float, float]]:
    """Seconds and peak MiB of each run, after one that fills the caches."""
    return [_process(program, arguments) for _ in range(runs + 1)][1:]


def _process(program: str, arguments: Sequence[str]) -> tuple[float, float]:
    command = [sys.executable, "-c", program + _PRINT_PEAK, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise FacerotError(f"{program!r} failed: {done.stderr[-500:]}")
    return seconds, float(done.stdout.splitlines()[-1]) / 1024


def _seconds_until_active() -> float:
    environment = {
        **os.environ,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF",
        "RCUTILS_LOGGING_USE_STDOUT": "0",
    }
    command = [sys.executable, "-m", "opendr_facerot.ros.node"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    with process, process.stderr:
        for line in process.stderr:
            said += line
            if _ACTIVE in line:
                seconds = time.perf_counter() - start
                process.send_signal(signal.SIGINT)
                return seconds
    raise FacerotError(f"the node did not become active: {said.decode()[-500:]}")
