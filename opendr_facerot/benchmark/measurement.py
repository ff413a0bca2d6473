"""What is measured, and its statistics."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SECONDS, MEBIBYTES, SHARE = "s", "MiB", "%"


@dataclass(frozen=True)
class Measurement:
    """One figure; less is better.

    Attributes:
        name: What was measured.
        threads: Cores that the process could use.
        unit: :data:`SECONDS`, :data:`MEBIBYTES` or, of values in [0, 1], :data:`SHARE`.
        values: One of each run, at least one.
        ratios: The median in terms of each named baseline's median.
    """

    name: str
    threads: int
    unit: str
    values: tuple[float, ...]
    ratios: Mapping[str, float]

    @property
    def median(self) -> float:
        """Middle of the values."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Interquartile range of the values; 0 of a single one."""
        if len(self.values) < 2:
            return 0.0
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return third - first


def measurement(
    name: str,
    threads: int,
    values: Sequence[float],
    baselines: Mapping[str, float],
    unit: str = SECONDS,
) -> Measurement:
    """A measurement with its ratios to baselines, which are in the same unit."""
    median = statistics.median(values)
    ratios = {baseline: median / value for baseline, value in baselines.items()}
    return Measurement(name, threads, unit, tuple(values), ratios)


def on_most_cores(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    """Measurements by name, of those with the same name the one with the most threads."""
    return {one.name: one for one in sorted(measurements, key=lambda one: one.threads)}


def durations(run: Callable[[], object], runs: int, warm_up: int = 1) -> list[float]:
    """Seconds of each of ``runs`` calls, after ``warm_up`` calls that are not counted."""
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


class StageTimes:
    """Seconds of the stages of something that is done again and again.

    Attributes:
        seconds: Of each time, by stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def add(self, timings: Mapping[str, float]) -> None:
        """Add the seconds by stage of one more time."""
        for stage, seconds in timings.items():
            self.seconds.setdefault(stage, []).append(seconds)
