"""The generator at its published size with random weights: as trained, and the fastest ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.ceilings import product_rate
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import SHARE, Measurement, durations
from opendr_facerot.generate.inference import fast_generator, generate_views
from opendr_facerot.weights.synthetic import synthetic_generator

PRODUCTS = 65.28e9
"""Multiplications with addition for one view."""

ALLOWED_OFF = 0.005
"""Share of the pixels that may be more than :data:`STEPS` off."""
STEPS = 2.0
"""Of 255."""

_SIZE, _BATCH = 256, 4


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """Seconds per view against the trained network's and the machine's, and exactness."""
    torch.set_num_threads(conditions.threads)
    rates = {name: product_rate(name) for name in ("float32", "bfloat16")}
    trained = synthetic_generator(0, ngf=64)
    views, labels = generator_inputs(_BATCH)
    exact = generate_views(trained, views, labels)
    as_trained: dict[int, float] = {}

    def measured(kind: str, network: nn.Module, precision: str, batch: int) -> Measurement:
        def run() -> None:
            generate_views(network, views[:batch], labels[:batch], batch_size=batch)

        # As many views in float32, which takes seconds, however large the batch.
        runs = conditions.runs if precision != "float32" else -(-conditions.runs // batch)
        each = [seconds / batch for seconds in durations(run, runs)]
        baselines = {names.PRODUCTS: PRODUCTS / rates[precision]}
        if batch in as_trained:
            baselines["as trained"] = as_trained[batch]
        name = f"generator, {kind}, {precision}, a view"
        return conditions.measured(name + f" of {batch}" * (batch > 1), each, baselines)

    for batch in (1, _BATCH):
        one = measured("as trained", trained, "float32", batch)
        yield one
        as_trained[batch] = one.median
    for precision in rates:
        network = fast_generator(trained, torch.device("cpu"), getattr(torch, precision))
        for batch in (1, _BATCH):
            yield measured("fast", network, precision, batch)
        off = share_off(generate_views(network, views, labels), exact)
        name = f"generator, fast, {precision}: pixels more than {STEPS:g} of 255 steps off"
        yield conditions.measured(name, [off], {"what is allowed": ALLOWED_OFF}, SHARE)
    yield conditions.peak_memory("generator, peak memory, as trained and fast")


def generator_inputs(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Views ``(count, 3, 256, 256)`` as smooth as pictures, over all colours, and labels."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.uniform(-1.0, 1.0, (count, 3, 16, 16)).astype(np.float32))
    views: NDArray[np.float32] = nn.functional.interpolate(coarse, _SIZE, mode="bilinear").numpy()
    labels = (random.random((count, 5, _SIZE, _SIZE)) > 0.95).astype(np.float32)
    return views, labels


def share_off(result: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Share of the pixels of ``(B, 3, S, S)`` in [-1, 1] with a colour more than 2 of 255 off."""
    steps = 127.5 * np.abs(result - exact).max(axis=1)
    return float((steps > STEPS).mean())
