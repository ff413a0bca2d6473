"""What the machine can do at all, with the cores that this process may use."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from opendr_facerot.benchmark.measurement import durations

PRODUCT_SIDE = 2048  # of the matrices: large enough that more does not raise the rate
COPIED_BYTES = 1 << 26
_RUNS = 20


def product_durations(precision: str) -> list[float]:
    """Seconds of each of some of PyTorch's products of two square matrices.

    Args:
        precision: Name of a torch dtype, e.g. ``"bfloat16"``.
    """
    import torch

    dtype: Any = getattr(torch, precision)
    left = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE).to(dtype)
    return durations(lambda: left @ left, _RUNS)


def product_rate(precision: str) -> float:
    """Multiplications with addition a second of PyTorch's matrix product."""
    return PRODUCT_SIDE**3 / statistics.median(product_durations(precision))


def small_product_durations() -> list[float]:
    """Seconds of each of NumPy's float32 products of 512 x 512 matrices, a unit for small work."""
    left = np.random.default_rng(0).random((512, 512), np.float32)
    return durations(lambda: left @ left, _RUNS)


def small_product() -> dict[str, float]:
    """The baseline of small work, by its name."""
    return {"a product of 512 x 512 matrices": statistics.median(small_product_durations())}


def copy_durations() -> list[float]:
    """Seconds of each time that 64 MiB are copied from memory to memory."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    return durations(lambda: np.copyto(target, source), _RUNS)


def copy_rate() -> float:
    """Bytes a second that are copied from memory to memory."""
    return COPIED_BYTES / statistics.median(copy_durations())
