"""One thread that does the work of the node, a step at a time. Knows nothing of ROS or of faces.

Work comes as generators that pause after each step. A frame that has been begun is finished before
anything else, so that nothing lies between its arrival and its output but the work on it; then
something else has its turn, and the frame after that is the newest there is by then. Other work
thus costs frames, but makes none of them old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from opendr_facerot.ros.errors import BusyError, NotActiveError

FrameT = TypeVar("FrameT")
ResultT = TypeVar("ResultT")
Steps: TypeAlias = Generator[object, None, ResultT]
"""Work that pauses after each step and returns its result."""


@dataclass(eq=False)
class _Job:
    steps: Steps[Any]
    is_frame: bool = False
    started: float = field(default_factory=time.monotonic)
    future: Future[Any] = field(default_factory=Future)


class Worker(Generic[FrameT]):
    """Runs one step at a time, those of calls before all others.

    Frames take turns with the rest: between two of them there is either one whole request or, if
    none waits, one step of a set. Only the latest frame waits; a newer one takes its place. Methods
    may be called from any thread; a step must not wait for what they return.

    Args:
        frame_steps: Makes the work for a frame. What it raises is lost: it handles its own errors.
        queue_size: Most requests, and most sets, that are unfinished at a time.
        count_frames: Called with the numbers of frames that have just been received and dropped;
            a frame is dropped if it is replaced by a newer one or abandoned.
    """

    def __init__(
        self,
        frame_steps: Callable[[FrameT], Steps[None]],
        queue_size: int,
        count_frames: Callable[[int, int], None],
    ) -> None:
        self._frame_steps = frame_steps
        self._count_frames = count_frames
        self._queue_size = queue_size
        self._changed = threading.Condition()
        self._calls: deque[_Job] = deque()
        self._requests: deque[_Job] = deque()
        self._sets: deque[_Job] = deque()
        self._waiting_frame: FrameT | None = None
        self._frame: _Job | None = None
        self._request: _Job | None = None  # that has been begun
        self._running: _Job | None = None
        self._frame_is_next = True
        self._frame_interval = 0.0
        self._next_frame_time = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="facerot worker", daemon=True)
        self._thread.start()

    @property
    def pending_frames(self) -> int:
        """Frames that are waiting or being worked on: 0 to 3.

        The third is one that was abandoned during a step which has not come to its end.
        """
        with self._changed:
            running = self._running
            abandoned = running is not None and running.is_frame and running is not self._frame
            return (self._waiting_frame is not None) + (self._frame is not None) + abandoned

    @property
    def frame_seconds(self) -> float:
        """How long the frame that is worked on has been; 0 without one."""
        with self._changed:
            return 0.0 if self._frame is None else time.monotonic() - self._frame.started

    def limit_rate(self, rate: float) -> None:
        """Start at most ``rate`` frames a second, 0 meaning any number."""
        with self._changed:
            self._frame_interval = 1.0 / rate if rate > 0 else 0.0
            self._next_frame_time = 0.0
            self._changed.notify()

    def offer_frame(self, frame: FrameT) -> None:
        """Leave a frame to be worked on, in place of one that is still waiting."""
        with self._changed:
            self._count_frames(1, int(self._waiting_frame is not None))
            self._waiting_frame = frame
            self._changed.notify()

    def submit(self, steps: Steps[ResultT]) -> Future[ResultT]:
        """Queue a request.

        Raises:
            BusyError: As many as may wait are waiting.
        """
        return self._enqueue(self._requests, steps)

    def submit_set(self, steps: Steps[ResultT]) -> Future[ResultT]:
        """Queue a set of views, which takes turns with frames and other sets.

        Raises:
            BusyError: As many as may be unfinished are unfinished.
        """
        return self._enqueue(self._sets, steps)

    def call(self, function: Callable[[], ResultT]) -> Future[ResultT]:
        """Call a function in the worker's thread before any other work.

        The future can be cancelled until the call begins.
        """
        job = _Job(_single_step(function))
        with self._changed:
            if self._stopped:
                raise NotActiveError("the worker is stopped")
            self._calls.append(job)
            self._changed.notify()
        return job.future

    def abandon(self, reason: Exception) -> None:
        """Drop all frames, requests and sets; requests and sets fail with ``reason``.

        A step that is running goes on to its end.
        """
        with self._changed:
            jobs = [*self._requests, *self._sets, *([self._frame] if self._frame else [])]
            for job in jobs:
                job.future.set_exception(reason)
            idle = [job for job in jobs if job is not self._running]
            self._count_frames(0, (self._waiting_frame is not None) + (self._frame in idle))
            self._requests.clear()
            self._sets.clear()
            self._waiting_frame = self._frame = self._request = None
        for job in idle:
            _close(job)

    def stop(self, timeout: float) -> bool:
        """Abandon everything and end the thread, after any calls that are waiting.

        Returns:
            Whether the thread has ended; it may still be inside a step after ``timeout`` seconds.
        """
        self.abandon(NotActiveError("the node is shutting down"))
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _enqueue(self, queue: deque[_Job], steps: Steps[ResultT]) -> Future[ResultT]:
        job = _Job(steps)
        with self._changed:
            if self._stopped:
                raise NotActiveError("the node is shutting down")
            if len(queue) >= self._queue_size:
                raise BusyError(f"{len(queue)} requests are waiting already: ask again later")
            queue.append(job)
            self._changed.notify()
        return job.future

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                next(job.steps)
            except StopIteration as end:
                self._finish(job, end.value, None)
            except Exception as error:  # whatever a step raises is the result of its job
                self._finish(job, None, error)
            except BaseException as error:  # nor does code of others end the thread or its callers
                self._finish(job, None, RuntimeError(f"{type(error).__name__}: {error}"))
            else:
                self._pause(job)
            del job  # its pictures are not to be kept until the next one comes

    def _next_job(self) -> _Job | None:
        with self._changed:
            while (job := self._choose()) is None:
                if self._stopped:
                    return None
                delay = self._next_frame_time - time.monotonic()
                delay = min(delay, threading.TIMEOUT_MAX)
                self._changed.wait(delay if self._waiting_frame is not None else None)
            self._running = job
            return job

    def _choose(self) -> _Job | None:
        while self._calls:
            call = self._calls[0]
            if call.future.running() or call.future.set_running_or_notify_cancel():
                return call
            self._calls.popleft()
        if begun := self._frame or self._request:
            return begun
        if self._frame_is_next or not (self._requests or self._sets):
            self._begin_frame()
            if self._frame is not None:
                self._frame_is_next = False
                return self._frame
        if self._requests:
            self._frame_is_next = True
            self._request = self._requests[0]
            return self._request
        if self._sets:
            self._frame_is_next = True
            return self._sets[0]
        return None

    def _begin_frame(self) -> None:
        """Begin the frame that waits, if there is one and it is time for it."""
        now = time.monotonic()
        if self._waiting_frame is not None and now >= self._next_frame_time:
            self._next_frame_time = now + self._frame_interval
            self._frame = _Job(self._frame_steps(self._waiting_frame), is_frame=True)
            self._waiting_frame = None

    def _pause(self, job: _Job) -> None:
        with self._changed:
            self._running = None
            abandoned = job.future.done()
            if abandoned and job.is_frame:
                self._count_frames(0, 1)
            if self._sets and self._sets[0] is job:
                self._sets.rotate(-1)
        if abandoned:
            _close(job)

    def _finish(self, job: _Job, result: object, error: BaseException | None) -> None:
        with self._changed:
            self._running = None
            if job.future.done():
                return
            for queue in (self._calls, self._requests, self._sets):
                if queue and queue[0] is job:
                    queue.popleft()
            if self._frame is job:
                self._frame = None
            if self._request is job:
                self._request = None
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def _close(job: _Job) -> None:
    """End work that has been abandoned; an error in its tidying up has nobody to go to."""
    with suppress(Exception):
        job.steps.close()


def _single_step(function: Callable[[], ResultT]) -> Steps[ResultT]:
    yield from ()
    return function()
