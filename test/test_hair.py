"""Hair that is not seen: the chart it is drawn on, its direction, and the quilt of seen hair."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.filters import blur
from opendr_facerot.generate import hair_quilt
from opendr_facerot.generate.detail import procedural_detail
from opendr_facerot.generate.hair_detail import _added_by_photo, continue_hair
from opendr_facerot.generate.hair_direction import combed_frames
from opendr_facerot.generate.hair_quilt import NOWHERE, OWN, Quilt, quilt, sew
from opendr_facerot.generate.hair_texture import HairTexture, grain
from opendr_facerot.generate.head_chart import (
    CHART_CENTIMETRES,
    CHART_SIDE,
    chart_mesh,
    chart_positions,
    radial_frames,
)
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO

SIDE = 128
MIDDLE = (SIDE - 1) / 2
PIXELS_PER_CM = SIDE / CHART_CENTIMETRES


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def polar(side: int = SIDE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centimetres from the crown and azimuth, ``(side, side)`` each."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(x, y) / side * CHART_CENTIMETRES, np.arctan2(y, x)


def strands(azimuth: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """Hair that falls straight from the crown: a random function of the azimuth alone."""
    noise = np.random.default_rng(seed).standard_normal(48)
    turn = azimuth / (2.0 * math.pi) * 48.0
    return np.interp(turn, np.arange(48.0), noise, period=48.0).astype(np.float32)


def bilinear(image: NDArray[Any], x: float, y: float) -> Any:
    """Value of an image at a position, or at the nearest one that lies in it."""
    height, width = image.shape[:2]
    x, y = min(max(x, 0.0), width - 1.001), min(max(y, 0.0), height - 1.001)
    c, r = int(x), int(y)
    u, v = x - c, y - r
    top = image[r, c] * (1 - u) + image[r, c + 1] * u
    return top * (1 - v) + (image[r + 1, c] * (1 - u) + image[r + 1, c + 1] * u) * v


# The chart.


def test_a_chart_shows_each_vertex_where_its_position_is(model: HeadModel) -> None:
    side = 256
    places = (chart_positions(model.fine.earless) + 0.5) * (side / CHART_SIDE) - 0.5
    everywhere = np.ones(len(places), bool)
    drawn = chart_mesh(model.fine, side).spread(
        np.c_[places, np.ones(len(places))].astype(np.float32), everywhere
    )
    rows, columns = np.nonzero(drawn[..., 2])
    assert len(rows) > 0.3 * side**2  # the scalp, the face and the neck
    np.testing.assert_allclose(drawn[rows, columns, 0], columns, atol=0.05)
    np.testing.assert_allclose(drawn[rows, columns, 1], rows, atol=0.05)
    scalp = model.fine.zones.scalp
    seen = drawn[tuple(np.round(places[scalp]).astype(int).T[::-1])]
    assert (seen[:, 2] > 0).mean() > 0.99  # no part of the scalp is missing


def test_only_what_is_asked_for_is_spread(model: HeadModel) -> None:
    values = np.ones((len(model.fine.vertices), 1), np.float32)
    drawn = chart_mesh(model.fine, 64).spread(values, model.fine.zones.scalp)
    everything = chart_mesh(model.fine, 64).spread(values, np.ones(len(values), bool))
    assert 0 < drawn.sum() < 0.9 * everything.sum()


def test_frames_are_the_chart_s_pixels_per_centimetre_on_a_sphere() -> None:
    radius = CHART_CENTIMETRES / (2.0 * math.pi)
    frames = radial_frames(SIDE)
    for row, column in ((26, 64), (64, 100), (90, 40), (40, 40)):
        x, y = column - MIDDLE, row - MIDDLE
        distance, azimuth = math.hypot(x, y), math.atan2(y, x)
        angle = distance / SIDE * 2.0 * math.pi
        step = 1e-3  # of the sphere's radius

        def place(angle: float, azimuth: float) -> NDArray[np.float64]:
            r = angle / (2.0 * math.pi) * SIDE
            return np.array([r * math.cos(azimuth), r * math.sin(azimuth)])

        here = place(angle, azimuth)
        away = (place(angle + step, azimuth) - here) / (step * radius)
        across = (place(angle, azimuth + step / math.sin(angle)) - here) / (step * radius)
        np.testing.assert_allclose(frames[row, column, :, 0], away, atol=0.01)
        np.testing.assert_allclose(frames[row, column, :, 1], across, atol=0.01)


# Its direction.


@pytest.mark.parametrize("lean_deg", [-40.0, 0.0, 25.0, 60.0])
def test_hair_is_combed_as_seen_and_falls_from_the_crown_far_away(lean_deg: float) -> None:
    distance, azimuth = polar()
    # Curves that lean by one angle against the direction from the crown: logarithmic spirals.
    fine_distance, fine_azimuth = polar(3 * SIDE)
    slope = math.tan(math.radians(lean_deg))
    hair = np.sin(15.0 * (fine_azimuth - slope * np.log(fine_distance))).astype(np.float32)
    seen = (np.abs(azimuth - math.pi / 2) < 0.8) & (distance > 6.0) & (distance < 14.0)
    frames = combed_frames(hair, seen)
    radial = radial_frames(SIDE)
    near = seen & (distance > 8.0) & (distance < 12.0) & (np.abs(azimuth - math.pi / 2) < 0.4)
    # Components along the unit vectors from the crown and across, in centimetres.
    components = np.linalg.solve(radial, frames)[..., 0]
    lean = np.degrees(np.arctan2(components[..., 1], components[..., 0]))
    stretched = np.degrees(
        np.arctan(np.tan(np.radians(lean_deg)) * np.sinc(distance[near] / 11.0 / math.pi))
    )
    assert abs(np.median(lean[near] - stretched)) < 5.0
    back = (np.abs(azimuth + math.pi / 2) < 0.5) & (distance > 10.0)
    assert np.abs(lean[back]).max() < 1.0


def test_straight_hair_is_drawn_out_where_it_is_not_seen_and_curls_are_not() -> None:
    distance, azimuth = polar()
    seen = (np.abs(azimuth - math.pi / 2) < 0.8) & (distance > 6.0) & (distance < 14.0)
    back = (np.abs(azimuth + math.pi / 2) < 0.5) & (distance > 10.0)
    straight = np.sin(15.0 * polar(3 * SIDE)[1]).astype(np.float32)
    random = np.random.default_rng(0).standard_normal((3 * SIDE, 3 * SIDE), np.float32)
    lengths = []
    for hair in (straight, blur(random, 2.0)):
        frames = combed_frames(hair, seen)
        longer = np.linalg.norm(frames[..., 0], axis=-1) / PIXELS_PER_CM
        lengths.append(np.median(longer[back]))
        assert np.median(longer[seen]) < 1.6
    assert lengths[0] > 3.0
    assert lengths[1] == pytest.approx(1.0, abs=0.05)


# The quilt.


def naive_cut(difference: NDArray[np.float32]) -> float:
    """The least sum along any closed line, by trying all of them."""
    directions, rings = difference.shape
    allowed = range(hair_quilt._CORE, rings)
    return min(
        sum(float(difference[k, j]) for k, j in enumerate(line))
        for line in product(allowed, repeat=directions)
        if all(abs(line[k] - line[k - 1]) <= 1 for k in range(directions))
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_patch_is_cut_where_it_differs_least(seed: int) -> None:
    difference = np.random.default_rng(seed).uniform(0, 1, (6, 8)).astype(np.float32)
    cut = np.full(6, -1, np.intp)
    hair_quilt._cut(difference, cut)
    assert all(abs(cut[k] - cut[k - 1]) <= 1 for k in range(6))
    assert cut.min() >= hair_quilt._CORE
    assert difference[np.arange(6), cut].sum() == pytest.approx(naive_cut(difference), abs=1e-5)


def test_the_source_that_differs_least_is_taken() -> None:
    random = np.random.default_rng(5)
    offered = random.standard_normal((30, 40)).astype(np.float32)
    usable = (random.uniform(size=(30, 40)) < 0.8).astype(np.float32)
    met = np.sort(random.choice(40, 21, replace=False)).astype(np.intp)
    there, weight = (random.uniform(0, 1, 40).astype(np.float32) for _ in range(2))
    penalty = random.uniform(0, 0.5, 30).astype(np.float32)
    compared = met[::2]
    w = weight[: len(met) : 2] * usable[:, compared]
    apart = (there[: len(met) : 2] - offered[:, compared]) ** 2
    expected = np.argmin((w * apart).sum(1) / np.maximum(w.sum(1), 1.0) + penalty)
    assert hair_quilt._best_source(met, there, weight, offered, usable, penalty) == expected


def test_sewing_agrees_with_a_naive_version() -> None:
    random = np.random.default_rng(2)
    side, ratio = 9, 3
    label = random.choice([NOWHERE, OWN, 1, 2], (side, side)).astype(np.int32)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    patches = np.zeros((2, 2, 3), np.float32)
    patches[0] = np.c_[turn, [3.0, -1.5]]
    patches[1] = np.c_[turn.T, [-1.0, 4.0]]
    values = random.standard_normal((side * ratio, side * ratio)).astype(np.float32)
    smooth = random.standard_normal((side, side)).astype(np.float32)
    chart = np.full(values.shape, 7, np.uint8)
    sew(Quilt(label, patches), values, smooth, chart, zero=128.0, one=20.0)

    for y, x in np.ndindex(chart.shape):
        cx, cy = (min(max((t + 0.5) / ratio - 0.5, 0.0), side - 1.001) for t in (x, y))
        total = whole = 0.0
        for row, column in product((int(cy), int(cy) + 1), (int(cx), int(cx) + 1)):
            share = (1 - abs(cx - column)) * (1 - abs(cy - row))
            kind = label[row, column]
            if kind == NOWHERE:
                continue
            whole += share
            if kind == OWN:
                total += share * values[y, x]
            else:
                sx, sy = patches[kind - 1] @ (cx, cy, 1.0)
                fine = ((t + 0.5) * ratio - 0.5 for t in (sx, sy))
                total += share * bilinear(values, *fine)
        if whole > 1e-6:
            expected = 128.0 + 20.0 * (total / whole + bilinear(smooth, cx, cy))
            assert abs(float(chart[y, x]) - min(max(expected, 0.0), 255.0)) < 0.52
        else:
            assert chart[y, x] == 7


def sector() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where hair is seen, a sector towards the face, and where it grows."""
    distance, azimuth = polar()
    known = (np.abs(azimuth - math.pi / 2) < 0.9) & (distance > 4.0) & (distance < 16.0)
    return known, distance < 18.0


