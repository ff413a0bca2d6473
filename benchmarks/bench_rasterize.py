"""Time of the rasteriser's backends on head-sized meshes, and their ratio in the same run.

    python benchmarks/bench_rasterize.py [--backends cpu torch] [--device cuda] [--repeat 10]

``reference`` is too slow to be run unless it is named.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.rasterize import available_backends, rasterize

CASES = (
    ("head pipeline, one-sided", 144, False, 512),
    ("head pipeline, one-sided", 144, False, 1024),
    ("Basel Face Model, two-sided", 230, True, 512),
)


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


def seconds(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    image_size: int,
    backend: str,
    device: str,
    repeat: int,
) -> list[float]:
    """Durations of ``repeat`` calls after one that warms up."""
    durations = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        rasterize(vertices, faces, image_size, backend=backend, device=device)
        durations.append(time.perf_counter() - start)
    return durations[1:]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = [name for name in available_backends() if name not in ("reference", "neural_renderer")]
    parser.add_argument("--backends", nargs="+", default=usual, choices=available_backends())
    parser.add_argument("--device", default="cpu", help="of torch and neural_renderer")
    parser.add_argument("--repeat", type=int, default=10)
    options = parser.parse_args()
    print(f"{'mesh':28} {'faces':>7} {'size':>5} {'backend':16} {'best':>9} {'median':>9}  ratio")
    for name, count, two_sided, image_size in CASES:
        mesh = ellipsoid(count, two_sided)
        first = None
        for backend in options.backends:
            on_cpu = backend in ("cpu", "reference")
            device = "cpu" if on_cpu else options.device
            times = seconds(*mesh, image_size, backend, device, options.repeat)
            best = min(times)
            first = first or best
            print(
                f"{name:28} {len(mesh[1]):7d} {image_size:5d} {f'{backend} ({device})':16} "
                f"{1e3 * best:6.1f} ms {1e3 * statistics.median(times):6.1f} ms {best / first:6.1f}"
            )


if __name__ == "__main__":
    main()
