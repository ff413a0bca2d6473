"""Start-up times and peak memory, of processes that are started for it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.measurement import MEBIBYTES, Measurement, measurement
from opendr_facerot.benchmark.node_process import active_node, private_graph
from opendr_facerot.errors import FacerotError

_IMPORT_NUMPY = "importing NumPy"
_COMMAND_LINE = "import sys, opendr_facerot.cli; assert not opendr_facerot.cli.main(sys.argv[1:])"
# As benchmark.memory, whose import would take part of the time that is measured.
_PRINT_PEAK = "\nprint(*(s.split()[1] for s in open('/proc/self/status') if 'VmHWM' in s))"


def startup(photo: Path, threads: int, runs: int, *, with_node: bool) -> Iterator[Measurement]:
    """The import, one photo on the command line, and the node, over the import of NumPy."""
    numpy = _processes("import numpy", [], runs)
    seconds, memory = (statistics.median(column) for column in zip(*numpy, strict=True))
    over_numpy, over_its_memory = {_IMPORT_NUMPY: seconds}, {_IMPORT_NUMPY: memory}
    imported = _processes("import opendr_facerot", [], runs)
    yield measurement(names.IMPORT, threads, [s for s, _ in imported], over_numpy)
    with tempfile.TemporaryDirectory(prefix="facerot-bench-") as folder:
        rotated = _processes(_COMMAND_LINE, ["rotate", str(photo), "-o", folder], runs)
    yield measurement(names.ROTATE, threads, [s for s, _ in rotated], over_numpy)
    peaks = [peak for _, peak in rotated]
    yield measurement(names.ROTATE_MEMORY, threads, peaks, over_its_memory, MEBIBYTES)
    if with_node:
        ready = [_seconds_until_active() for _ in range(runs + 1)][1:]
        yield measurement(names.NODE_READY, threads, ready, over_numpy)


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
    with active_node(private_graph()) as node:
        return node.seconds
