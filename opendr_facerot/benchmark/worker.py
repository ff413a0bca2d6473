"""One scenario in a process of its own: ``python -m opendr_facerot.benchmark.worker``.

The process is kept on as many cores as it is to use threads, before any library counts them. It
prints its measurements as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from opendr_facerot.benchmark.measurement import MEBIBYTES, Measurement, measurement
from opendr_facerot.benchmark.memory import peak_memory
from opendr_facerot.errors import FacerotError


def run_scenario(
    scenario: str, photo: Path, threads: int, runs: int, slow_runs: int
) -> list[Measurement]:
    """Run a scenario of :mod:`opendr_facerot.benchmark.scenarios` in a new process.

    Raises:
        FacerotError: It failed; the message is its output.
    """
    arguments = [scenario, str(photo), str(threads), str(runs), str(slow_runs)]
    limited = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        env={**os.environ, **limited},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise FacerotError(f"the scenario {scenario} failed: {done.stderr[-1000:]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return [Measurement(**{**row, "values": tuple(row["values"])}) for row in rows]


def _measurements(
    scenario: str, photo: Path, threads: int, runs: int, slow_runs: int
) -> Iterator[Measurement]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import numpy  # noqa: F401

    before = peak_memory()
    from opendr_facerot.benchmark.scenarios import SCENARIOS, Conditions

    yield from SCENARIOS[scenario](Conditions(photo, threads, runs, slow_runs))
    title = f"{scenario}: peak memory"
    yield measurement(title, threads, [peak_memory()], {"importing NumPy": before}, MEBIBYTES)


def _main() -> None:
    scenario, photo, threads, runs, slow_runs = sys.argv[1:]
    measurements = _measurements(scenario, Path(photo), int(threads), int(runs), int(slow_runs))
    sys.stdout.write(json.dumps([asdict(one) for one in measurements]) + "\n")


if __name__ == "__main__":
    _main()
