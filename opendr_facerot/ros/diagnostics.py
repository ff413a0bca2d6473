"""The node's state for /diagnostics (REP 107)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from opendr_facerot.ros.statistics import Count, Snapshot, Timing

_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class NodeState:
    """What the node is doing.

    Attributes:
        name: Name of the node with its namespace.
        lifecycle: ``"unconfigured"``, ``"inactive"`` or ``"active"``.
        enabled: Whether it may work while active.
        wanted: Whether anybody subscribes to what it makes of frames.
        pipeline: Name of the pipeline.
        device: Device in use; empty while no pipeline is loaded.
        problem: Why the last transition failed; empty if it did not.
        dropped_frames: Frames replaced by a newer one or abandoned.
        pending_frames: Frames that are waiting or being worked on.
        age_warn: Output age in seconds that deserves a warning.
        age_error: Output age in seconds that is an error.
    """

    name: str
    lifecycle: str
    enabled: bool
    wanted: bool
    pipeline: str
    device: str
    problem: str
    dropped_frames: int
    pending_frames: int
    age_warn: float
    age_error: float


class Diagnostics:
    """Makes a report each second, with the changes since the last one deciding its level."""

    def __init__(self, statistics: Snapshot) -> None:
        self._last = statistics

    def report(self, stamp: Time, state: NodeState, statistics: Snapshot) -> DiagnosticArray:
        """The message to publish.

        Args:
            stamp: Now.
            state: State of the node.
            statistics: Its statistics; those of the last call are what is new compared with.
        """
        level, message = self._judge(state, statistics)
        self._last = statistics
        status = DiagnosticStatus(
            level=level,
            name=f"{state.name}: rotation",
            message=message,
            hardware_id=state.device,
            values=[KeyValue(key=k, value=v) for k, v in _values(state, statistics)],
        )
        return DiagnosticArray(header=Header(stamp=stamp), status=[status])

    def _judge(self, state: NodeState, now: Snapshot) -> tuple[bytes, str]:
        new = {kind: now.counts[kind] - self._last.counts[kind] for kind in Count}
        fresh = new[Count.PROCESSED] - new[Count.NO_FACE]
        ages = now.timings[Timing.AGE]
        age = float(ages[max(len(ages) - fresh, 0) :].max(initial=0.0))
        if state.problem:
            return DiagnosticStatus.ERROR, state.problem
        if new[Count.FAILED]:
            return DiagnosticStatus.ERROR, f"{new[Count.FAILED]} frames failed: {now.last_error}"
        if age > state.age_error:
            return DiagnosticStatus.ERROR, f"output is {age:.1f} s old"
        if new[Count.REJECTED]:
            rejected = f"{new[Count.REJECTED]} unusable frames: {now.last_error}"
            return DiagnosticStatus.WARN, rejected
        if new[Count.REFUSED]:
            return DiagnosticStatus.WARN, f"{new[Count.REFUSED]} requests refused: too many at once"
        if new[Count.AHEAD]:
            return DiagnosticStatus.WARN, (
                f"{new[Count.AHEAD]} frames are stamped ahead of the node's clock: synchronise the "
                "clocks, or set use_sim_time where there is a /clock"
            )
        if age > state.age_warn:
            return DiagnosticStatus.WARN, f"output is {age:.1f} s old"
        return DiagnosticStatus.OK, _activity(state)


def _activity(state: NodeState) -> str:
    if state.lifecycle != "active":
        return state.lifecycle
    if not state.enabled:
        return "disabled"
    return "active" if state.wanted else "active, no subscribers"


def _values(state: NodeState, statistics: Snapshot) -> Iterator[tuple[str, str]]:
    yield "state", state.lifecycle
    yield "enabled", str(state.enabled).lower()
    yield "output wanted", str(state.wanted).lower()
    yield "pipeline", state.pipeline
    for kind, number in statistics.counts.items():
        yield kind.value, str(number)
    yield "frames dropped", str(state.dropped_frames)
    yield "frames pending", str(state.pending_frames)
    for timing, seconds in statistics.timings.items():
        if len(seconds):
            for percent, value in zip(
                _PERCENTILES, np.percentile(seconds, _PERCENTILES), strict=True
            ):
                yield f"{timing.value} p{percent} [ms]", f"{1e3 * value:.1f}"
    for stage, duration in statistics.stages.items():
        yield f"stage {stage} [ms]", f"{1e3 * duration:.1f}"
    if statistics.last_error:
        yield "last error", statistics.last_error
