"""Order of work, bounds of queues and accounts of frames, without ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest

from opendr_facerot.ros.errors import BusyError, NotActiveError
from opendr_facerot.ros.worker import Steps, Worker

PATIENCE = 10.0


class Script:
    """Work whose steps are written down, with a gate that holds the worker."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.closed: list[str] = []
        self.started_at: list[float] = []
        self.received = self.dropped = 0
        self._gate = threading.Event()
        self._held = threading.Event()

    def steps(self, name: str, count: int = 1) -> Steps[str]:
        try:
            for k in range(count):
                self.done.append(f"{name}{k}")
                if k < count - 1:
                    yield None
        except GeneratorExit:
            self.closed.append(name)
            raise
        return name

    def frame(self, name: str) -> Steps[None]:
        self.started_at.append(time.monotonic())
        yield from self.steps(name, 3)

    def count_frames(self, received: int, dropped: int) -> None:
        self.received += received
        self.dropped += dropped

    def hold(self, worker: Worker[str]) -> Future[None]:
        """Keep the worker busy until :meth:`release`."""
        future = worker.call(self._wait)
        assert self._held.wait(PATIENCE)
        return future

    def release(self) -> None:
        self._gate.set()

    def _wait(self) -> None:
        self._held.set()
        assert self._gate.wait(PATIENCE)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def worker(script: Script) -> Iterator[Worker[str]]:
    worker = Worker(script.frame, 2, script.count_frames)
    yield worker
    script.release()
    assert worker.stop(PATIENCE)


