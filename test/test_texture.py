"""The shading kernel against a naive per-pixel version, and what its output must obey."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import opendr_facerot as facerot
from opendr_facerot.filters import smoothstep
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.render import texture
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail
from opendr_facerot.render.neck_turn import turn_on_neck
from opendr_facerot.render.projection import facing
from opendr_facerot.render.texture import SUPERSAMPLING, HeadShader, VertexAppearance

SIZE = 24
CAMERA = Intrinsics(focal=40.0, cx=11.5, cy=11.5)
DETAIL = np.random.default_rng(9).integers(0, 256, (16, 16, 2), dtype=np.uint8)
Spot = tuple[NDArray[np.int32], NDArray[np.float64]]


def two_triangles(seed: int) -> tuple[NDArray[np.float64], MeshTopology, VertexAppearance]:
    """A bent quadrilateral in front of the camera, with random appearance."""
    rng = np.random.default_rng(seed)
    vertices = np.array(
        [[-2.413, -2.207, 10.0], [2.511, -2.039, 13.0], [2.217, 2.331, 9.0], [-2.119, 2.523, 12.0]]
    )
    topology = MeshTopology(np.array([[0, 2, 1], [0, 3, 2]]), 4)
    appearance = VertexAppearance(
        foreground=rng.integers(0, 256, (30, 30, 3), dtype=np.uint8),
        photo_xy=rng.uniform(0, 29, (4, 2)).astype(np.float32),
        confidence=rng.uniform(0, 1, 4).astype(np.float32),
        second_xy=rng.uniform(0, 29, (4, 2)).astype(np.float32),
        second_confidence=rng.uniform(0, 1, 4).astype(np.float32),
        second_cosine=rng.uniform(0.1, 1, 4).astype(np.float32),
        second_visible=rng.uniform(0, 1, 4).astype(np.float32),
        second_correction=rng.uniform(-0.5, 0.5, (4, 3)).astype(np.float32),
        fill=rng.uniform(3, 5, (4, 3)).astype(np.float32),
        hair=rng.uniform(0, 1, 4).astype(np.float32),
        detail_xy=rng.uniform(0, 15, (4, 2)).astype(np.float32),
        detail=HeadDetail(
            DETAIL,
            1.0,
            level=np.array([0.05, 0.1, 0.2], np.float32),
            tint=np.array([0.7, 1.1, 1.5], np.float32),
        ),
        source_cosine=rng.uniform(0.1, 1, 4).astype(np.float32),
        visible=rng.uniform(0, 1, 4).astype(np.float32),
    )
    return vertices, topology, appearance


COVERAGE = np.array([1.0, 0.8, 0.6, 1.0])


def naive_shading(
    vertices: NDArray[np.float64],
    topology: MeshTopology,
    appearance: VertexAppearance,
    shared_spread: tuple[float, float],
) -> tuple[NDArray[np.float64], int]:
    """Ray-cast every sample; no rasteriser, no kernel.

    Returns:
        The picture, and how many of its pixels are weighted as one.
    """
    normals = topology.vertex_normals(vertices)
    cosine = np.maximum(facing(normals, vertices), 0.06)
    confidence, second_confidence = (
        np.maximum(trusted, visible * smoothstep(0.5, 0.85, source_cosine / cosine))
        for trusted, visible, source_cosine in (
            (appearance.confidence, appearance.visible, appearance.source_cosine),
            (appearance.second_confidence, appearance.second_visible, appearance.second_cosine),
        )
    )
    photo = appearance.foreground.astype(float)
    deviations = (DETAIL.astype(float) - DETAIL_ZERO) / DETAIL_ONE
    image, together = np.zeros((SIZE, SIZE, 4)), 0
    for row, column in np.ndindex(SIZE, SIZE):
        spots = [
            spot
            for i, j in np.ndindex(SUPERSAMPLING, SUPERSAMPLING)
            if (spot := surface_spot(vertices, topology.faces, row, column, i, j)) is not None
        ]
        groups = [[spot] for spot in spots]
        if len(spots) == SUPERSAMPLING**2:
            own = np.ptp([at(spot, confidence) for spot in spots])
            other = np.ptp([at(spot, second_confidence) for spot in spots])
            inverse_depth = [1.0 / at(spot, vertices)[2] for spot in spots]
            step = np.ptp(inverse_depth) / inverse_depth[0]
            if max(own, other) < shared_spread[0] and step < shared_spread[1]:
                groups = [spots]
                together += 1
        for group in groups:

            def mean(values: NDArray[np.floating], group: list[Spot] = group) -> Any:
                return np.mean([at(spot, values) for spot in group], axis=0)

            def looked_up(
                picture: NDArray[np.floating],
                positions: NDArray[np.floating],
                group: list[Spot] = group,
            ) -> Any:
                return np.mean([bilinear(picture, at(spot, positions)) for spot in group], axis=0)

            own = smoothstep(0.05, 0.6, mean(confidence))
            other = (1 - own) * smoothstep(0.05, 0.6, mean(second_confidence))
            colour = own * looked_up(photo, appearance.photo_xy)
            correction = np.exp(mean(appearance.second_correction))
            colour += other * looked_up(photo, appearance.second_xy) * correction
            hair = mean(appearance.hair)
            on_skin, on_hair, combed = appearance.detail.level
            noise = looked_up(deviations, appearance.detail_xy)
            grain = ((1 - hair) * on_skin + hair * on_hair) * noise[0]
            grain += hair * combed * noise[1]
            grain = grain * (1 - hair) + grain * hair * appearance.detail.tint
            colour += (1 - own - other) * np.exp(mean(appearance.fill) + grain)
            alpha = mean(COVERAGE) * len(group) / SUPERSAMPLING**2
            image[row, column, :3] += alpha * np.minimum(colour, 255)
            image[row, column, 3] += alpha
    return image, together


def surface_spot(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], row: int, column: int, i: int, j: int
) -> Spot | None:
    """What a pixel's sample sees: the corners of a face and their weights; None for nothing."""
    x = column + (j + 0.5) / SUPERSAMPLING - 0.5
    y = row + (i + 0.5) / SUPERSAMPLING - 0.5
    ray = np.array([(x - CAMERA.cx) / CAMERA.focal, (y - CAMERA.cy) / CAMERA.focal, 1.0])
    for face in faces:
        # ray * depth = weights @ corners, weights sum to 1
        system = np.column_stack([vertices[face].T, -ray])
        solution = np.linalg.solve(np.vstack([system, [1.0, 1.0, 1.0, 0.0]]), [0.0, 0.0, 0.0, 1.0])
        if solution[:3].min() >= 0:
            return face, solution[:3]
    return None


