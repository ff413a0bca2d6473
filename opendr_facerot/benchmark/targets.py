"""What the project wants to reach on two cores, and what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.measurement import Measurement, on_most_cores

Figures = Mapping[str, Measurement]
"""Measurements by name, each on the most cores that it was made on."""

_MEGABYTES = 1.048576  # in a MiB


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes:
        what: In words.
        limit: The most it may be, or the least if ``at_least``.
        unit: Of the limit and the figure.
        figure: Gives the figure; raises KeyError where something was not measured.
    """

    what: str
    limit: float
    unit: str
    figure: Callable[[Figures], float]
    at_least: bool = False

    def is_met(self, figure: float) -> bool:
        """Whether a figure is within the limit."""
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(frozen=True)
class Outcome:
    """A target and its figure; None where it was not measured."""

    target: Target
    figure: float | None


def _milliseconds(name: str) -> Callable[[Figures], float]:
    return lambda figures: 1e3 * figures[name].median


def _seconds(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures[name].median


TARGETS = (
    Target("fit of a 640x480 frame with one face", 150.0, "ms", _milliseconds(names.FIT)),
    Target("a further view of 256 pixels", 4.0, "ms", _milliseconds(names.VIEW)),
    Target(
        "a view of 1024 pixels, over one of 256", 12.0, "x",
        lambda figures: figures[names.LARGE_VIEW].ratios[names.SINGLE_VIEW],
    ),
    Target("a tracked frame", 45.0, "ms", _milliseconds(names.TRACKED)),
    Target(
        "node, nine views of a 30 Hz camera", 12.0, "Hz",
        lambda figures: 1.0 / statistics.mean(figures[names.NODE_PERIOD].values),
        at_least=True,
    ),
    Target(
        "age of these at the 99th percentile, over their period", 2.0, "x",
        lambda figures: float(np.percentile(figures[names.NODE_AGE].values, 99))
        / statistics.mean(figures[names.NODE_PERIOD].values),
    ),
    Target("rasteriser, 105840 triangles at 512 pixels", 6.0, "ms", _milliseconds(names.MESH)),
    Target(
        "generator, times as fast as in float32 as trained", 2.5, "x",
        lambda figures: 1.0 / figures[names.FAST].ratios["as trained"],
        at_least=True,
    ),
    Target(
        "generator, share of the machine's bfloat16 products", 60.0, "%",
        lambda figures: 100.0 / figures[names.FAST].ratios[names.PRODUCTS],
        at_least=True,
    ),
    Target(
        "generator, pixels within 2 of 255 steps of float32", 99.5, "%",
        lambda figures: 100.0 * (1.0 - figures[names.INEXACT].median),
        at_least=True,
    ),
    Target("import opendr_facerot", 0.3, "s", _seconds(names.IMPORT)),
    Target("facerot rotate on one photo", 2.5, "s", _seconds(names.ROTATE)),
    Target(
        "peak memory of the head pipeline, a frame to nine views", 450.0, "MB",
        lambda figures: _MEGABYTES * figures[names.HEAD_MEMORY].median,
    ),
    Target(
        "peak memory of facerot rotate", 450.0, "MB",
        lambda figures: _MEGABYTES * figures[names.ROTATE_MEMORY].median,
    ),
    Target("node ready", 4.0, "s", _seconds(names.NODE_READY)),
)  # fmt: skip


def outcomes(measurements: Sequence[Measurement]) -> Iterator[Outcome]:
    """Each target with its figure."""
    figures = on_most_cores(measurements)
    for target in TARGETS:
        try:
            yield Outcome(target, target.figure(figures))
        except KeyError:
            yield Outcome(target, None)