def test_a_quilt_covers_what_is_wanted_from_the_exemplar_unmirrored_and_always_alike() -> None:
    known, wanted = sector()
    values = blur(np.random.default_rng(1).standard_normal((SIDE, SIDE), np.float32), 1.0)
    frames = radial_frames(SIDE)
    found = quilt(values, frames, known, known, wanted, (5.0,))
    assert found is not None
    assert (found.label[known] == OWN).all()
    assert (found.label[wanted & ~known] > OWN).all()
    assert (found.label[~wanted & ~known] == NOWHERE).all()
    assert (np.linalg.det(found.patches[:, :, :2]) > 0).all()
    rows, columns = np.nonzero(found.label > OWN)
    matrices = found.patches[found.label[rows, columns] - 1]
    source = np.einsum("nij,nj->ni", matrices, np.c_[columns, rows, np.ones(len(rows))])
    column, row = np.round(source).astype(int).T.clip(0, SIDE - 1)
    near = blur(known.astype(np.float32), 1.0) > 0.05
    assert near[row, column].all()
    again = quilt(values, frames, known, known, wanted, (5.0,))
    assert again is not None
    np.testing.assert_array_equal(again.label, found.label)
    np.testing.assert_array_equal(again.patches, found.patches)


def test_a_quilt_goes_on_across_the_border_and_keeps_to_the_direction_of_hair() -> None:
    known, wanted = sector()
    _, azimuth = polar()
    values = strands(azimuth, 3)
    frames = radial_frames(SIDE)
    found = quilt(values, frames, known, known, wanted, (5.0,))
    assert found is not None
    chart = np.zeros((SIDE, SIDE), np.uint8)
    scale = 127.0 / np.abs(values).max()
    flat = np.zeros((SIDE, SIDE), np.float32)
    sew(found, np.where(known, values, 0.0), flat, chart, zero=128.0, one=scale)
    hair = (chart.astype(np.float32) - 128.0) / scale
    inside = blur((wanted & ~known).astype(np.float32), 1.5) > 0.99
    assert hair[inside].std() == pytest.approx(values[known].std(), rel=0.25)
    # Slopes away from the crown and across it, per centimetre.
    dy, dx = np.gradient(hair)
    slopes = np.einsum("ijc,ijck->ijk", np.stack([dx, dy], -1), frames)[inside]
    along, across = np.abs(slopes).mean(axis=0)
    assert along < 0.35 * across
    # Steps over the border are those of hair within: far less than between places at random.
    rows, columns = np.nonzero(known[:, :-1] & (found.label[:, 1:] > OWN))
    over = np.abs(hair[rows, columns + 1] - hair[rows, columns]).mean()
    rows, columns = np.nonzero(known[:, :-1] & known[:, 1:])
    within = np.abs(hair[rows, columns + 1] - hair[rows, columns]).mean()
    assert over < 1.5 * within


