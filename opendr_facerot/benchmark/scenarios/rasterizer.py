"""The CPU rasteriser against the naive one, and what Rotate-and-Render draws with it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.ceilings import small_product
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import Measurement, durations
from opendr_facerot.benchmark.scenes import ellipsoid, face_mesh
from opendr_facerot.render.erosion import Erosion
from opendr_facerot.render.rasterize import rasterize
from opendr_facerot.render.rotate_render import face_colours, render_view, texture_face

_SIZE = 256
_ORACLE_FACES = 200  # of the large mesh: the naive rasteriser's cost is proportional to them
_ORACLE_RUNS = 3


def scenario(conditions: Conditions) -> Iterator[Measurement]:
    """A small mesh against the oracle itself, a large one against an estimate of the oracle."""
    unit, runs = small_product(), conditions.runs
    small, (vertices, faces) = ellipsoid(24, 24), face_mesh()
    naive = durations(lambda: rasterize(*small, 64, backend="reference"), runs)
    fast = durations(lambda: rasterize(*small, 64, backend="cpu"), runs)
    name = f"rasterizer, {len(small[1])} triangles, 64 pixels"
    oracle = {"the naive rasteriser": statistics.median(naive)}
    yield conditions.measured(name, fast, {**unit, **oracle})

    some = faces[:: len(faces) // _ORACLE_FACES]
    naive = durations(
        lambda: rasterize(vertices, some, 512, backend="reference"), _ORACLE_RUNS, warm_up=0
    )
    estimate = statistics.median(naive) * len(faces) / len(some)
    seconds = durations(lambda: rasterize(vertices, faces, 512, backend="cpu"), runs)
    oracle = {f"the naive rasteriser, by {len(some)} of them": estimate}
    yield conditions.measured(names.MESH, seconds, {**unit, **oracle})

    pixels = _SIZE / 2 * (vertices - np.array([0.0, 0.0, vertices[:, 2].mean()])) + _SIZE / 2
    in_picture = pixels.astype(np.float32)
    picture = np.random.default_rng(0).random((_SIZE, _SIZE, 3), np.float32)
    seconds = durations(lambda: face_colours(picture, in_picture, faces), runs)
    yield conditions.measured(names.MESH_COLOURS, seconds, unit)

    def draw_twice() -> None:
        erosion = Erosion.draw(np.random.RandomState(0))
        render_view(texture_face(picture, in_picture, faces, erosion), in_picture)

    yield conditions.measured(names.MESH_VIEW, durations(draw_twice, runs), unit)
    yield conditions.peak_memory("rasterizer, peak memory")
