"""What hair looks like: measured on made-up photos whose hair is known, and made again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.filters import blur
from opendr_facerot.generate.detail import strands
from opendr_facerot.generate.hair_texture import (
    BAND_WIDTHS,
    HairTexture,
    grain,
    measure_hair,
    split_bands,
    subdue,
)
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, CHART_SIDE
from opendr_facerot.generate.observation import Observation, doubt_backlight
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO

SIZE = 560
CHART_PER_CM = CHART_SIDE / CHART_CENTIMETRES
CENTIMETRE = CHART_PER_CM  # pixels of the made-up photo, so that it is measured as it is
FACE_HEIGHT = CENTIMETRE / 0.057
PINK, WHITE = (165, 110, 95), (210, 205, 200)
SKIN, HAIR, SKY = (180, 115, 85), (70, 52, 45), (250, 245, 235)
EVERYWHERE = np.ones((CHART_SIDE, CHART_SIDE), bool)


def photo_of(image: NDArray[np.uint8]) -> WorkImage:
    """A face whose oval is 150 pixels wide, its forehead's top at row 300."""
    points = np.full((478, 3), [SIZE / 2, 350.0, 0.0])
    turn = np.linspace(0.0, 2.0 * np.pi, 478)
    points[:, 0] += 75.0 * np.sin(turn)
    points[:, 1] += 50.0 * np.cos(turn)
    points[10, :2], points[152, :2] = (SIZE / 2, 300.0), (SIZE / 2, 300.0 + FACE_HEIGHT)
    camera = Intrinsics(1000.0, SIZE / 2, SIZE / 2)
    inside = np.ones((SIZE, SIZE), np.float32)
    return WorkImage(
        image, inside, 1.0, np.zeros(2), points, camera, FACE_HEIGHT, image, np.zeros(2)
    )


def scene(
    thickness: float,
    texture: NDArray[np.float32] | None = None,
    colours: NDArray[np.floating] | None = None,
) -> HairTexture:
    """Hair in a band above a forehead, out of focus, in front of the sky.

    Args:
        thickness: Of the band, centimetres.
        texture: ``(SIZE, SIZE)`` natural log, on the hair.
        colours: ``(SIZE, SIZE, 3)`` RGB of the hair, if it is not ``HAIR``.
    """
    bottom = 295
    top = bottom - round(thickness * CENTIMETRE)
    image = np.full((SIZE, SIZE, 3), SKY, np.float32)
    image[bottom:] = SKIN
    image[top:bottom] = HAIR if colours is None else colours[top:bottom]
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    if texture is not None:
        image *= np.exp(texture)[..., None]
    label = np.zeros((SIZE, SIZE), np.float32)
    label[top:bottom, 130:430] = 1.0
    interior = np.zeros((SIZE, SIZE), bool)
    interior[top:] = True
    skin = np.zeros_like(interior)
    skin[330:360, 250:310] = True
    none = np.zeros_like(label)
    look = Appearance(skin, none, none, blur(label, 3.0), has_hair=True)
    sharp = np.clip(np.round(image), 0, 255).astype(np.uint8)
    found = measure_hair(photo_of(sharp), sharp, interior, look)
    assert found is not None
    return found


def band_noise(band: int, deviation: float) -> NDArray[np.float32]:
    random = np.random.default_rng(band)
    white = random.standard_normal((SIZE, SIZE), np.float32)
    noise = split_bands(white, np.ones_like(white, bool), CENTIMETRE)[band]
    return np.asarray(noise * np.float32(deviation / noise.std()))


def test_cropped_hair_keeps_its_colour_between_skin_and_sky() -> None:
    found = scene(thickness=1.2)
    assert found.narrow
    assert not found.strands
    # A mean over the label would be 40 % brighter.
    np.testing.assert_allclose(np.exp(found.colour), HAIR, rtol=0.06)
    assert np.exp(found.brightest) == pytest.approx(np.exp(np.log(SKIN).mean()), rel=0.02)


