"""Pipeline ``head``: the stages of a fit, views by number and size, faces by number, a stream."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.ceilings import copy_rate, small_product
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import Measurement, StageTimes, durations
from opendr_facerot.benchmark.scenes import NINE_VIEWS, VIEW_SERIES, square_photo
from opendr_facerot.evaluation.streams import swaying
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.rotator import FittedFace
from opendr_facerot.views import View

_FRAMES_PER_RUN = 2
_SETTLED = 5  # frames of a stream; the first one is fitted in full


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """All that the pipeline does, from a camera's frame on."""
    unit, bytes_per_second = small_product(), copy_rate()
    photo = read_image(conditions.photo)
    frame = next(swaying(photo, 1)).image
    rotator = HeadRotator(HeadRotator.Settings())
    stages = StageTimes()
    whole = durations(lambda: stages.add(rotator.fit(frame)[0].timings), conditions.runs)
    for stage, seconds in stages.seconds.items():
        yield conditions.measured(f"head, fit: {stage}", seconds[1:], unit)
    yield conditions.measured(names.FIT, whole, unit)
    both = durations(lambda: _render(rotator, rotator.fit(frame)[0], NINE_VIEWS), conditions.runs)
    yield conditions.measured("head, frame to nine views", both, unit)
    yield conditions.peak_memory(names.HEAD_MEMORY)
    yield from _faces(conditions, rotator, square_photo(photo), unit)
    copied = {"copying its pixels": 256 * 256 * 3 / bytes_per_second}
    yield from _views(conditions, rotator, rotator.fit(frame)[0], {**unit, **copied})
    fit = {"a fit": statistics.median(whole)}
    yield from _stream(conditions, rotator, photo, {**unit, **fit})
    yield conditions.peak_memory("head, peak memory of all this")
    rotator.close()


def _faces(
    conditions: Conditions,
    rotator: HeadRotator,
    photo: NDArray[np.uint8],
    unit: Mapping[str, float],
) -> Iterator[Measurement]:
    side = len(photo)
    one = durations(lambda: rotator.fit(photo), conditions.runs)
    yield conditions.measured(f"head, fit of a photo of {side}x{side}", one, unit)
    four_photos = np.tile(photo, (2, 2, 1))
    four = durations(lambda: rotator.fit(four_photos), conditions.runs)
    baselines = {**unit, "four such fits": 4 * statistics.median(one)}
    yield conditions.measured("head, fit of four of them side by side", four, baselines)


def _views(
    conditions: Conditions, rotator: HeadRotator, face: FittedFace, baselines: Mapping[str, float]
) -> Iterator[Measurement]:
    single = 0.0
    for views in VIEW_SERIES:
        count = len(views)
        seconds = durations(partial(_render, rotator, face, views), conditions.runs)
        single = single or statistics.median(seconds)
        singles = {"as many single views": count * single}
        name = f"head, {count} view{'s' * (count > 1)} of 256 pixels"
        yield conditions.measured(name, seconds, singles)
        if views is NINE_VIEWS:
            small = [s / count for s in seconds]
    yield conditions.measured(names.VIEW, small, baselines)
    rotator.settings = replace(rotator.settings, output_size=1024)
    seconds = durations(partial(_render, rotator, face, NINE_VIEWS), conditions.runs)
    rotator.settings = replace(rotator.settings, output_size=256)
    large = [s / len(NINE_VIEWS) for s in seconds]
    over_small = {names.SINGLE_VIEW: statistics.median(small)}
    yield conditions.measured(names.LARGE_VIEW, large, over_small)


def _render(rotator: HeadRotator, face: FittedFace, views: Sequence[View]) -> None:
    for _ in rotator.render(face, views):
        pass


def _stream(
    conditions: Conditions,
    rotator: HeadRotator,
    photo: NDArray[np.uint8],
    baselines: Mapping[str, float],
) -> Iterator[Measurement]:
    tracker = rotator.track()
    stages = StageTimes()
    fitted, rendered = [], []
    for index, frame in enumerate(swaying(photo, _SETTLED + _FRAMES_PER_RUN * conditions.runs)):
        start = time.perf_counter()
        face = tracker.fit(frame.image, frame.stamp)[0]
        fitted_at = time.perf_counter()
        _render(rotator, face, NINE_VIEWS)
        rendered_at = time.perf_counter()
        if index >= _SETTLED:
            stages.add(face.timings)
            fitted.append(fitted_at - start)
            rendered.append(rendered_at - start)
    tracker.close()
    for stage, seconds in stages.seconds.items():
        if len(seconds) == len(fitted):  # others are those of an occasional full fit
            yield conditions.measured(f"head, tracked frame: {stage}", seconds, baselines)
    yield conditions.measured(names.TRACKED, fitted, baselines)
    yield conditions.measured("head, tracked frame and nine views", rendered, baselines)