def wait_until_idle(worker: Worker[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while worker.pending_frames:
        assert time.monotonic() < deadline
        worker.call(lambda: None).result(PATIENCE)


def test_results_and_errors_reach_the_caller(worker: Worker[str], script: Script) -> None:
    assert worker.submit(script.steps("a", 2)).result(PATIENCE) == "a"
    assert worker.submit_set(script.steps("b", 3)).result(PATIENCE) == "b"

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        worker.call(fail).result(PATIENCE)
    assert worker.submit(script.steps("c")).result(PATIENCE) == "c"


def kinds(steps: Sequence[str]) -> str:
    """First letters of the names of steps."""
    return "".join(step[0] for step in steps)


def test_whole_frames_and_whole_requests_take_turns_then_steps_of_sets(
    script: Script,
) -> None:
    """With a camera whose next frame is there whenever one has been worked on."""
    worked_on = 0

    def frame(name: str) -> Steps[None]:
        nonlocal worked_on
        worked_on += 1
        if worked_on < 8:
            streaming.offer_frame(name)
        yield from script.steps(name, 3)

    streaming = Worker(frame, 2, script.count_frames)
    script.hold(streaming)
    streaming.offer_frame("f")
    sets = [streaming.submit_set(script.steps(name, 2)) for name in "st"]
    requests = [streaming.submit(script.steps(name, 2)) for name in "rq"]
    script.release()
    for future in (*requests, *sets):
        future.result(PATIENCE)
    wait_until_idle(streaming)
    assert streaming.stop(PATIENCE)
    assert kinds(script.done) == "fffrrfffqqfffsffftfffsffftffffff"


def test_a_frame_that_was_begun_is_finished_before_what_comes_meanwhile(
    script: Script,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def frame(name: str) -> Steps[None]:
        begun.set()
        assert go_on.wait(PATIENCE)
        yield from script.steps(name, 3)

    busy = Worker(frame, 2, script.count_frames)
    busy.offer_frame("a")
    assert begun.wait(PATIENCE)
    answers = [busy.submit(script.steps("request", 2)), busy.submit_set(script.steps("set", 2))]
    for newer in "bcd":
        busy.offer_frame(newer)
    go_on.set()
    for answer in answers:
        answer.result(PATIENCE)
    wait_until_idle(busy)
    assert busy.stop(PATIENCE)
    # The next frame is the newest at the time when the request has been worked on.
    assert kinds(script.done) == "aaarrdddss"


def test_a_request_interrupts_a_set(worker: Worker[str], script: Script) -> None:
    answers: list[Future[str]] = []

    def long_set() -> Steps[None]:
        for k in range(5):
            script.done.append(f"set{k}")
            if k == 1:
                answers.append(worker.submit(script.steps("request")))
            yield None

    worker.submit_set(long_set()).result(PATIENCE)
    assert script.done == ["set0", "set1", "request0", "set2", "set3", "set4"]


def test_only_the_latest_frame_waits(worker: Worker[str], script: Script) -> None:
    script.hold(worker)
    for name in "abcd":
        worker.offer_frame(name)
    assert worker.pending_frames == 1
    assert (script.received, script.dropped) == (4, 3)
    script.release()
    wait_until_idle(worker)
    assert script.done == ["d0", "d1", "d2"]


def test_time_that_a_frame_is_worked_on(worker: Worker[str], script: Script) -> None:
    assert worker.frame_seconds == 0.0
    begun, go_on = threading.Event(), threading.Event()

    def frame(name: str) -> Steps[None]:
        begun.set()
        assert go_on.wait(PATIENCE)
        yield None

    busy = Worker(frame, 1, script.count_frames)
    before = time.monotonic()
    busy.offer_frame("f")
    assert begun.wait(PATIENCE)
    time.sleep(0.02)
    assert 0.02 <= busy.frame_seconds <= time.monotonic() - before
    go_on.set()
    wait_until_idle(busy)
    assert busy.frame_seconds == 0.0
    assert busy.stop(PATIENCE)


def test_queues_are_bounded(worker: Worker[str], script: Script) -> None:
    script.hold(worker)
    for submit in (worker.submit, worker.submit_set):
        futures = [submit(script.steps("x")) for _ in range(2)]
        with pytest.raises(BusyError, match="2 requests are waiting"):
            submit(script.steps("y"))
        assert not any(f.done() for f in futures)
    script.release()


def test_abandoned_work_fails_and_is_closed(worker: Worker[str], script: Script) -> None:
    reached = threading.Event()

    def endless() -> Steps[None]:
        while True:
            reached.set()
            yield from script.steps("endless", 2)
            yield None

    running = worker.submit_set(endless())
    assert reached.wait(PATIENCE)
    script.hold(worker)
    waiting = worker.submit(script.steps("waiting"))
    worker.offer_frame("f")
    worker.abandon(NotActiveError("enough"))
    script.release()
    for future in (running, waiting):
        with pytest.raises(NotActiveError, match="enough"):
            future.result(PATIENCE)
    assert script.dropped == 1
    assert worker.submit(script.steps("next")).result(PATIENCE) == "next"
    assert "waiting0" not in script.done


@pytest.mark.parametrize("steps_before", [1, 2])
def test_a_frame_abandoned_midway_is_dropped_once(steps_before: int, script: Script) -> None:
    finished: list[str] = []
    step_begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def frame(name: str) -> Steps[None]:
        for _ in range(2):
            step_begun.release()
            go_on.acquire()
            yield None
        finished.append(name)

    worker = Worker(frame, 1, script.count_frames)
    worker.offer_frame("f")
    for _ in range(steps_before - 1):
        step_begun.acquire()
        go_on.release()
    step_begun.acquire()
    worker.abandon(NotActiveError("enough"))
    go_on.release(5)
    assert worker.stop(PATIENCE)
    assert (script.dropped, worker.pending_frames, finished) == (1, 0, [])


def test_rate_limit_keeps_frames_apart(worker: Worker[str], script: Script) -> None:
    worker.limit_rate(20.0)
    for k in range(4):
        worker.offer_frame(f"frame{k}-")
        wait_until_idle(worker)
    gaps = [b - a for a, b in zip(script.started_at, script.started_at[1:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.9 / 20.0  # the frame notes its start a little after the worker does


def test_stopping_does_not_wait_for_a_step_that_hangs(script: Script) -> None:
    worker = Worker(script.frame, 2, script.count_frames)
    held = script.hold(worker)
    waiting = worker.submit(script.steps("x"))
    assert not worker.stop(0.05)
    with pytest.raises(NotActiveError, match="shutting down"):
        waiting.result(PATIENCE)
    for late in (worker.submit, worker.submit_set):
        with pytest.raises(NotActiveError):
            late(script.steps("y"))
    script.release()
    held.result(PATIENCE)
    assert worker.stop(PATIENCE)


def test_calls_made_before_stopping_are_carried_out(script: Script) -> None:
    worker = Worker(script.frame, 2, script.count_frames)
    script.hold(worker)
    freed = worker.call(lambda: script.done.append("freed"))
    assert not worker.stop(0.0)
    script.release()
    freed.result(PATIENCE)
    assert script.done == ["freed"]
    assert worker.stop(PATIENCE)


@pytest.mark.parametrize("error", [MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_error_of_a_step_ends_the_thread(
    worker: Worker[str], script: Script, error: type[BaseException]
) -> None:
    def failing() -> Steps[None]:
        yield None
        raise error("of a pipeline")

    with pytest.raises((MemoryError, RuntimeError), match="of a pipeline"):
        worker.submit(failing()).result(PATIENCE)
    assert worker.submit(script.steps("next")).result(PATIENCE) == "next"


def test_an_error_in_tidying_up_after_an_abandoned_set_is_survived(
    worker: Worker[str], script: Script
) -> None:
    paused = threading.Event()

    def untidy() -> Steps[None]:
        try:
            while True:
                paused.set()
                yield None
        finally:
            raise OSError("cannot tidy up")

    running = worker.submit_set(untidy())
    assert paused.wait(PATIENCE)
    worker.abandon(NotActiveError("enough"))
    with pytest.raises(NotActiveError):
        running.result(PATIENCE)
    assert worker.submit(script.steps("next")).result(PATIENCE) == "next"


def test_a_call_can_be_cancelled_until_it_begins(worker: Worker[str], script: Script) -> None:
    held = script.hold(worker)
    assert not held.cancel()
    waiting = worker.call(lambda: script.done.append("called"))
    assert waiting.cancel()
    script.release()
    held.result(PATIENCE)
    assert worker.submit(script.steps("next")).result(PATIENCE) == "next"
    assert "called" not in script.done


def test_the_lowest_rate_there_is(worker: Worker[str], script: Script) -> None:
    worker.limit_rate(5e-324)
    worker.offer_frame("a")
    wait_until_idle(worker)
    worker.offer_frame("b")
    assert worker.submit(script.steps("request")).result(PATIENCE) == "request"
    assert worker.pending_frames == 1
    worker.limit_rate(0.0)
    wait_until_idle(worker)
    assert script.done[-3:] == ["b0", "b1", "b2"]
