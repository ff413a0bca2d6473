"""What a soak test has measured, judged: statistics, criteria, table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

MOST_GROWTH = 0.01
MOST_PERIODS = 2.0

_LONGEST_WINDOW = 60.0  # seconds
_WINDOW_FRACTION = 0.2

_ENDS = ("processed", "rejected", "failed", "dropped")
"""What becomes of a received frame; the node's own keys without their word ``frames``."""

_MOST_UNFINISHED = 3  # one waits, one is worked on, one was abandoned during a step


@dataclass
class Usage:
    """Samples of one process, about one a second.

    Attributes:
        times: Seconds since the start of the measurement.
        resident: Resident set size, bytes.
        anonymous: The part of it that is neither a file nor shared memory, bytes.
        shared: The part of it that is shared memory, bytes.
        cpu: Processor time since the process was started, seconds.
    """

    times: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    anonymous: list[int] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass
class Measurements:
    """What was observed from outside the node.

    Attributes:
        seconds: Duration of the measurement.
        usage: Of the node and of the camera.
        counts: The node's counters from each report on /diagnostics, without the word "frames".
        camera: What the camera says at its end.
        stamps: Stamp of each frame whose faces came, nanoseconds, in the order of arrival.
        arrivals: Arrival of the last of its faces, nanoseconds of the same clock.
        faces: Faces that came for it.
        service_seconds: Round trips of the service calls that succeeded.
        service_failures: What was answered to the others.
        exit_status: Of the node, after SIGINT at the end.
        ended_early: Whether it had ended before that.
    """

    seconds: float = 0.0
    usage: dict[str, Usage] = field(default_factory=lambda: {"node": Usage(), "camera": Usage()})
    counts: list[dict[str, int]] = field(default_factory=list)
    camera: dict[str, float] = field(default_factory=dict)
    stamps: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)
    service_seconds: list[float] = field(default_factory=list)
    service_failures: list[str] = field(default_factory=list)
    exit_status: int | None = None
    ended_early: bool = False


@dataclass(frozen=True)
class Criterion:
    """One thing that must hold."""

    name: str
    value: str
    limit: str
    passed: bool


def summarize(measured: Measurements) -> dict[str, Any]:
    """The figures of a run, as they go into the JSON file."""
    node, camera = measured.usage["node"], measured.usage["camera"]
    arrivals = np.array(measured.arrivals, np.float64) * 1e-9
    ages = arrivals - np.array(measured.stamps, np.float64) * 1e-9
    intervals = np.diff(arrivals)
    period = float(intervals.mean()) if len(intervals) else math.nan
    last = measured.counts[-1]
    unfinished = [_unfinished(counts) for counts in measured.counts]
    return {
        "seconds": measured.seconds,
        "node": {
            "exit_status": measured.exit_status,
            "ended_early": measured.ended_early,
            "cpu_cores": _cores(node),
            "resident": growth(node.times, node.resident),
            "anonymous": growth(node.times, node.anonymous),
            "shared": growth(node.times, node.shared),
        },
        "camera": {
            **measured.camera,
            "rate_hz": measured.camera["published"] / measured.camera["seconds"],
            "cpu_cores": _cores(camera),
        },
        "transport_lost": measured.camera["published"] - last["received"] - last["unwanted"],
        "frames": last,
        "unfinished": {
            "at_end": unfinished[-1],
            "least": min(unfinished),
            "most": max(unfinished),
        },
        "output": {
            "frames": len(ages),
            "not_seen": last["processed"] - last["without a face"] - len(ages),
            "faces_of_a_frame": np.unique(measured.faces, return_counts=True)[0].tolist(),
            "rate_hz": 1.0 / period,
            "period_ms": 1e3 * period,
            "interval_ms": _percentiles(1e3 * intervals),
            "age_ms": _percentiles(1e3 * ages),
            "age_periods": _percentiles(ages / period),
        },
        "service": {
            "answered": len(measured.service_seconds),
            "failures": measured.service_failures,
            "round_trip_ms": _percentiles(1e3 * np.array(measured.service_seconds)),
        },
    }