def test_light_hair_takes_its_hue_from_where_it_shows_least_skin() -> None:
    """White hair through which pink skin shines: neither pink nor as white as its brightest."""
    random = np.random.default_rng(1)
    share = blur(random.standard_normal((SIZE, SIZE), np.float32), 2.0)
    share = np.clip(0.35 + 0.3 * share / share.std(), 0.0, 1.0)[..., None]
    mixed = share * np.log(PINK) + (1.0 - share) * np.log(WHITE)
    found = scene(thickness=1.2, colours=np.exp(mixed))
    hue, white, pink = (c - c.mean() for c in (found.colour, np.log(WHITE), np.log(PINK)))
    shown = hue @ (pink - white) / ((pink - white) @ (pink - white))
    assert shown < 0.3  # of the skin's hue, where its median share is 0.35
    assert found.colour.mean() == pytest.approx(np.median(mixed.mean(axis=-1)), abs=0.03)


def test_a_thick_head_of_hair_is_not_narrow() -> None:
    found = scene(thickness=5.0)
    assert not found.narrow
    np.testing.assert_allclose(np.exp(found.colour), HAIR, rtol=0.03)
    assert found.deviation.max() < 0.02


@pytest.mark.parametrize("band", range(3))
def test_hair_s_contrast_is_measured_at_its_scale(band: int) -> None:
    found = scene(thickness=6.0, texture=band_noise(band, 0.1))
    seen = split_bands(band_noise(band, 0.1), np.ones((SIZE, SIZE), bool), CENTIMETRE)
    expected = [float(part.std()) for part in seen[:-1]]
    np.testing.assert_allclose(found.deviation, expected, atol=0.012)


def test_hair_has_strands_if_they_share_a_direction() -> None:
    random = np.random.default_rng(7)
    noise = random.standard_normal((SIZE, SIZE), np.float32)
    curls = blur(noise, 1.0)
    combed = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.0, sigmaY=12.0)
    for texture, expected in ((curls, False), (combed, True)):
        assert scene(6.0, 0.1 * texture / texture.std()).strands == expected


def test_a_photo_without_hair_has_none() -> None:
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    none = np.zeros((SIZE, SIZE), np.float32)
    bald = Appearance(none > 0, none, none, none, has_hair=False)
    assert measure_hair(photo_of(image), image, none == 0, bald) is None
    hidden = replace(bald, has_hair=True)
    assert measure_hair(photo_of(image), image, none == 0, hidden) is None


def test_bands_add_up_and_heed_only_what_is_inside() -> None:
    random = np.random.default_rng(0)
    luma = random.standard_normal((60, 80)).astype(np.float32)
    inside = np.zeros((60, 80), bool)
    inside[10:50, 20:70] = True
    bands = split_bands(luma, inside, 12.0)
    assert len(bands) == len(BAND_WIDTHS) + 1
    np.testing.assert_allclose(np.sum(bands, axis=0), luma, atol=1e-5)
    elsewhere = np.where(inside, luma, 9.0).astype(np.float32)
    for band, other in zip(bands[1:], split_bands(elsewhere, inside, 12.0)[1:], strict=True):
        np.testing.assert_allclose(band[inside], other[inside], atol=1e-4)


@pytest.mark.parametrize("deviation", [(0.1, 0.07, 0.05), (0.03, 0.045, 0.06), (0.08, 0.08, 0.0)])
def test_grain_varies_in_each_band_as_the_hair_does(deviation: tuple[float, ...]) -> None:
    texture = HairTexture(
        np.zeros(3), np.array([*deviation, 0.2], np.float32), 0.0, narrow=False, strands=False
    )
    bands = split_bands(grain(texture), EVERYWHERE, CHART_PER_CM)
    made = np.array([band.std() for band in bands])
    # A Gaussian's bands overlap: none can be quite empty beside a full one.
    np.testing.assert_allclose(made[:3], deviation, atol=0.012 if min(deviation) else 0.04)
    assert made[3] < 0.05  # and no blotches


