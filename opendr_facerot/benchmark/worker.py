"""One scenario in a process of its own: ``python -m opendr_facerot.benchmark.worker``.

The process is kept on as many cores as it is to use threads, before any library counts them. It
prints its results as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from opendr_facerot.benchmark.measurement import Measurement
from opendr_facerot.benchmark.memory import peak_memory
from opendr_facerot.benchmark.profile import Profile
from opendr_facerot.benchmark.results import Results
from opendr_facerot.errors import FacerotError


def run_scenario(scenario: str, photo: Path, threads: int, runs: int) -> Results:
    """Run a module of :mod:`opendr_facerot.benchmark.scenarios` in a new process.

    Raises:
        FacerotError: It failed; the message is its output.
    """
    arguments = [scenario, str(photo), str(threads), str(runs)]
    limited = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        env={**os.environ, **limited},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise FacerotError(f"the scenario {scenario} failed: {done.stderr[-1000:]}")
    return Results.from_plain(json.loads(done.stdout.splitlines()[-1]))


def _results(
    scenario: str, photo: Path, threads: int, runs: int
) -> Iterator[Measurement | Profile]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import numpy  # noqa: F401

    numpy_memory = peak_memory()
    from opendr_facerot.benchmark.conditions import Conditions

    module = import_module(f"opendr_facerot.benchmark.scenarios.{scenario}")
    yield from module.scenario(Conditions(photo, threads, runs, numpy_memory))


def _main() -> None:
    scenario, photo, threads, runs = sys.argv[1:]
    results = Results()
    for one in _results(scenario, Path(photo), int(threads), int(runs)):
        if isinstance(one, Profile):
            results.profiles.append(one)
        else:
            results.measurements.append(one)
    sys.stdout.write(json.dumps(asdict(results)) + "\n")


if __name__ == "__main__":
    _main()
