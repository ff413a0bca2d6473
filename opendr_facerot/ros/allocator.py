"""The GNU C library's allocator, in a process that lives for months; others are left as they are.

See mallopt(3) and malloc_trim(3).
"""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def share_pools() -> None:
    """Let all threads allocate from two pools.

    Each new thread gets a pool of its own otherwise, which keeps what was freed: with every
    activation, which starts threads, the process would grow.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)


def return_freed_memory() -> None:
    """Give what the pools keep back to the system."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(ctypes.c_size_t(0))
