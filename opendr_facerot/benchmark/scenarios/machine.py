"""The machine's own ceilings."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from opendr_facerot.benchmark.ceilings import (
    COPIED_BYTES,
    PRODUCT_SIDE,
    copy_durations,
    product_durations,
    small_product_durations,
)
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import Measurement


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """Copying and multiplying, without ratios: these are what ratios are taken to."""
    name = f"machine, copying {COPIED_BYTES >> 20} MiB"
    yield conditions.measured(name, copy_durations(), {})
    name = "machine, NumPy's product of 512 x 512 matrices, float32"
    yield conditions.measured(name, small_product_durations(), {})
    if find_spec("torch"):
        for precision in ("float32", "bfloat16"):
            name = f"machine, PyTorch's product of {PRODUCT_SIDE} x {PRODUCT_SIDE} matrices"
            yield conditions.measured(f"{name}, {precision}", product_durations(precision), {})
