"""What the machine can do at all, with the cores that this process may use."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from opendr_facerot.benchmark.measurement import durations

_SIDE = 2048  # of the matrices: large enough that more does not raise the rate
_RUNS = 10


def product_rate(precision: str) -> float:
    """Multiplications with addition a second of PyTorch's matrix product.

    Args:
        precision: Name of a torch dtype, e.g. ``"bfloat16"``.
    """
    import torch

    dtype: Any = getattr(torch, precision)
    left = torch.rand(_SIDE, _SIDE).to(dtype)
    return _SIDE**3 / statistics.median(durations(lambda: left @ left, _RUNS))


def small_product_seconds() -> float:
    """Seconds of NumPy's float32 product of 512 x 512 matrices, a unit for small work."""
    left = np.random.default_rng(0).random((512, 512), np.float32)
    return statistics.median(durations(lambda: left @ left, 3 * _RUNS))


def copy_rate() -> float:
    """Bytes a second that are copied from memory to memory."""
    source = np.ones(1 << 26, np.uint8)
    target = np.empty_like(source)
    return len(source) / statistics.median(durations(lambda: np.copyto(target, source), _RUNS))