def at(spot: Spot, values: NDArray[np.floating]) -> Any:
    face, weights = spot
    return weights @ values[face]


def bilinear(picture: NDArray[np.floating], position: NDArray[np.floating]) -> Any:
    x, y = np.clip(position, 0, len(picture) - 1.001)
    c, r = int(x), int(y)
    u, v = x - c, y - r
    top = picture[r, c] * (1 - u) + picture[r, c + 1] * u
    bottom = picture[r + 1, c] * (1 - u) + picture[r + 1, c + 1] * u
    return top * (1 - v) + bottom * v


@pytest.mark.parametrize(
    ("seed", "shared_spread"),
    [(0, (0.0, 0.0)), (9, (0.03, 1.0)), (2, (1.0, 0.02)), (3, (0.2, 0.03))],
    ids=["alone", "confidences alike", "depths alike", "both alike"],
)
def test_shading_agrees_with_ray_casting(
    seed: int, shared_spread: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texture, "_SHARED_SPREAD", shared_spread)
    vertices, topology, appearance = two_triangles(seed)
    image, _ = HeadShader(topology, COVERAGE).shade(appearance, vertices, CAMERA, SIZE, DETAIL)
    expected, together = naive_shading(vertices, topology, appearance, shared_spread)
    assert (together > 20) == (shared_spread > (0.0, 0.0))
    np.testing.assert_allclose(image[..., 3], expected[..., 3], atol=2e-4)
    np.testing.assert_allclose(image[..., :3], expected[..., :3], atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("yaw_deg", [0, 45, -80])
def test_weighting_samples_together_does_not_show(
    yaw_deg: int,
    rotator: HeadRotator,
    astronaut_face: facerot.FittedFace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = facerot.View(math.radians(yaw_deg), 0.0)
    (together,) = rotator.render(astronaut_face, [view])
    monkeypatch.setattr(texture, "_SHARED_SPREAD", (0.0, 0.0))
    (alone,) = rotator.render(astronaut_face, [view])
    error = together.image.astype(float) - alone.image
    assert 0.0 < np.abs(error).max() <= 16.0
    assert (error**2).mean() < 255.0**2 / 10**5.5  # 55 dB
    assert together.seen_fraction == pytest.approx(alone.seen_fraction, abs=1e-3)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_do_not_change_the_picture(threads: int) -> None:
    vertices, topology, appearance = two_triangles(0)
    shader = HeadShader(topology, COVERAGE)
    one = shader.shade(appearance, vertices, CAMERA, 61, DETAIL, threads=1)
    several = shader.shade(appearance, vertices, CAMERA, 61, DETAIL, threads=threads)
    np.testing.assert_array_equal(several[0], one[0])
    assert several[1] == one[1]


def test_the_neck_twists_by_each_vertex_s_share() -> None:
    random = np.random.default_rng(0)
    vertices, pivot, turn = (random.normal(size=shape) for shape in ((5000, 3), 3, 3))
    weight = random.choice([0.0, 0.3, 0.7, 1.0], 5000)
    turned = turn_on_neck(vertices, weight, pivot, turn)
    for share in np.unique(weight):
        chosen = weight == share
        rotation = Rotation.from_rotvec(share * turn)
        expected = rotation.apply(vertices[chosen] - pivot) + pivot
        np.testing.assert_allclose(turned[chosen], expected, atol=1e-12)
    np.testing.assert_array_equal(turn_on_neck(vertices, weight, pivot, np.zeros(3)), vertices)


def test_silhouettes_are_anti_aliased() -> None:
    vertices, topology, appearance = two_triangles(0)
    image, _ = HeadShader(topology, np.ones(4)).shade(appearance, vertices, CAMERA, SIZE, DETAIL)
    values = np.unique(image[..., 3].round(4))
    assert set(values) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(values) == 5


def test_what_is_turned_away_or_transparent_is_not_drawn() -> None:
    vertices, topology, appearance = two_triangles(0)
    away = MeshTopology(topology.faces[:, ::-1], 4)
    for mesh, coverage in ((away, np.ones(4)), (topology, np.zeros(4))):
        shader = HeadShader(mesh, coverage)
        image, seen = shader.shade(appearance, vertices, CAMERA, SIZE, DETAIL)
        assert not image.any()
        assert seen == 0.0


@pytest.mark.parametrize(("confidence", "expected"), [(1.0, 1.0), (0.0, 0.0)])
def test_seen_fraction_counts_the_photo_s_own_pixels(confidence: float, expected: float) -> None:
    vertices, topology, appearance = two_triangles(0)
    appearance.confidence[:] = confidence
    appearance.visible[:] = 0.0
    _, seen = HeadShader(topology, np.ones(4)).shade(appearance, vertices, CAMERA, SIZE, DETAIL)
    assert seen == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 64])
def test_bands_cover_every_row_once(rows: int, threads: int) -> None:
    visits = np.zeros(rows, int)

    def count(first: int, last: int) -> None:
        visits[first:last] += 1

    run_bands(count, rows, threads)
    assert (visits == 1).all()


def test_a_kernel_s_error_reaches_the_caller() -> None:
    def fail(first: int, last: int) -> None:
        raise RuntimeError(f"rows {first} to {last}")

    with pytest.raises(RuntimeError, match="rows 0 to"):
        run_bands(fail, 10, 2)


def test_the_camera_turns_pixels_into_rays() -> None:
    point = np.array([[math.tan(0.1) * 10, 0.0, 10.0]])
    assert CAMERA.project(point)[0, 0] == pytest.approx(11.5 + 40 * math.tan(0.1))
