"""How the package's Numba kernels are compiled, and where their machine code is kept.

Compiling takes seconds, so the machine code is kept in ``$NUMBA_CACHE_DIR``, else beside the
module, else, where the package is installed read-only, in the user's cache directory. Where none
of these can be written to, a kernel is compiled in each process that uses it: a directory open to
others, like ``/tmp``, would let them choose the code that runs here.

Numba takes cached code for new as long as the kernel's own file is unchanged. A kernel must
therefore not call functions nor read constants of another file; it gets them as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

_compiled = partial(njit, nogil=True, error_model="numpy")
# Numba counts references to arrays around each branch, which costs a third of a kernel that works
# pixel by pixel. One that allocates nothing needs no counts, and without them would not compile
# if it did.
_RELAXED: dict[str, Any] = {"fastmath": {"contract", "reassoc", "arcp", "nsz"}, "_nrt": False}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for all arguments' types met, without the GIL and without fused multiply-add."""
    return _kept(function)


def relaxed_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like :func:`kernel`, but sums may be fused and reordered: last bits depend on the machine.

    The kernel cannot make arrays.
    """
    return _kept(function, **_RELAXED)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a part of the kernels of the same file: its code goes into each that calls it."""
    return _compiled(inline="always")(function)


def relaxed_inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a part of the relaxed kernels of the same file.

    The machine code goes into each that calls it, not the source: that compiles large kernels
    several times faster than :func:`inlined`.
    """
    return _compiled(forceinline=True, **_RELAXED)(function)


def _kept(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    try:
        return _compiled(cache=True, **options)(function)
    except RuntimeError:  # Numba's for: no directory of a cache can be written to
        return _compiled(**options)(function)
