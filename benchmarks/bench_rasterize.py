"""Time of the rasteriser's backends and of a head view, as ratios to what the same run measures.

    python benchmarks/bench_rasterize.py [--backends cpu torch] [--device cuda] [--repeat 20]
        [--photo photo.png] [--json report.json]

Each case runs with one thread and with two, after a warm-up: least, median and quartiles of the
times, the processor time of a call, and the ratio of the median to the time of copying 16 MiB. The
naive oracle, which tests every face against the whole image, is timed on an equally spaced part of
the faces and scaled up: its cost is proportional to their number. ``--photo`` adds views of the
head in a photo.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.rasterize import available_backends, rasterize

CASES = (
    ("head, one-sided", 144, False, 512),
    ("head, one-sided", 144, False, 2048),
    ("Basel Face Model, one-sided", 230, False, 512),
    ("Basel Face Model, two-sided", 230, True, 512),
)
ORACLE_FACES = 200
VIEW_COUNTS = (1, 9, 37, 169)
_COPIED = 1 << 24  # bytes

Row = dict[str, object]


def ellipsoid(count: int, two_sided: bool) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A closed surface that fills most of the image: 2 * count**2 triangles, or twice that."""
    polar, around = np.meshgrid(
        np.linspace(0.0, np.pi, count),
        np.linspace(0.0, 2.0 * np.pi, count, endpoint=False),
        indexing="ij",
    )
    x = 0.7 * np.sin(polar) * np.cos(around)
    y = 0.9 * np.cos(polar)
    z = 2.7 + 0.7 * np.sin(polar) * np.sin(around)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    index = np.arange(count * count, dtype=np.int32).reshape(count, count)
    here, below = index[:-1], index[1:]
    right, below_right = (np.roll(row, -1, axis=1) for row in (here, below))
    corners = [here, below, right], [right, below, below_right]
    faces = np.concatenate([np.stack(triple, axis=-1).reshape(-1, 3) for triple in corners])
    return vertices, np.concatenate([faces, faces[:, ::-1]]) if two_sided else faces


def measure(call: Callable[[], object], repeat: int) -> Row:
    """Times of ``repeat`` calls after two that warm up, in milliseconds."""
    wall, busy = [], []
    for _ in range(repeat + 2):
        start, start_busy = time.perf_counter(), time.process_time()
        call()
        wall.append(1e3 * (time.perf_counter() - start))
        busy.append(1e3 * (time.process_time() - start_busy))
    low, median, high = np.percentile(wall[2:], [25, 50, 75])
    return {
        "least_ms": min(wall[2:]),
        "median_ms": float(median),
        "quartiles_ms": [float(low), float(high)],
        "processor_ms": float(np.median(busy[2:])),
    }


def copy_time(repeat: int) -> float:
    """Median milliseconds of copying 16 MiB."""
    source, target = np.ones(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)
    return float(str(measure(lambda: np.copyto(target, source), repeat)["median_ms"]))


def with_threads(threads: int, call: Callable[[], object]) -> Callable[[], object]:
    """The call as on a machine of that many cores."""

    def limited() -> object:
        with mock.patch("opendr_facerot.render.bands.thread_count", return_value=threads):
            return call()

    return limited


def rasteriser_rows(backends: Iterable[str], device: str, repeat: int) -> list[Row]:
    """One row for each mesh, backend and number of threads."""
    rows: list[Row] = []
    for name, count, two_sided, size in CASES:
        vertices, faces = ellipsoid(count, two_sided)
        some = faces[:: max(1, len(faces) // ORACLE_FACES)]
        oracle = measure(
            lambda v=vertices, f=some, s=size: rasterize(v, f, s, backend="reference"), 1
        )
        oracle_ms = float(str(oracle["median_ms"])) * len(faces) / len(some)
        for backend in backends:
            place = device if backend in ("torch", "neural_renderer") else "cpu"

            def call(v=vertices, f=faces, s=size, b=backend, d=place) -> object:  # type: ignore[no-untyped-def]
                return rasterize(v, f, s, backend=b, device=d)

            for threads in (1, 2) if backend == "cpu" else (None,):
                timed = measure(with_threads(threads, call) if threads else call, repeat)
                case = f"{name}, {len(faces)} faces, {size} px, {backend}"
                rows.append({"case": case, "threads": threads, **timed, "oracle_ms": oracle_ms})
    return rows


def view_rows(photo: Path, repeat: int) -> list[Row]:
    """Views of the head in a photo: by size, and by number at 256 pixels."""
    from opendr_facerot.imaging import read_image
    from opendr_facerot.pipelines.head import HeadRotator
    from opendr_facerot.views import View

    rotator = HeadRotator(HeadRotator.Settings())
    face = rotator.fit(read_image(photo))[0]
    rows: list[Row] = []
    for size, counts in ((256, VIEW_COUNTS), (1024, (1,))):
        rotator.settings = HeadRotator.Settings(output_size=size)
        for count in counts:
            views = [View(float(yaw), 0.0) for yaw in np.linspace(-1.0, 1.0, count + 2)[1:-1]]
            if count == 1:
                views = [View(0.5, 0.0)]

            def call(views: list[View] = views) -> object:
                return [view.seen_fraction for view in rotator.render(face, views)]

            for threads in (1, 2):
                times = measure(with_threads(threads, call), max(3, repeat // count))
                rows.append({"case": f"{count} views, {size} px", "threads": threads, **times})
    return rows


def main() -> None:
    """Print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = [name for name in available_backends() if name not in ("reference", "neural_renderer")]
    parser.add_argument("--backends", nargs="+", default=usual, choices=available_backends())
    parser.add_argument("--device", default="cpu", help="of torch and neural_renderer")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    copy_ms = copy_time(options.repeat)
    rows = rasteriser_rows(options.backends, options.device, options.repeat)
    if options.photo:
        rows += view_rows(options.photo, options.repeat)
    print(f"copying 16 MiB: {copy_ms:.2f} ms; times in ms")
    print(f"{'case':58} threads   least  median   quartiles     cpu  /copy  oracle/")
    for row in rows:
        median = float(str(row["median_ms"]))
        row["copies"] = median / copy_ms
        low, high = np.array(row["quartiles_ms"])
        oracle = float(str(row["oracle_ms"])) / median if "oracle_ms" in row else None
        print(
            f"{row['case']:58} {row['threads'] or '-'!s:>7} {row['least_ms']:7.2f} {median:7.2f} "
            f"{low:5.1f} to {high:5.1f} {row['processor_ms']:7.2f} {row['copies']:6.1f} "
            f"{'' if oracle is None else f'{oracle:8.0f}'}"
        )
    if options.json:
        options.json.write_text(json.dumps({"copy_ms": copy_ms, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
