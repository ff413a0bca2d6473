"""Following a face against fitting every frame by itself: time, flicker and lag in the same run.

    python benchmarks/bench_tracking.py [--photo photo.png] [--frames 60] [--json report.json]

The streams are made of a photo, 640x480 at 30 Hz with sensor noise: *swaying* moves it by fractions
of a pixel, in size and brightness; *turning* turns its head by 20 degrees to either side and back,
and *talking* opens its mouth, both with the pipeline itself. Flicker is the mean difference between
successive frames in the outline of the face, in grey levels: that of the input, its faces laid on
one another, and those of views at fixed yaws. The lag is the delay of the true yaw, in frames, that
with a factor and an offset explains the found one best; the error is what is then left of it. The
true yaws are those that the pipeline was asked for.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.sequences import evaluate_sequence
from opendr_facerot.evaluation.streams import RATE, StreamFrame, swaying, talking, turning
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.head import HeadRotator

NINE_VIEWS = facerot.view_grid(yaw=range(-60, 61, 15), degrees=True)
YAWS_DEG = (0, 30, 60)
_PHOTO = Path(__file__).parents[1] / "test" / "data" / "astronaut.png"
_DELAYS = np.arange(-3.0, 8.0, 0.1)
_SETTLED = 10  # frames

Row = dict[str, float]


def measure_time(rotator: HeadRotator, frames: Sequence[StreamFrame]) -> dict[str, Row]:
    """Median milliseconds of each stage and of the whole, with tracking and without."""
    tracker = rotator.track()
    tracked: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {}
    for k, frame in enumerate(frames):
        start = time.perf_counter()
        (face, *_) = tracker.fit(frame.image, frame.stamp)
        fitted = time.perf_counter()
        list(rotator.render(face, NINE_VIEWS))
        rendered = time.perf_counter()
        if k:  # the first frame is fitted in full
            _add(tracked, face.timings, whole=fitted - start, views=rendered - fitted)
        if k % 5 == 0:
            start = time.perf_counter()
            face = rotator.fit(frame.image)[0]
            _add(alone, face.timings, whole=time.perf_counter() - start)
    tracker.close()
    return {
        name: {stage: 1e3 * statistics.median(values) for stage, values in times.items()}
        for name, times in (("tracked", tracked), ("full fit", alone))
    }


def _add(times: dict[str, list[float]], stages: Mapping[str, float], **others: float) -> None:
    for stage, seconds in {**stages, **others}.items():
        times.setdefault(stage, []).append(seconds)


def measure_flicker(rotator: HeadRotator, frames: Sequence[StreamFrame]) -> dict[str, Row]:
    """Flicker of the input and of views, with tracking and without, over the same frames."""
    observer = FaceObserver()
    views = facerot.view_grid(yaw=YAWS_DEG, degrees=True)
    images = [frame.image for frame in frames]
    rows: dict[str, Row] = {}
    for name, rate in (("tracked", RATE), ("full fit", None)):
        _, scores = evaluate_sequence(rotator, observer, images, views, rate)
        rows[name] = {"input": scores[0].temporal_input or math.nan}
        for yaw, score in zip(YAWS_DEG, scores, strict=True):
            rows[name][f"yaw {yaw}"] = score.temporal_view or math.nan
    return rows


def measure_lag(rotator: HeadRotator, frames: Sequence[StreamFrame]) -> dict[str, Row]:
    """Error and delay of the yaw found, with tracking and without."""
    tracker = rotator.track()
    tracked = np.array([tracker.fit(frame.image, frame.stamp)[0].yaw for frame in frames])
    tracker.close()
    alone = np.array([rotator.fit(frame.image)[0].yaw for frame in frames])
    true = np.array([frame.yaw for frame in frames])
    return {"tracked": _lag(true, tracked), "full fit": _lag(true, alone)}


def _lag(true: NDArray[np.floating], found: NDArray[np.floating]) -> Row:
    k = np.arange(len(true))
    fits = []
    for delay in _DELAYS.tolist():
        shifted = np.interp(k - delay, k, true)[_SETTLED:]
        basis = np.c_[shifted, np.ones_like(shifted)]
        factors = np.linalg.lstsq(basis, found[_SETTLED:], rcond=None)[0]
        left = basis @ factors - found[_SETTLED:]
        fits.append((float(np.sqrt(np.mean(left**2))), float(delay), float(factors[0])))
    error, delay, factor = min(fits)
    whole = float(np.sqrt(np.mean((found - true) ** 2)))
    return {
        "RMS error, degrees": math.degrees(whole),
        "delay, frames": delay,
        "factor": factor,
        "RMS error left, degrees": math.degrees(error),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photo", type=Path, default=_PHOTO)
    parser.add_argument("--frames", type=int, default=60, help="of each stream")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    photo = read_image(options.photo)
    rotator = HeadRotator(HeadRotator.Settings())
    count = options.frames
    turned = list(turning(rotator, photo, count, math.radians(20.0), 0.5))
    streams = {
        "swaying": list(swaying(photo, count)),
        "turning": turned,
        "talking": list(talking(rotator, photo, count, 1.0)),
    }
    report: dict[str, dict[str, Row]] = {"milliseconds": measure_time(rotator, streams["swaying"])}
    for name, frames in streams.items():
        report[f"flicker, {name}"] = measure_flicker(rotator, frames)
    report["yaw of turning"] = measure_lag(rotator, turned)
    for title, rows in report.items():
        print(f"\n{title}")
        for row, values in rows.items():
            cells = ", ".join(f"{name} {value:.2f}" for name, value in values.items())
            print(f"  {row}: {cells}")
    times = report["milliseconds"]
    print(f"\ntracked : full fit = {times['tracked']['whole'] / times['full fit']['whole']:.3f}")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
