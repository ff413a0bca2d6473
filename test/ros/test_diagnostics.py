"""Levels and values of the reports on /diagnostics."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

from dataclasses import replace

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from states import ACTIVE

from opendr_facerot.ros.diagnostics import Diagnostics, NodeState
from opendr_facerot.ros.statistics import Count, Statistics, Timing


class Reporter:
    def __init__(self) -> None:
        self.statistics = Statistics()
        self._diagnostics = Diagnostics(self.statistics.snapshot())

    def report(self, state: NodeState = ACTIVE) -> DiagnosticStatus:
        array = self._diagnostics.report(Time(sec=5), state, self.statistics.snapshot())
        assert array.header.stamp.sec == 5
        (status,) = array.status
        return status

    def judgement(self, state: NodeState = ACTIVE) -> tuple[bytes, str]:
        status = self.report(state)
        return status.level, status.message


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (ACTIVE, "active"),
        (replace(ACTIVE, wanted=False), "active, no subscribers"),
        (replace(ACTIVE, enabled=False), "disabled"),
        (replace(ACTIVE, lifecycle="inactive"), "inactive"),
    ],
)
def test_a_healthy_node_says_what_it_does(
    reporter: Reporter, state: NodeState, message: str
) -> None:
    assert reporter.judgement(state) == (DiagnosticStatus.OK, message)


def test_a_failed_transition_is_an_error_until_it_succeeds(reporter: Reporter) -> None:
    broken = replace(ACTIVE, problem="cannot activate: no weights")
    for _ in range(2):
        assert reporter.judgement(broken) == (DiagnosticStatus.ERROR, "cannot activate: no weights")
    assert reporter.judgement() == (DiagnosticStatus.OK, "active")


@pytest.mark.parametrize(
    ("count", "level", "message"),
    [
        (Count.FAILED, DiagnosticStatus.ERROR, "2 frames failed: ValueError: odd"),
        (Count.REJECTED, DiagnosticStatus.WARN, "2 unusable frames: ValueError: odd"),
        (Count.REFUSED, DiagnosticStatus.WARN, "2 requests refused: too many at once"),
        (Count.NO_FACE, DiagnosticStatus.OK, "active"),
    ],
)
def test_only_what_is_new_counts(
    reporter: Reporter, count: Count, level: bytes, message: str
) -> None:
    reporter.statistics.record_error(ValueError("odd"))
    reporter.statistics.count(count, count)
    assert reporter.judgement() == (level, message)
    assert reporter.judgement() == (DiagnosticStatus.OK, "active")


@pytest.mark.parametrize(
    ("age", "level"),
    [(0.4, DiagnosticStatus.OK), (0.6, DiagnosticStatus.WARN), (2.1, DiagnosticStatus.ERROR)],
)
def test_age_of_the_output(reporter: Reporter, age: float, level: bytes) -> None:
    for seconds in (0.1, age):
        reporter.statistics.measure(Timing.AGE, seconds)
        reporter.statistics.count(Count.PROCESSED)
    assert reporter.report().level == level
    assert reporter.report().level == DiagnosticStatus.OK
    # A frame without an age, for want of a stamp, does not bring back the one before it.
    reporter.statistics.count(Count.PROCESSED)
    assert reporter.report().level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0.4, DiagnosticStatus.OK), (0.6, DiagnosticStatus.WARN), (2.1, DiagnosticStatus.ERROR)],
)
def test_a_frame_that_hangs(reporter: Reporter, seconds: float, level: bytes) -> None:
    hanging = replace(ACTIVE, frame_seconds=seconds)
    for _ in range(2):
        assert reporter.report(hanging).level == level
    assert reporter.judgement() == (DiagnosticStatus.OK, "active")


def test_values(reporter: Reporter) -> None:
    for k in range(101):
        reporter.statistics.measure(Timing.LATENCY, k / 1000)
    reporter.statistics.count(*[Count.RECEIVED] * 7, *[Count.DROPPED] * 3, Count.PROCESSED)
    reporter.statistics.count(Count.REJECTED, Count.FAILED)
    reporter.statistics.record_stages({"detect": 0.0125})
    status = reporter.report()
    assert (status.name, status.hardware_id) == ("/ns/facerot: rotation", "cpu")
    values = {pair.key: pair.value for pair in status.values}
    assert values["frames received"] == "7"
    assert (values["frames dropped"], values["frames pending"]) == ("3", "1")
    measured = [values[f"latency {name} [ms]"] for name in ("mean", "p50", "p90", "p99", "max")]
    assert measured == ["50.0", "50.0", "90.0", "99.0", "100.0"]
    assert not any(key.startswith("output age") for key in values)
    assert values["stage detect [ms]"] == "12.5"
    assert (values["state"], values["pipeline"]) == ("active", "head")
    assert "last error" not in values
