"""Pipeline ``rotate_and_render`` with a generator of the published size and random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.ceilings import small_product
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import Measurement, StageTimes, durations
from opendr_facerot.benchmark.scenes import NINE_VIEWS
from opendr_facerot.generate.landmark_labels import label_from_heat_maps, line_heat_maps
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.rotate_and_render import (
    NATIVE_SIZE,
    RotateAndRenderRotator,
    RotateAndRenderSettings,
)
from opendr_facerot.weights.synthetic import write_synthetic

_BATCH = 4


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """The stages of a fit and of a view, and nine views."""
    torch.set_num_threads(conditions.threads)
    unit = small_product()
    photo = read_image(conditions.photo)
    with tempfile.TemporaryDirectory(prefix="facerot-bench-") as folder:
        write_synthetic(folder, ngf=64)
        rotator = RotateAndRenderRotator(
            RotateAndRenderSettings(weights=Path(folder), device="cpu", batch_size=_BATCH)
        )
    face = rotator.fit(photo)[0]
    stages = StageTimes()
    whole = durations(lambda: stages.add(rotator.fit(photo)[0].timings), conditions.runs)
    for stage, seconds in stages.seconds.items():
        yield conditions.measured(f"rotate_and_render, fit: {stage}", seconds[1:], unit)
    yield conditions.measured("rotate_and_render, fit", whole, unit)
    view = NINE_VIEWS[2]
    turn = durations(lambda: rotator.turn(face.state, view), conditions.runs)
    yield conditions.measured("rotate_and_render, mesh of a view", turn, unit)
    turned = [rotator.turn(face.state, view) for view in NINE_VIEWS[:_BATCH]]
    landmarks = turned[2].landmarks68
    label = durations(
        lambda: label_from_heat_maps(line_heat_maps(landmarks, NATIVE_SIZE, 1.0)), conditions.runs
    )
    yield conditions.measured(names.LABEL, label, unit)
    generated = durations(lambda: rotator.generate(turned, photo_yaw=0.0), conditions.runs)
    each = [seconds / len(turned) for seconds in generated]
    yield conditions.measured("rotate_and_render, label and generation of a view", each, unit)
    views = durations(lambda: list(rotator.render(face, NINE_VIEWS)), conditions.runs)
    yield conditions.measured(names.NINE_GENERATED, views, unit)
    yield conditions.peak_memory("rotate_and_render, peak memory")
    rotator.close()