def test_too_little_hair_is_not_quilted() -> None:
    known, wanted = sector()
    _, azimuth = polar()
    little = np.zeros_like(known)
    little[90:93, 60:68] = True
    assert (
        quilt(strands(azimuth, 0), radial_frames(SIDE), known, little, wanted, (5.0, 3.0)) is None
    )


# On a photo.


def test_what_the_photo_adds_to_the_fill_agrees_with_a_naive_version() -> None:
    random = np.random.default_rng(4)
    side, ratio, limit = 7, 3, 0.6
    luma = random.integers(0, 256, (15, 20)).astype(np.uint8)
    maps = np.zeros((side, side, 10), np.float32)
    maps[..., 0:4:2] = random.uniform(-2, 21, (side, side, 2))  # columns of the two samples
    maps[..., 1:4:2] = random.uniform(-2, 16, (side, side, 2))
    maps[..., 4:6] = random.uniform(0, 0.5, (side, side, 2)) * random.choice(
        [0, 1], (side, side, 2)
    )
    maps[..., 6:8] = random.uniform(2, 6, (side, side, 2))
    maps[..., 8] = random.choice([0.0, 0.5, 1.0], (side, side))
    smooth = random.standard_normal((side, side)).astype(np.float32)
    added = _added_by_photo(maps, luma, 2.0, smooth, limit, side * ratio)

    compared = 0
    for y, x in np.ndindex(added.shape):
        cx, cy = (min(max((t + 0.5) / ratio - 0.5, 0.0), side - 1.001) for t in (x, y))
        around = maps[int(cy) : int(cy) + 2, int(cx) : int(cx) + 2]
        px, py, qx, qy, own, second, fill, second_fill = bilinear(maps, cx, cy)[:8]
        hairy = ((around[..., 8] > 0) & (around[..., 4] + around[..., 5] > 0)).any()
        if not hairy or own + second <= 0.02:
            assert added[y, x] == 0.0
            continue
        first, other = (math.log(max(bilinear(luma, *at), 6.0)) for at in ((px, py), (qx, qy)))
        mean = (own * (first - fill) + second * (other - second_fill)) / (own + second)
        value = mean - bilinear(smooth, cx, cy)
        assert added[y, x] == pytest.approx(value / math.hypot(1.0, value / limit), abs=1e-4)
        compared += 1
    assert compared > 100


