"""What is measured inside one process: stages and pipelines, beside their baselines."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.benchmark.ceilings import copy_rate, product_rate, small_product_seconds
from opendr_facerot.benchmark.measurement import Measurement, durations, measurement
from opendr_facerot.imaging import read_image
from opendr_facerot.render.rasterize import rasterize

_NINE_VIEWS = facerot.view_grid(yaw=range(-60, 61, 15), degrees=True)
_GENERATOR_PRODUCTS = 65.28e9  # multiplications with addition for one view, at the published size
_COPIED_VIEW = 256 * 256 * 3


@dataclass(frozen=True)
class Conditions:
    """Under which a scenario runs.

    Attributes:
        photo: Photo of a face.
        threads: Cores that this process may use.
        runs: Of each figure.
        slow_runs: Of figures that take a second or more each.
    """

    photo: Path
    threads: int
    runs: int
    slow_runs: int

    def measured(
        self, name: str, values: list[float], baselines: Mapping[str, float]
    ) -> Measurement:
        """A measurement under these conditions."""
        return measurement(name, self.threads, values, baselines)


def head(conditions: Conditions) -> Iterator[Measurement]:
    """Pipeline ``head``: the stages of the fit, views, and both together."""
    unit = {"a product of 512 x 512 matrices": small_product_seconds()}
    photo = read_image(conditions.photo)
    rotator = facerot.load("head")
    face = rotator.fit(photo)[0]
    stages: dict[str, list[float]] = {}

    def fit() -> None:
        for stage, seconds in rotator.fit(photo)[0].timings.items():
            stages.setdefault(stage, []).append(seconds)

    whole = durations(fit, conditions.runs)
    for stage, seconds in stages.items():
        yield conditions.measured(f"head, fit: {stage}", seconds[1:], unit)
    yield conditions.measured("head, fit", whole, unit)
    for size in (256, 1024):
        rotator.settings = replace(rotator.settings, output_size=size)
        views = durations(lambda: list(rotator.render(face, _NINE_VIEWS)), conditions.runs)
        each = [seconds / len(_NINE_VIEWS) for seconds in views]
        copied = (size / 256) ** 2 * _COPIED_VIEW / copy_rate()
        baselines = {**unit, "copying its pixels": copied}
        yield conditions.measured(f"head, a view of {size} pixels", each, baselines)
    rotator.settings = replace(rotator.settings, output_size=256)
    both = durations(
        lambda: list(rotator.render(rotator.fit(photo)[0], _NINE_VIEWS)), conditions.runs
    )
    yield conditions.measured("head, photo to nine views", both, unit)
    rotator.close()


def rasterizer(conditions: Conditions) -> Iterator[Measurement]:
    """The CPU rasteriser against the naive one on a small scene, and on a large one by itself."""
    small, large = ellipsoid(24), ellipsoid(230)
    naive = durations(lambda: rasterize(*small, 64, backend="reference"), conditions.slow_runs)
    fast = durations(lambda: rasterize(*small, 64, backend="cpu"), conditions.runs)
    small_name = f"rasteriser, {len(small[1])} triangles, 64 pixels"
    baselines = {"the naive rasteriser": statistics.median(naive)}
    yield conditions.measured(small_name, fast, baselines)
    seconds = durations(lambda: rasterize(*large, 512, backend="cpu"), conditions.runs)
    name = f"rasteriser, {len(large[1])} triangles, 512 pixels"
    unit = {"a product of 512 x 512 matrices": small_product_seconds()}
    yield conditions.measured(name, seconds, unit)


def generator(conditions: Conditions) -> Iterator[Measurement]:
    """The generator at the published size: as trained, and the fastest way, in both precisions."""
    import torch

    from opendr_facerot.generate.inference import fast_generator, generate_views
    from opendr_facerot.weights.synthetic import synthetic_generator

    torch.set_num_threads(conditions.threads)
    rates = {name: product_rate(name) for name in ("float32", "bfloat16")}
    trained = synthetic_generator(0, ngf=64)
    random = np.random.default_rng(0)
    rotated: NDArray[np.float32] = random.uniform(-1, 1, (4, 3, 256, 256)).astype(np.float32)
    labels = (random.random((4, 5, 256, 256)) > 0.95).astype(np.float32)
    as_trained: dict[int, float] = {}
    networks: dict[str, torch.nn.Module] = {"as trained, float32": trained}
    for precision in rates:
        dtype = getattr(torch, precision)
        networks[f"fast, {precision}"] = fast_generator(trained, torch.device("cpu"), dtype)
    for name, network in networks.items():
        rate = rates[name.rpartition(" ")[2]]
        for batch in (1, 4):

            def run(network: torch.nn.Module = network, batch: int = batch) -> None:
                generate_views(network, rotated[:batch], labels[:batch], batch_size=batch)

            runs = conditions.slow_runs if "float32" in name else conditions.runs
            each = [seconds / batch for seconds in durations(run, runs)]
            as_trained.setdefault(batch, statistics.median(each))
            baselines = {"the machine's matrix products": _GENERATOR_PRODUCTS / rate}
            if network is not trained:
                baselines["as trained"] = as_trained[batch]
            title = f"generator, {name}, a view of {batch}"
            yield conditions.measured(title, each, baselines)


def rotate_and_render(conditions: Conditions) -> Iterator[Measurement]:
    """Pipeline ``rotate_and_render`` with a generator of the published size and random weights."""
    import torch

    from opendr_facerot.pipelines.rotate_and_render import (
        RotateAndRenderRotator,
        RotateAndRenderSettings,
    )
    from opendr_facerot.weights.synthetic import write_synthetic

    torch.set_num_threads(conditions.threads)
    unit = {"a product of 512 x 512 matrices": small_product_seconds()}
    photo = read_image(conditions.photo)
    with tempfile.TemporaryDirectory(prefix="facerot-bench-") as folder:
        write_synthetic(folder, ngf=64)
        rotator = RotateAndRenderRotator(
            RotateAndRenderSettings(weights=Path(folder), device="cpu")
        )
    face = rotator.fit(photo)[0]
    stages: dict[str, list[float]] = {}

    def fit() -> None:
        for stage, seconds in rotator.fit(photo)[0].timings.items():
            stages.setdefault(stage, []).append(seconds)

    whole = durations(fit, conditions.runs)
    for stage, seconds in stages.items():
        yield conditions.measured(f"rotate_and_render, fit: {stage}", seconds[1:], unit)
    yield conditions.measured("rotate_and_render, fit", whole, unit)
    turn = durations(lambda: rotator.turn(face.state, _NINE_VIEWS[2]), conditions.runs)
    yield conditions.measured("rotate_and_render, mesh of a view", turn, unit)
    turned = [rotator.turn(face.state, view) for view in _NINE_VIEWS[:4]]
    generated = durations(lambda: rotator.generate(turned, photo_yaw=0.0), conditions.slow_runs)
    each = [seconds / len(turned) for seconds in generated]
    yield conditions.measured("rotate_and_render, generation of a view", each, unit)
    views = durations(lambda: list(rotator.render(face, _NINE_VIEWS)), conditions.slow_runs)
    yield conditions.measured("rotate_and_render, nine views", views, unit)
    rotator.close()


SCENARIOS: Mapping[str, Callable[[Conditions], Iterator[Measurement]]] = {
    scenario.__name__: scenario for scenario in (head, rasterizer, generator, rotate_and_render)
}


def ellipsoid(count: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and 2 * count * (count - 1) triangles of a closed surface that fills the image."""
    polar, around = np.meshgrid(
        np.linspace(0.0, np.pi, count),
        np.linspace(0.0, 2.0 * np.pi, count, endpoint=False),
        indexing="ij",
    )
    x = 0.7 * np.sin(polar) * np.cos(around)
    z = 2.7 + 0.7 * np.sin(polar) * np.sin(around)
    vertices = np.stack([x, 0.9 * np.cos(polar), z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(count * count, dtype=np.int32).reshape(count, count)
    here, below = index[:-1], index[1:]
    right, below_right = (np.roll(row, -1, axis=1) for row in (here, below))
    corners = [here, below, right], [right, below, below_right]
    faces = [np.stack(triple, axis=-1).reshape(-1, 3) for triple in corners]
    return vertices, np.concatenate(faces)
