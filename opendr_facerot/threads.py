"""How many threads the package's numerics use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from threading import Lock, get_native_id, local

from threadpoolctl import ThreadpoolController

_STANDING_BACK = 10  # of niceness: a tenth of the time, where the other thread wants all of it
_NICEST = 19

_here = local()


@contextmanager
def undivided() -> Iterator[None]:
    """Context in which the calling thread's work is not split: other work goes on beside it."""
    before = is_undivided()
    _here.undivided = True
    try:
        yield
    finally:
        _here.undivided = before


def is_undivided() -> bool:
    """Whether the calling thread is within :func:`undivided`."""
    return getattr(_here, "undivided", False)


def stand_back() -> None:
    """Leave the cores to other threads that want them, where the system counts threads one by one.

    For good: the calling thread's niceness is raised.
    """
    if sys.platform == "linux":
        here = get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, here) + _STANDING_BACK
        os.setpriority(os.PRIO_PROCESS, here, min(niceness, _NICEST))


def thread_count() -> int:
    """Threads for work that is worth splitting: the cores this process may run on.

    1 within :func:`undivided`.
    """
    return 1 if is_undivided() else max(1, len(os.sched_getaffinity(0)))


@cache
def _controller() -> ThreadpoolController:
    """Looking for the process's BLAS takes milliseconds, and it stays what NumPy has loaded."""
    return ThreadpoolController()


class _SingleThreadedBlas:
    """A limit of one BLAS thread, in force while anyone asks for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limit = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._limit.enter_context(self._limited())
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._limit.close()

    def _limited(self) -> AbstractContextManager[object]:
        limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
        return limit


single_threaded_blas = _SingleThreadedBlas()
"""Context in which the process's BLAS uses one thread.

The matrices here are small. BLAS's threads gain nothing on them, and where another process wants
the cores too, as on a robot, they wait for one another: a fit of 12 ms then takes 300.
"""
