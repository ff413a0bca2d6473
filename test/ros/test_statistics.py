"""The service ~/get_statistics: one consistent account of the node, at any time."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Duration, Time
from graph import Graph, NodeProcess
from rclpy.duration import Duration as RclpyDuration
from rclpy.time import Time as RclpyTime
from squares import picture
from states import ACTIVE

from opendr_facerot.ros.diagnostics import statistics_response
from opendr_facerot.ros.statistics import WINDOW, Count, Statistics, Summary, Timing
from opendr_facerot_interfaces.srv import GetStatistics


def seconds(duration: Duration) -> float:
    return 1e-9 * float(RclpyDuration.from_msg(duration).nanoseconds)


def ended(answer: GetStatistics.Response) -> int:
    return int(
        answer.frames_processed
        + answer.frames_rejected
        + answer.frames_failed
        + answer.frames_dropped
    )


def test_summary_of_durations() -> None:
    durations = np.random.default_rng(5).permutation(np.arange(101.0))
    assert Summary.of(durations) == Summary(101, 50.0, 50.0, 90.0, 99.0, 100.0)
    assert Summary.of(np.array([0.25])) == Summary(1, 0.25, 0.25, 0.25, 0.25, 0.25)
    assert Summary.of(np.array([])) == Summary(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_only_the_latest_durations_count() -> None:
    statistics = Statistics()
    for k in range(WINDOW + 50):
        statistics.measure(Timing.LATENCY, float(k))
    kept = statistics.snapshot().timings[Timing.LATENCY]
    assert kept.tolist() == [float(k) for k in range(50, WINDOW + 50)]


def test_what_is_counted_together_is_seen_together() -> None:
    statistics = Statistics()
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            statistics.count(Count.PROCESSED, Count.NO_FACE, Count.NO_FACE)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    snapshots = [statistics.snapshot() for _ in range(2000)]
    stop.set()
    for thread in threads:
        thread.join()
    assert snapshots[-1].counts[Count.PROCESSED] > 100
    assert all(2 * s.counts[Count.PROCESSED] == s.counts[Count.NO_FACE] for s in snapshots)


def test_every_counter_has_a_field() -> None:
    statistics = Statistics()
    for number, kind in enumerate(Count, start=1):
        statistics.count(*[kind] * number)
    statistics.count(*[Count.RECEIVED] * 20)
    answer = statistics_response(Time(sec=3), ACTIVE, statistics.snapshot())
    expected = {kind: number for number, kind in enumerate(Count, start=1)}
    assert answer.frames_received == expected[Count.RECEIVED] + 20
    assert answer.frames_pending == answer.frames_received - ended(answer) == 7
    fields = {
        "frames_processed": Count.PROCESSED,
        "frames_rejected": Count.REJECTED,
        "frames_failed": Count.FAILED,
        "frames_dropped": Count.DROPPED,
        "frames_unwanted": Count.UNWANTED,
        "frames_without_face": Count.NO_FACE,
        "frames_stamped_ahead": Count.AHEAD,
        "faces": Count.FACES,
        "requests": Count.REQUESTS,
        "requests_refused": Count.REFUSED,
    }
    assert {name: getattr(answer, name) for name in fields} == {
        name: expected[kind] for name, kind in fields.items()
    }


def test_durations_and_texts_of_the_answer() -> None:
    statistics = Statistics()
    for value in (0.25, 0.75, 1.5):
        statistics.measure(Timing.AGE, value)
    statistics.record_stages({"detect": 0.0125, "fit": 2.0})
    statistics.record_error(ValueError("odd"))
    unwanted = replace(ACTIVE, wanted=False)
    answer = statistics_response(Time(sec=3), unwanted, statistics.snapshot())
    assert answer.stamp == Time(sec=3)
    assert 0.0 <= seconds(answer.uptime) < 10.0
    assert (answer.lifecycle_state, answer.enabled, answer.output_wanted) == ("active", True, False)
    assert (answer.pipeline, answer.device, answer.problem) == ("head", "cpu", "")
    assert answer.output_age.count == 3
    assert seconds(answer.output_age.p50) == 0.75
    assert answer.output_age.max == Duration(sec=1, nanosec=500_000_000)
    assert seconds(answer.output_age.mean) == pytest.approx(2.5 / 3, abs=1e-9)
    assert (answer.latency.count, answer.latency.max) == (0, Duration())
    stages = [(stage.stage, seconds(stage.duration)) for stage in answer.stages]
    assert stages == [("detect", 0.0125), ("fit", 2.0)]
    assert answer.last_error == "ValueError: odd"


@pytest.mark.slow
def test_answers_in_every_state(
    start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    name = "/states"
    start_node("-r", f"__ns:={name}", "-p", "pipeline:=squares", "-p", "autostart:=false")
    client = connect(name)
    first = client.statistics()
    assert (first.lifecycle_state, first.device, first.pipeline) == ("unconfigured", "", "squares")
    for transition, state, device in (
        ("configure", "inactive", ""),
        ("activate", "active", "cpu"),
        ("deactivate", "inactive", "cpu"),
        ("cleanup", "unconfigured", ""),
        ("shutdown", "finalized", ""),
    ):
        assert client.change_state(transition)
        answer = client.statistics()
        assert (answer.lifecycle_state, answer.device) == (state, device)
    elapsed = seconds(answer.uptime) - seconds(first.uptime)
    stamps = (RclpyTime.from_msg(a.stamp).nanoseconds for a in (answer, first))
    last, earliest = stamps
    assert elapsed == pytest.approx(1e-9 * (last - earliest), abs=0.5)


@pytest.mark.slow
def test_answers_while_the_worker_is_inside_a_step(shared: Graph) -> None:
    shared.subscribe()
    shared.publish(picture(slow_fit=2.0))
    shared.wait(lambda: shared.statistics().frames_pending == 1, "the frame to be taken up")
    answers = 0
    started = time.monotonic()
    while shared.statistics().frames_pending == 1:
        answers += 1
    assert time.monotonic() - started < 15.0
    assert answers >= 5


@pytest.mark.slow
def test_every_frame_is_accounted_for_in_every_answer(shared: Graph) -> None:
    shared.subscribe()
    before = shared.statistics()
    kinds = [
        picture(slow_views=0.02),
        picture(()),
        picture(raises=RuntimeError),
        picture((40, 50)),
    ]
    # In turn, one kind could be replaced by the next each time, in step with the slow one.
    frames = [kinds[k] for k in np.random.default_rng(7).integers(len(kinds), size=240)]
    answers: list[GetStatistics.Response] = []
    with shared.stream(frames, rate=60.0) as sent:
        while len(sent) < 240:
            answers.append(shared.statistics())
            if len(answers) % 40 == 0:  # what runs and waits is dropped
                assert shared.enable(False)
                assert shared.enable(True)
    shared.wait(lambda: shared.statistics().frames_pending == 0, "the last frame")
    answers.append(shared.statistics())

    assert len(answers) > 50
    for answer in answers:
        assert answer.frames_received == ended(answer) + answer.frames_pending
        # As an unsigned number, one frame counted twice would be 2**64 - 1 pending.
        assert answer.frames_pending <= 3
        with_face = answer.frames_processed - answer.frames_without_face
        assert with_face <= answer.faces <= 2 * with_face + before.faces
    for name in ("frames_received", "frames_processed", "frames_failed", "frames_dropped"):
        numbers = [getattr(answer, name) for answer in answers]
        assert numbers == sorted(numbers)
        assert numbers[-1] > numbers[0]
    last = answers[-1]
    taken = last.frames_received + last.frames_unwanted
    assert taken - before.frames_received - before.frames_unwanted <= len(sent)
    shared.wait(lambda: len(shared.faces) == shared.statistics().faces - before.faces, "every face")


@pytest.mark.slow
def test_diagnostics_and_service_agree(shared: Graph) -> None:
    shared.subscribe()
    shared.publish(picture((40, 50)), stamp=1)
    shared.wait(lambda: len(shared.faces) == 2, "the faces")
    shared.wait(lambda: shared.statistics().frames_pending == 0, "the end of the frame")
    values, answer = shared.counts(), shared.statistics()
    assert values["faces"] == str(answer.faces)
    assert values["frames received"] == str(answer.frames_received)
    assert values["frames dropped"] == str(answer.frames_dropped)
    assert values["latency p50 [ms]"] == f"{1e3 * seconds(answer.latency.p50):.1f}"
    assert values["output age max [ms]"] == f"{1e3 * seconds(answer.output_age.max):.1f}"
    assert answer.output_age.count <= answer.latency.count <= WINDOW
