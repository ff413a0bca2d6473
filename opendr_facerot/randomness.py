"""Sources of random numbers.

``numpy.random.Generator`` is the one to use. ``numpy.random.RandomState`` repeats what NumPy's
legacy global functions draw after ``numpy.random.seed``, and so the choices of older programs.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

RandomSource: TypeAlias = np.random.Generator | np.random.RandomState


def draw_integer(source: RandomSource, low: int, high: int) -> int:
    """A random integer of ``low`` to ``high - 1``."""
    if isinstance(source, np.random.RandomState):
        return int(source.randint(low, high))
    return int(source.integers(low, high))
