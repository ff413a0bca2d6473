"""The node's state and statistics for /diagnostics (REP 107) and ``~/get_statistics``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from std_msgs.msg import Header

from opendr_facerot.ros.statistics import Count, Snapshot, Summary, Timing
from opendr_facerot_interfaces.msg import DurationStatistics, StageDuration
from opendr_facerot_interfaces.srv import GetStatistics

_COUNT_FIELDS = {
    Count.RECEIVED: "frames_received",
    Count.PROCESSED: "frames_processed",
    Count.REJECTED: "frames_rejected",
    Count.FAILED: "frames_failed",
    Count.DROPPED: "frames_dropped",
    Count.UNWANTED: "frames_unwanted",
    Count.NO_FACE: "frames_without_face",
    Count.AHEAD: "frames_stamped_ahead",
    Count.FACES: "faces",
    Count.REQUESTS: "requests",
    Count.REFUSED: "requests_refused",
}
"""Fields of the service's response."""

_SUMMARY_DURATIONS = ("mean", "p50", "p90", "p99", "max")


@dataclass(frozen=True)
class NodeState:
    """What the node is doing.

    Attributes:
        name: Name of the node with its namespace.
        lifecycle: ``"unconfigured"``, ``"inactive"``, ``"active"`` or ``"finalized"``.
        enabled: Whether it may work while active.
        wanted: Whether anybody subscribes to what it makes of frames.
        pipeline: Name of the pipeline.
        device: Device in use; empty while no pipeline is loaded.
        problem: Why the last transition failed; empty if it did not.
        frame_seconds: How long the frame that is worked on has been; 0 without one.
        age_warn: Output age, or ``frame_seconds``, that deserves a warning.
        age_error: Output age, or ``frame_seconds``, that is an error.
    """

    name: str
    lifecycle: str
    enabled: bool
    wanted: bool
    pipeline: str
    device: str
    problem: str
    frame_seconds: float
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
        age = float(now.since(self._last, Timing.AGE).max(initial=0.0))
        if state.problem:
            return DiagnosticStatus.ERROR, state.problem
        if new[Count.FAILED]:
            return DiagnosticStatus.ERROR, f"{new[Count.FAILED]} frames failed: {now.last_error}"
        if slow := _slowness(age, state.frame_seconds, state.age_error):
            return DiagnosticStatus.ERROR, slow
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
        if slow := _slowness(age, state.frame_seconds, state.age_warn):
            return DiagnosticStatus.WARN, slow
        return DiagnosticStatus.OK, _activity(state)


def statistics_response(
    stamp: Time, state: NodeState, statistics: Snapshot
) -> GetStatistics.Response:
    """The answer of ``~/get_statistics``."""
    latency, age = (
        _summary_message(Summary.of(statistics.timings[kind]))
        for kind in (Timing.LATENCY, Timing.AGE)
    )
    return GetStatistics.Response(
        stamp=stamp,
        uptime=Duration(seconds=statistics.uptime).to_msg(),
        lifecycle_state=state.lifecycle,
        enabled=state.enabled,
        output_wanted=state.wanted,
        pipeline=state.pipeline,
        device=state.device,
        problem=state.problem,
        frames_pending=statistics.pending,
        latency=latency,
        output_age=age,
        stages=[
            StageDuration(stage=stage, duration=Duration(seconds=seconds).to_msg())
            for stage, seconds in statistics.stages.items()
        ],
        last_error=statistics.last_error,
        **{field: statistics.counts[kind] for kind, field in _COUNT_FIELDS.items()},
    )


def _summary_message(summary: Summary) -> DurationStatistics:
    durations = {
        name: Duration(seconds=getattr(summary, name)).to_msg() for name in _SUMMARY_DURATIONS
    }
    return DurationStatistics(count=summary.count, **durations)


def _slowness(age: float, frame_seconds: float, limit: float) -> str:
    """What took longer than ``limit`` seconds; empty if nothing did."""
    if frame_seconds > limit:
        return f"a frame has been worked on for {frame_seconds:.1f} s"
    return f"output is {age:.1f} s old" if age > limit else ""


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
    yield "uptime [s]", f"{statistics.uptime:.0f}"
    for kind, number in statistics.counts.items():
        yield kind.value, str(number)
    yield "frames pending", str(statistics.pending)
    for timing, seconds in statistics.timings.items():
        if len(seconds):
            summary = Summary.of(seconds)
            for name in _SUMMARY_DURATIONS:
                yield f"{timing.value} {name} [ms]", f"{1e3 * getattr(summary, name):.1f}"
    for stage, duration in statistics.stages.items():
        yield f"stage {stage} [ms]", f"{1e3 * duration:.1f}"
    if statistics.last_error:
        yield "last error", statistics.last_error
