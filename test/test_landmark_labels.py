"""Labels and label mask against the original's outputs and against naive formulas."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from opendr_facerot.errors import ImageError, SettingsError
from opendr_facerot.generate.label_mask import mask_lines, needs_mask
from opendr_facerot.generate.landmark_labels import (
    CHANNELS,
    LINES,
    label_from_heat_maps,
    line_heat_maps,
    sample_line,
)

GOLDEN = Path(__file__).parent / "data" / "golden_generate"


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.generic]]:
    with np.load(GOLDEN / "labels.npz") as file:
        return dict(file)


def naive_line(points: NDArray[np.float64], count: int) -> list[tuple[float, float]]:
    """The rule of ``sample_line``, one number at a time."""
    kept = [points[0]]
    for before, point in zip(points, points[1:], strict=False):
        if math.dist(before, point) >= 1e-3:
            kept.append(point)
    if len(kept) == 1:
        return []
    knots = [0.0]
    for a, b in zip(kept, kept[1:], strict=False):
        knots.append(knots[-1] + math.dist(a, b))
    segments = len(kept) - 1
    steps = int(count / segments + 1)
    polyline = []
    curvature = [naive_second_derivatives(knots, [p[k] for p in kept]) for k in range(2)]
    for i in range(segments):
        for j in range(steps):
            polyline.append(
                tuple(
                    naive_segment(knots, [p[k] for p in kept], curvature[k], i, j / steps)
                    for k in range(2)
                )
            )
    travelled = [0.0]
    for a, b in zip(polyline, polyline[1:], strict=False):
        travelled.append(travelled[-1] + math.dist(a, b))
    result = []
    for n in range(count):
        stop = travelled[-1] * n / (count - 1)
        i = 0
        while i < len(polyline) - 2 and travelled[i + 1] < stop:
            i += 1
        share = (stop - travelled[i]) / (travelled[i + 1] - travelled[i])
        a, b = polyline[i], polyline[i + 1]
        result.append((a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])))
    return result


def naive_second_derivatives(knots: list[float], values: list[float]) -> NDArray[np.float64]:
    """Of the natural cubic spline at its knots: zero at both ends, C2 in between."""
    n = len(knots)
    system, right = np.eye(n), np.zeros(n)
    for i in range(1, n - 1):
        before, after = knots[i] - knots[i - 1], knots[i + 1] - knots[i]
        system[i, i - 1 : i + 2] = before / 6, (before + after) / 3, after / 6
        right[i] = (values[i + 1] - values[i]) / after - (values[i] - values[i - 1]) / before
    return np.asarray(np.linalg.solve(system, right), np.float64)


def naive_segment(
    knots: list[float], values: list[float], m: NDArray[np.float64], i: int, share: float
) -> float:
    length = knots[i + 1] - knots[i]
    a, b = 1.0 - share, share
    bend = ((a**3 - a) * m[i] + (b**3 - b) * m[i + 1]) * length**2 / 6
    return float(a * values[i] + b * values[i + 1] + bend)


def naive_heat_map(line: list[tuple[float, float]], size: int, sigma: float) -> NDArray[np.float64]:
    drawn = {(int(x + 0.5), int(y + 0.5)) for x, y in line}
    drawn = {(x, y) for x, y in drawn if 0 <= x < size and 0 <= y < size}
    if not drawn:
        return np.zeros((size, size))
    heat = np.zeros((size, size))
    for y in range(size):
        for x in range(size):
            d = min(math.dist((x, y), pixel) for pixel in drawn)
            if d < 3 * sigma:
                heat[y, x] = math.exp(-(d**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
    spread = heat.max() - heat.min()
    return (heat - heat.min()) / spread if spread > 0 else np.zeros((size, size))


def landmarks_at(points: NDArray[np.float64], line: tuple[int, ...]) -> NDArray[np.float64]:
    """68 landmarks far outside the image, except for those of a line."""
    landmarks = np.full((68, 2), -1000.0)
    landmarks[list(line)] = points
    return landmarks


def random_landmarks(seed: int, size: int) -> NDArray[np.float64]:
    """A wild face: partly out of the frame, with repeated landmarks and a line that is a point."""
    random = np.random.default_rng(seed)
    landmarks = random.normal(size / 2, size / 2, (68, 2))
    for index in random.choice(np.arange(1, 68), 20, replace=False):
        landmarks[index] = landmarks[index - 1] + random.choice([0.0, 5e-4, 2e-3])
    landmarks[list(LINES[random.integers(len(LINES))])] = landmarks[0]
    return landmarks


# A control point is a coordinate on a coarse grid, so that points repeat, plus a little, so that
# none of them lies on the border between two pixels.
control_points = st.lists(
    st.tuples(st.integers(-8, 40), st.integers(-8, 40)), min_size=1, max_size=8
).map(lambda points: np.array(points, np.float64) + 0.137)


def test_lines_of_the_original(golden: dict[str, NDArray[np.float64]]) -> None:
    landmarks = golden["landmarks68"][0, :, :2]
    brow = sample_line(landmarks[17:22], 50)
    lip = sample_line(landmarks[48:55], 70)
    np.testing.assert_allclose(brow, golden["line_brow"], atol=1e-9)
    np.testing.assert_allclose(lip, golden["line_upper_lip"], atol=1e-9)


@pytest.mark.parametrize(("sigma", "name"), [(2.5, "sigma2_5"), (1.0, "sigma1")])
def test_heat_maps_and_labels_of_the_original(
    golden: dict[str, NDArray[np.float32]], sigma: float, name: str
) -> None:
    for view, landmarks in enumerate(golden["landmarks68"]):
        heat_maps = line_heat_maps(landmarks, 256, sigma)
        assert heat_maps.dtype == np.float32
        np.testing.assert_allclose(heat_maps, golden[f"heat_maps_{name}"][view], atol=1e-6)
        label = label_from_heat_maps(heat_maps)
        np.testing.assert_array_equal(label, golden[f"binary_label_{name}"][view])


def test_gaussian_label_of_the_original(golden: dict[str, NDArray[np.float32]]) -> None:
    for view, landmarks in enumerate(golden["landmarks68"]):
        label = label_from_heat_maps(line_heat_maps(landmarks, 256, 2.5), binary=False)
        np.testing.assert_allclose(label, golden["label_sigma2_5"][view], atol=1e-6)


@given(points=control_points, count=st.sampled_from([2, 3, 30, 70]))
@settings(deadline=None)
def test_line_is_the_naive_line(points: NDArray[np.float64], count: int) -> None:
    expected = np.array(naive_line(points, count)).reshape(-1, 2)
    line = sample_line(points, count)
    assert line.shape == expected.shape
    np.testing.assert_allclose(line, expected, atol=1e-8)


@given(
    seed=st.integers(0, 2**32), size=st.integers(1, 28), sigma=st.sampled_from([0.3, 1.0, 2.5, 6])
)
@settings(deadline=None, max_examples=60)
def test_heat_maps_are_the_naive_heat_maps(seed: int, size: int, sigma: float) -> None:
    landmarks = random_landmarks(seed, size)
    heat_maps = line_heat_maps(landmarks, size, sigma)
    for line, heat_map in zip(LINES, heat_maps, strict=True):
        naive = naive_heat_map(naive_line(landmarks[list(line)], 10 * len(line)), size, sigma)
        np.testing.assert_allclose(heat_map, naive, atol=1e-5)


@given(points=control_points, shift=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_line_moves_with_its_points(points: NDArray[np.float64], shift: tuple[int, int]) -> None:
    np.testing.assert_allclose(
        sample_line(points + shift, 40), sample_line(points, 40) + shift, atol=1e-8
    )


@given(points=control_points, index=st.integers(0, 7), repeats=st.integers(1, 3))
def test_repeated_points_do_not_matter(
    points: NDArray[np.float64], index: int, repeats: int
) -> None:
    index %= len(points)
    repeated = np.insert(points, [index] * repeats, points[index], axis=0)
    np.testing.assert_array_equal(sample_line(repeated, 40), sample_line(points, 40))


def test_straight_line_stops_one_step_before_its_end() -> None:
    line = sample_line([[0.0, 0.0], [11.0, 22.0]], 10)
    # One segment, int(10 / 1 + 1) = 11 steps of a unit in x, the last of which is left out.
    np.testing.assert_allclose(line, np.outer(np.linspace(0, 10, 10), [1.0, 2.0]), atol=1e-12)


@pytest.mark.parametrize("points", [[[5.0, 5.0]], [[5.0, 5.0]] * 4, [[5.0, 5.0], [5.0005, 5.0]]])
def test_line_of_one_point_is_empty(points: list[list[float]]) -> None:
    assert sample_line(points, 30).shape == (0, 2)
    assert not line_heat_maps(np.full((68, 2), 5.0), 16, 2.5).any()


@pytest.mark.parametrize(
    ("x", "column"),
    [(-1.4, 0), (-0.6, 0), (0.4, 0), (0.6, 1), (15.4, 15), (15.6, None), (-1.6, None)],
)
def test_rounding_at_the_frame(x: float, column: int | None) -> None:
    upright = np.array([[x, 4.2], [x, 7.2], [x, 9.2]])
    chin = line_heat_maps(landmarks_at(upright, LINES[0]), 16, 0.3)[0]
    columns = np.flatnonzero(chin.any(axis=0))
    assert columns.tolist() == ([] if column is None else [column])


def test_far_points_do_not_overflow() -> None:
    landmarks = np.random.default_rng(0).uniform(-1e30, 1e30, (68, 2))
    assert not line_heat_maps(landmarks, 32, 2.5).any()


def test_image_within_reach_everywhere_is_stretched_to_zero() -> None:
    diagonal = np.array([[0.2, 0.2], [2.2, 2.2], [4.2, 4.2]])
    chin = line_heat_maps(landmarks_at(diagonal, LINES[0]), 5, 10.0)[0]
    assert chin.min() == 0.0
    assert chin.max() == 1.0
    assert (chin > 0.0).sum() == 23  # all but the two far corners


def test_channels_sum_and_clip_their_lines() -> None:
    heat_maps = np.random.default_rng(0).random((13, 4, 4), np.float32)
    heat_maps[:, 0, 0] = 0.0
    label = label_from_heat_maps(heat_maps, binary=False)
    for channel, lines in enumerate(CHANNELS):
        np.testing.assert_allclose(
            label[channel], np.minimum(sum(heat_maps[i] for i in lines), 1.0), rtol=1e-6
        )
    np.testing.assert_array_equal(label_from_heat_maps(heat_maps), label > 0.0)


@pytest.mark.parametrize("brow", [1, 2])
def test_brows_are_in_no_channel(brow: int) -> None:
    points = np.random.default_rng(0).uniform(5.0, 25.0, (5, 2))
    heat_maps = line_heat_maps(landmarks_at(points, LINES[brow]), 32, 2.5)
    assert heat_maps[brow].any()
    assert not label_from_heat_maps(heat_maps).any()


def test_third_coordinate_is_ignored() -> None:
    landmarks = np.random.default_rng(0).uniform(0.0, 32.0, (68, 3))
    landmarks[5, 2] = np.nan
    np.testing.assert_array_equal(
        line_heat_maps(landmarks, 32, 1.0), line_heat_maps(landmarks[:, :2], 32, 1.0)
    )


@pytest.mark.parametrize("shape", [(67, 2), (68,), (68, 4), (1, 68, 2)])
def test_wrong_shape_of_landmarks(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="landmarks have shape"):
        line_heat_maps(np.zeros(shape), 32, 1.0)


def test_landmark_that_is_no_number() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[[3, 60], 1] = np.nan, np.inf
    with pytest.raises(ImageError, match=r"\[3, 60\] are not finite"):
        line_heat_maps(landmarks, 32, 1.0)


@pytest.mark.parametrize(("size", "sigma"), [(0, 1.0), (32, 0.0), (32, -1.0), (32, math.nan)])
def test_size_and_sigma_out_of_range(size: int, sigma: float) -> None:
    with pytest.raises(SettingsError, match="give"):
        line_heat_maps(np.zeros((68, 2)), size, sigma)


def test_mask_of_the_original() -> None:
    with np.load(GOLDEN / "labels.npz") as file:
        landmarks = file["landmarks68"]
    with np.load(GOLDEN / "generator.npz") as file:
        rotated, yaws, greyed = file["rotated"], file["photo_yaw"], file["greyed"]
    greyed = np.unpackbits(greyed).reshape(rotated.shape).astype(bool)
    assert [needs_mask(yaw) for yaw in yaws] == [False, True]
    for view, yaw in enumerate(yaws):
        heat_maps = line_heat_maps(landmarks[view], 256, 2.5)
        masked = mask_lines(rotated[view], heat_maps, masked=needs_mask(yaw))
        np.testing.assert_array_equal(masked, np.where(greyed[view], 0.0, rotated[view]))


@pytest.mark.parametrize("masked", [False, True])
def test_mask_is_the_naive_mask(masked: bool) -> None:
    random = np.random.default_rng(0)
    rotated = random.choice(np.array([-1.0, -0.3, 0.0, 0.7, 1.0], np.float32), (3, 8, 8))
    heat_maps = random.choice(np.array([0.0, 0.0, 0.2, 1.0], np.float32), (13, 8, 8))
    before = rotated.copy()
    result = mask_lines(rotated, heat_maps, masked=masked)
    for channel, y, x in np.ndindex(3, 8, 8):
        value = rotated[channel, y, x]
        for line in (0, 4):
            value += 2.0 if masked and heat_maps[line, y, x] > 0.0 else 0.0
        assert result[channel, y, x] == (0.0 if value >= 1.0 else value)
    np.testing.assert_array_equal(rotated, before)


@pytest.mark.parametrize(
    ("yaw", "needed"), [(0.0, False), (-0.25, False), (0.26, True), (-1.0, True)]
)
def test_turned_photos_need_the_mask(yaw: float, needed: bool) -> None:
    assert needs_mask(yaw) is needed


def test_labels_do_without_torch() -> None:
    modules = ("landmark_labels", "label_mask", "aligned_crop")
    imports = "; ".join(f"import opendr_facerot.generate.{module}" for module in modules)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
