"""Running a kernel over bands of image rows in threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from opendr_facerot.threads import thread_count

_BANDS_PER_THREAD = 8  # rows differ in cost: more bands than threads even it out


@cache
def _pool(helpers: int, process: int) -> ThreadPoolExecutor:
    del process  # a forked child has none of its parent's threads: it makes its own pool
    return ThreadPoolExecutor(helpers, thread_name_prefix="facerot-render")


def run_bands(kernel: Callable[[int, int], None], rows: int, threads: int | None = None) -> None:
    """Call ``kernel(first, last)`` for bands that together cover ``range(rows)``.

    Kernels release the GIL. A thread pool instead of Numba's own, whose default threading layer
    aborts the process when two Python threads enter it.

    Args:
        kernel: Called with half-open row ranges, from several threads at once.
        rows: Number of rows.
        threads: Number of threads, the calling one included; None for all. Does not affect the
            result.
    """
    threads = thread_count() if threads is None else threads
    if threads == 1 or rows <= 1:
        if rows:
            kernel(0, rows)
        return
    count = min(rows, threads * _BANDS_PER_THREAD)
    limits = [rows * k // count for k in range(count + 1)]
    bands = iter(list(pairwise(limits)))  # shared: the GIL lets one thread at a time take a band

    def work() -> None:
        for first, last in bands:
            kernel(first, last)

    pool = _pool(threads - 1, os.getpid())
    helpers = [pool.submit(work) for _ in range(min(threads, count) - 1)]
    try:
        work()
    finally:
        # Helpers that are busy with another call's bands are not needed any more.
        for helper in helpers:
            if not helper.cancel():
                helper.result()