def test_unseen_hair_has_the_contrast_and_the_hues_of_the_hair_seen(
    astronaut_face: facerot.FittedFace, model: HeadModel
) -> None:
    appearance = astronaut_face.state.appearance
    detail = appearance.detail
    values = detail.chart[..., 1].astype(np.float32) - DETAIL_ZERO
    places = np.round(appearance.detail_xy).astype(int).T[::-1]
    at_vertices = values[tuple(places)] / 32.0 * detail.level[2]
    back = (appearance.hair > 0.9) & (model.fine.vertices[:, 2] < 0.0)
    assert 0.1 < at_vertices[back].std() < 0.35
    assert abs(at_vertices[back].mean()) < 0.08
    # Fair hair: the lights are pale, the shadows brown.
    red, green, blue = detail.tint
    assert red < 0.95 < green < 1.15 < 1.3 < blue
    assert detail.level[1] == 0.0


def test_hair_of_which_too_little_is_seen_is_grain(
    astronaut_face: facerot.FittedFace, model: HeadModel
) -> None:
    count = len(model.fine.vertices)
    appearance = replace(
        astronaut_face.state.appearance,
        confidence=np.zeros(count, np.float32),
        second_confidence=np.zeros(count, np.float32),
        detail=procedural_detail(np.array([0.02, 0.0, 0.0], np.float32)),
    )
    deviation = np.array([0.06, 0.05, 0.04, 0.0], np.float32)
    texture = HairTexture(np.zeros(3), deviation, 0.0, narrow=False, strands=True)
    bald = replace(appearance, hair=np.zeros(count, np.float32))
    assert continue_hair(model, bald, np.zeros(count), texture, 300.0) is appearance.detail
    detail = continue_hair(model, appearance, np.zeros(count), texture, 300.0)
    values = (detail.chart[..., 1].astype(np.float32) - DETAIL_ZERO) / DETAIL_ONE * detail.level[2]
    places = np.round(appearance.detail_xy[appearance.hair > 0.9]).astype(int).T[::-1]
    np.testing.assert_allclose(values[tuple(places)], grain(texture)[tuple(places)], atol=0.005)
    np.testing.assert_array_equal(detail.tint, 1.0)


def test_small_views_get_a_chart_without_what_they_cannot_show() -> None:
    detail = procedural_detail(np.ones(3, np.float32))
    assert detail.chart_for(2.0 * detail.pixels_per_cm) is detail.chart
    small = detail.chart_for(0.2 * detail.pixels_per_cm)
    assert small is detail.chart_for(0.2 * detail.pixels_per_cm)
    deviations = [c[..., 0].astype(float).std() for c in (detail.chart, small)]
    assert deviations[1] < 0.6 * deviations[0]
    assert small.astype(float).mean() == pytest.approx(DETAIL_ZERO, abs=1.0)
