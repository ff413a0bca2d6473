"""Time of the rasteriser's backends on meshes of several sizes, against copying and the oracle.

    python benchmarks/bench_rasterize.py [--backends cpu torch] [--device cuda] [--repeat 20]

The CPU's backend runs with one thread and with two. Times are medians with their interquartile
range, after a warm-up. The naive oracle, which tests every face against the whole image, is timed
on an equally spaced part of the faces and scaled up: its cost is proportional to their number.
``facerot bench`` measures the chosen backend by itself; this compares it with the others.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np

from opendr_facerot.benchmark.ceilings import COPIED_BYTES, copy_durations
from opendr_facerot.benchmark.measurement import durations, measurement
from opendr_facerot.benchmark.scenes import ellipsoid
from opendr_facerot.render.rasterize import available_backends, rasterize

CASES = (
    ("head, one-sided", (144, 144), False, 512),
    ("head, one-sided", (144, 144), False, 2048),
    ("Basel Face Model, one-sided", (217, 245), False, 512),
    ("Basel Face Model, two-sided", (217, 245), True, 512),
)
ORACLE_FACES = 200


def with_threads(threads: int, call: Callable[[], object]) -> Callable[[], object]:
    """The call as on a machine of that many cores."""

    def limited() -> object:
        with mock.patch("opendr_facerot.render.bands.thread_count", return_value=threads):
            return call()

    return limited


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    usual = [name for name in available_backends() if name not in ("reference", "neural_renderer")]
    parser.add_argument("--backends", nargs="+", default=usual, choices=available_backends())
    parser.add_argument("--device", default="cpu", help="of torch and neural_renderer")
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    copying = statistics.median(copy_durations())
    print(f"copying {COPIED_BYTES >> 20} MiB: {1e3 * copying:.2f} ms")
    print(f"{'case':58} threads    median    spread   x copying  oracle x")
    for name, shape, two_sided, size in CASES:
        vertices, faces = ellipsoid(*shape)
        if two_sided:
            faces = np.concatenate([faces, faces[:, ::-1]])
        some = faces[:: max(1, len(faces) // ORACLE_FACES)]
        naive = durations(partial(rasterize, vertices, some, size, backend="reference"), 3)
        oracle = statistics.median(naive) * len(faces) / len(some)
        for backend in options.backends:
            device = options.device if backend in ("torch", "neural_renderer") else "cpu"
            call = partial(rasterize, vertices, faces, size, backend=backend, device=device)
            for threads in (1, 2) if backend == "cpu" else (None,):
                run = with_threads(threads, call) if threads else call
                one = measurement(name, threads or 0, durations(run, options.repeat), {})
                print(
                    f"{f'{name}, {len(faces)} faces, {size} px, {backend}':58} "
                    f"{threads or '-'!s:>7} {1e3 * one.median:6.2f} ms {1e3 * one.spread:6.2f} ms "
                    f"{one.median / copying:11.1f} {oracle / one.median:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