def test_no_band_of_seen_hair_varies_more_than_in_the_photo() -> None:
    side = 3 * 96
    random = np.random.default_rng(3)
    per_cm = side / CHART_CENTIMETRES
    values = blur(random.standard_normal((side, side), np.float32), 2.0)
    values *= np.float32(0.3) / values.std()
    seen = np.zeros((96, 96), bool)
    seen[20:70, 10:80] = True
    fine = np.kron(seen, np.ones((3, 3), bool))
    box = np.s_[60:210, 30:240]  # all of it is seen
    before = split_bands(values[box], fine[box], per_cm)
    deviation = np.array([band.std() for band in before[:-1]], np.float32)
    wanted = (deviation * [1.0, 1.0, 0.4, 0.5]).astype(np.float32)
    wanted[0] = np.hypot(wanted[0], np.float32(0.07))
    texture = HairTexture(np.zeros(3), wanted, 0.0, narrow=False, strands=True)
    changed = values.copy()
    lacking = subdue(changed, seen, seen, texture)
    expected = before[0] + before[1] + 0.4 * before[2] + 0.5 * before[3] + before[4]
    np.testing.assert_allclose(changed[box], expected, atol=1e-4)
    np.testing.assert_array_equal(changed[~fine], values[~fine])
    assert lacking == pytest.approx(0.07, abs=1e-3)


def test_strands_are_finer_than_locks() -> None:
    chart = (strands().astype(np.float32) - np.float32(DETAIL_ZERO)) / np.float32(DETAIL_ONE)
    assert chart.std() == pytest.approx(1.0, abs=0.02)
    bands = [band.var() for band in split_bands(chart, EVERYWHERE, CHART_PER_CM)]
    assert sum(bands[:2]) > 0.7 * sum(bands)


def test_light_from_behind_is_doubted_at_the_rim_of_hair_only() -> None:
    texture = HairTexture(
        np.log([90.0, 80.0, 70.0]),
        np.zeros(len(BAND_WIDTHS), np.float32),
        float(np.log([180.0, 120.0, 90.0]).mean()),
        narrow=True,
        strands=False,
    )
    model = HeadModel.load()
    x, y, z = model.fine.vertices.T
    zone = model.fine.zones.scalp
    glare, skin = np.log([240.0, 240.0, 250.0]), np.log([180.0, 120.0, 90.0])
    count = len(zone)

    def doubt(colour: NDArray[np.float64], cosine: float, hair: float) -> NDArray[np.float64]:
        seen = Observation(
            xy=np.zeros((count, 2)),
            normals=np.zeros((count, 3)),
            cosine=np.full(count, cosine),
            confidence=np.ones(count),
            visible=np.ones(count),
            colour=np.tile(colour, (count, 1)),
            hair=np.full(count, hair),
            skin_like=np.ones(count),
            deep_inside=np.ones(count),
        )
        assert doubt_backlight(model, seen, zone, None) is seen
        return 1.0 - np.asarray(doubt_backlight(model, seen, zone, texture).confidence)

    rim = doubt(glare, 0.4, 1.0)
    assert rim[zone].min() > 0.99
    assert rim[(y < 84.0) & (np.abs(x) < 6.0) & (z > 9.0)].max() == 0.0  # the face
    assert doubt(glare, 0.9, 1.0).max() == 0.0
    assert doubt(glare, 0.4, 0.0).max() == 0.0
    assert doubt(skin, 0.4, 1.0).max() == 0.0
    assert doubt(texture.colour, 0.4, 1.0).max() == 0.0


def test_unseen_hair_varies_at_the_scales_of_the_hair_seen(
    astronaut_face: facerot.FittedFace,
) -> None:
    """What is fine in the photo is fine behind, too, and there are no blotches."""
    appearance = astronaut_face.state.appearance
    model = HeadModel.load()
    behind = (appearance.hair > 0.9) & (model.fine.vertices[:, 2] < 2.0)
    mask = np.zeros((CHART_SIDE, CHART_SIDE), np.uint8)
    places = np.round(appearance.detail_xy[behind]).astype(int)
    mask[places[:, 1], places[:, 0]] = 1
    inside = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((25, 25))) > 0
    detail = appearance.detail
    chart = (detail.chart[..., 1].astype(np.float32) - DETAIL_ZERO) / DETAIL_ONE * detail.level[2]
    power = np.array([band[inside].var() for band in split_bands(chart, inside, CHART_PER_CM)])
    *bands, blotches = power
    assert sum(bands[:3]) > blotches
    assert 0.05 < np.sqrt(sum(bands[:2])) < 0.1  # in the photo it is 0.08