def judge(summary: Mapping[str, Any]) -> list[Criterion]:
    """Whether a run has shown what it must."""
    node, output, service = summary["node"], summary["output"], summary["service"]
    status = "ended by itself" if node["ended_early"] else f"exit status {node['exit_status']}"
    memory, age = node["resident"], output["age_periods"]["p99"]
    frames, open_frames = summary["frames"], summary["unfinished"]
    unusable = frames["rejected"] + frames["failed"]
    return [
        Criterion("crashes", status, "exit status 0", status == "exit status 0"),
        Criterion(
            "memory, last window over first", f"{100 * memory['of_medians']:+.2f} %",
            f"< {100 * MOST_GROWTH:.0f} %", memory["of_medians"] < MOST_GROWTH,
        ),
        Criterion(
            "memory, slope over the run", f"{100 * memory['of_slope']:+.2f} %",
            f"< {100 * MOST_GROWTH:.0f} %", memory["of_slope"] < MOST_GROWTH,
        ),
        Criterion(
            "age of output, p99", f"{age:.2f} periods", f"<= {MOST_PERIODS:.0f}",
            age <= MOST_PERIODS,
        ),
        Criterion(
            "received - processed - rejected - failed - dropped, after the last frame",
            str(open_frames["at_end"]), "0", open_frames["at_end"] == 0,
        ),
        Criterion(
            "the same in each report", f"{open_frames['least']} to {open_frames['most']}",
            f"0 to {_MOST_UNFINISHED}",
            open_frames["least"] >= 0 and open_frames["most"] <= _MOST_UNFINISHED,
        ),
        Criterion("frames unusable or failed", str(unusable), "0", unusable == 0),
        Criterion(
            "service calls not answered well",
            f"{len(service['failures'])} of {len(service['failures']) + service['answered']}",
            "0", service["answered"] > 0 and not service["failures"],
        ),
    ]  # fmt: skip


def growth(times: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """How much a series grows after its warm-up.

    Warm-up, first and last window are a fifth of the run each, at most a minute.

    Returns:
        ``first`` and ``last`` medians, ``of_medians`` the change between them, and ``of_slope``
        the change over the time after the warm-up by the Theil-Sen slope, as fractions of the first
        median.
    """
    time, value = np.array(times, np.float64), np.array(values, np.float64)
    if len(time) < 10:
        return dict.fromkeys(("first", "last", "of_medians", "of_slope"), math.nan)
    window = min(_LONGEST_WINDOW, _WINDOW_FRACTION * times[-1])
    warm = time >= window
    first = float(np.median(value[warm & (time < 2 * window)]))
    last = float(np.median(value[time > time[-1] - window]))
    slope, span = float(theilslopes(value[warm], time[warm]).slope), float(time[-1]) - window
    return {
        "first": first,
        "last": last,
        "of_medians": last / first - 1.0 if first else 0.0,
        "of_slope": slope * span / first if first else 0.0,
    }


def table(summary: Mapping[str, Any], criteria: Sequence[Criterion]) -> str:
    """The figures and the verdicts, to be read."""
    node, camera, output = summary["node"], summary["camera"], summary["output"]
    frames, service = summary["frames"], summary["service"]
    ends = ", ".join(f"{frames[end]} {end}" for end in _ENDS)
    lost = summary["transport_lost"]
    lines = [
        f"duration     {summary['seconds']:.0f} s",
        f"camera       {camera['published']} frames, {camera['rate_hz']:.1f} Hz, "
        f"{camera['cpu_cores']:.2f} cores",
        f"transport    {lost} frames lost ({100 * lost / max(camera['published'], 1):.2f} %)",
        f"node         {frames['received']} received: {ends}; {node['cpu_cores']:.2f} cores",
        *(f"{name:12} {_memory(node[name])}" for name in ("resident", "anonymous", "shared")),
        f"output       {output['frames']} frames, {output['rate_hz']:.2f} Hz, "
        f"faces {output['faces_of_a_frame']}; {output['not_seen']} frames not seen",
        f"interval     {_milliseconds(output['interval_ms'])}",
        f"age          {_milliseconds(output['age_ms'])}",
        f"service      {_milliseconds(service['round_trip_ms'])}; "
        f"{service['answered']} answered, {len(service['failures'])} not",
        "",
    ]
    for criterion in criteria:
        verdict = "PASS" if criterion.passed else "FAIL"
        lines.append(f"{verdict}  {criterion.name}: {criterion.value} ({criterion.limit})")
    return "\n".join(lines)


def _unfinished(counts: Mapping[str, int]) -> int:
    return counts["received"] - sum(counts[end] for end in _ENDS)


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    if len(values) == 0:
        return dict.fromkeys(("p50", "p90", "p99", "max"), math.nan)
    p50, p90, p99 = np.percentile(values, (50, 90, 99)).tolist()
    return {"p50": p50, "p90": p90, "p99": p99, "max": float(values.max())}


def _cores(usage: Usage) -> float:
    if len(usage.times) < 2:
        return math.nan
    return (usage.cpu[-1] - usage.cpu[0]) / (usage.times[-1] - usage.times[0])


def _memory(series: Mapping[str, float]) -> str:
    return (
        f"{series['first'] / 2**20:.1f} -> {series['last'] / 2**20:.1f} MiB "
        f"({100 * series['of_medians']:+.2f} %, by the slope {100 * series['of_slope']:+.2f} %)"
    )


def _milliseconds(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in values.items()) + " ms"
