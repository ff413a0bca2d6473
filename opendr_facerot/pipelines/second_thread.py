"""Parts of a fit that run beside one another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from opendr_facerot.threads import is_undivided, thread_count

Result = TypeVar("Result")


class SecondThread:
    """A thread for work that does not depend on what its caller does meanwhile.

    Thread-safe. Work that is given to it must not wait for other work of it.

    Args:
        threads: Cores to use; None for those that this process may run on. With one, there is no
            second thread. Does not affect results.
    """

    def __init__(self, threads: int | None = None) -> None:
        threads = thread_count() if threads is None else threads
        self._pool = ThreadPoolExecutor(1, "facerot fit") if threads > 1 else None

    def start(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Begin some work.

        Returns:
            What waits for the work's result or raises its error, to be called once. The caller
            itself does the work then if the thread is still busy with another caller's, and within
            :func:`opendr_facerot.threads.undivided`.
        """
        if self._pool is None or is_undivided():
            return work
        begun = self._pool.submit(work)

        def finish() -> Result:
            return work() if begun.cancel() else begun.result()

        return finish

    def close(self) -> None:
        """End the thread when it is through with what it has begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
