from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.filters import disc
from opendr_facerot.generate.foreground import extend_foreground, interior_of
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.background import fill_background
from opendr_facerot.render.compose import (
    behind_face,
    lay_over,
    over_colour,
    over_plate,
    place,
    straight_alpha,
)
from opendr_facerot.render.plate import Plate, make_plate


@pytest.fixture
def head() -> NDArray[np.float32]:
    """One opaque, one half-covered and one empty pixel, premultiplied."""
    return np.array([[[100, 50, 20, 1.0], [60, 30, 10, 0.5], [0, 0, 0, 0.0]]], np.float32)


def test_a_head_over_a_colour(head: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(
        over_colour(head, (200, 100, 0)), [[[100, 50, 20], [160, 80, 10], [200, 100, 0]]]
    )


def test_straight_alpha_is_not_premultiplied(head: NDArray[np.float32]) -> None:
    colour, alpha = straight_alpha(head)
    np.testing.assert_array_equal(colour, [[[100, 50, 20], [120, 60, 20], [0, 0, 0]]])
    np.testing.assert_array_equal(alpha, [[255, 128, 0]])


def test_the_collar_lies_in_front_of_the_head(head: NDArray[np.float32]) -> None:
    behind = np.full((1, 3, 3), 40, np.uint8)
    collar = np.zeros((1, 3, 4), np.uint8)
    collar[0, 0] = (9, 9, 9, 255)
    np.testing.assert_array_equal(
        over_plate(head, behind, collar), [[[9, 9, 9], [80, 50, 30], [40, 40, 40]]]
    )


def test_a_face_lies_in_front_of_the_collar() -> None:
    collar = np.full((40, 50, 4), 255, np.uint8)
    corners = np.array([[10.0, 12.0], [30.0, 12.0], [30.0, 35.0], [10.0, 35.0], [20.0, 20.0]])
    alpha = behind_face(collar, corners)[..., 3]
    assert alpha[14:34, 12:29].max() == 0
    outside = np.ones((40, 50), bool)
    outside[10:38, 8:33] = False
    assert alpha[outside].min() == 255
    assert collar.min() == 255  # left as it was


def test_laying_over_is_associative_with_a_colour(head: NDArray[np.float32]) -> None:
    layer = np.full((1, 3, 4), (10, 20, 30, 102), np.uint8)  # 40 % opaque
    layer_premultiplied = np.full((1, 3, 4), (4, 8, 12, 0.4), np.float32)
    below = over_colour(layer_premultiplied, (100, 100, 100)).astype(np.float32)
    expected = head[..., :3] + below * (1 - head[..., 3:])
    found = over_colour(lay_over(head, layer), (100, 100, 100))
    np.testing.assert_allclose(found, expected, atol=1.0)
    np.testing.assert_array_equal(lay_over(head, layer, 0.0), head)


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(image + 0.5, 0.0, 255.0).astype(np.uint8)


def test_layers_equal_numpy_s_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    alpha = random.choice([0.0, 0.25, 0.6, 1.0], (40, 30, 1)).astype(np.float32)
    head = np.dstack([random.uniform(0, 255, (40, 30, 3)) * alpha, alpha]).astype(np.float32)
    behind = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    layer = random.integers(0, 256, (40, 30, 4), dtype=np.uint8)
    layer[::3, :, 3] = 0
    free, opacity = 1 - alpha, layer[..., 3:].astype(np.float32) / 255

    between = (head[..., :3] + behind * free) * (1 - opacity) + layer[..., :3] * opacity
    np.testing.assert_array_equal(over_plate(head, behind, layer), to_uint8(between))
    over = head[..., :3] + np.array([9, 99, 199], np.float32) * free
    np.testing.assert_array_equal(over_colour(head, (9, 99, 199)), to_uint8(over))
    weak = layer[..., 3:] * np.float32(0.3 / 255)
    under = np.dstack([layer[..., :3] * weak, weak]) * free
    np.testing.assert_array_equal(lay_over(head, layer, 0.3), head + under)
    straight = np.where(alpha > 0, head[..., :3] / np.maximum(alpha, np.float32(1e-6)), 0)
    colour, opaque = straight_alpha(head)
    np.testing.assert_array_equal(colour, to_uint8(straight))
    np.testing.assert_array_equal(opaque, to_uint8(255 * alpha[..., 0]))


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.7])
def test_place_maps_points_as_it_says(scale: float) -> None:
    y, x = np.mgrid[0:200, 0:200]
    spot = 255 * np.exp(-((x - 120) ** 2 + (y - 80) ** 2) / 200)
    offset = np.array([5.0, 12.0])
    placed = place(np.dstack([spot] * 3).astype(np.uint8), scale, offset, 400)[..., 0].astype(float)
    rows, columns = np.mgrid[0:400, 0:400]
    centre = np.array([(columns * placed).sum(), (rows * placed).sum()]) / placed.sum()
    np.testing.assert_allclose(centre, scale * np.array([120, 80]) + offset, atol=0.3)


def test_large_views_show_the_photo_s_own_detail(astronaut_face: facerot.FittedFace) -> None:
    scenery = astronaut_face.state.scenery
    size = 1000
    frame = scenery.frame(size)
    photo = frame.photo[..., :3].astype(int)
    far = np.s_[size // 20 : size // 4, : size // 5]  # wall
    suit = np.s_[-size // 10 : -size // 50, size // 4 : size // 2]
    for part in (far, suit):
        assert np.abs(frame.behind[part] - photo[part]).max() <= 3
    middle = np.s_[size // 2 - 80 : size // 2 + 80, size // 2 - 80 : size // 2 + 80]
    assert np.abs(frame.person[..., :3][middle] - photo[middle]).max() <= 3
    # The plate alone is too coarse for that; where the head was, it is shown as it is.
    small = scenery.plate.behind
    scale = size / (2.3 * scenery.work.face_height)
    offset = (size - 1) / 2 - scale * scenery.centre
    soft = place(small, scale, offset, size)
    assert np.abs(soft[suit] - photo[suit]).max() > 20
    np.testing.assert_array_equal(frame.behind[middle], soft[middle])


def test_the_plate_shows_no_head(rotator: HeadRotator, astronaut_face: facerot.FittedFace) -> None:
    """Wall replaces the middle of her face; her suit and the wall far from her stay."""
    state = astronaut_face.state.scenery
    photo, behind = state.work.image.astype(int), state.plate.behind.astype(int)
    column, row = state.work.centre.astype(int)
    middle = (slice(row - 30, row + 20), slice(column - 30, column + 30))
    wall = photo[15:80, 30:80].reshape(-1, 3).mean(0)
    assert np.abs(behind[middle] - wall).mean() < 30
    assert np.abs(photo[middle] - wall).mean() > 30
    matte = rotator._matting.matte(state.work.image)
    near_person = cv2.dilate(matte, disc(20)) > 0.05
    far = ~near_person & (state.work.inside > 0.99)
    assert far.mean() > 0.1
    np.testing.assert_array_equal(behind[far], photo[far])
    suit = (slice(-30, None), slice(30, 100))
    assert np.abs(behind[suit] - photo[suit]).mean() < 6


SIDE, HEIGHT, CHIN_ROW = 310, 100.0, 160
BLUE, RED, GREEN, SKIN = (40, 60, 200), (200, 40, 40), (40, 160, 40), (210, 160, 140)


def plate_of(
    last_row: int = SIDE,
    last_column: int = SIDE,
    locks: float | None = None,
    collar_row: int = 178,
) -> Plate:
    """Of a head and neck in red clothing before blue, a green neighbour at the right.

    Args:
        last_row: Row that the photo is cut at.
        last_column: Column that it is cut at.
        locks: Something green hangs near at the left, too: the probability that it is hair.
        collar_row: Row that the clothing beside the neck begins at.
    """
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lateral = np.abs(columns - 155)
    head = (lateral < 42) & (rows > 55) & (rows <= CHIN_ROW)
    neck = (lateral < 28) & (rows > CHIN_ROW) & (rows < 190)
    torso = (lateral < 80) & (rows >= 178) & ~neck
    torso |= (lateral < 44) & (lateral >= 28) & (rows >= collar_row)
    neighbour = (columns > 265) & (rows > 70)
    left = (columns > 71) & (columns < 86) & (rows > 100) & (locks is not None)
    neighbour |= left
    head &= ~torso
    image = np.full((SIDE, SIDE, 3), BLUE, np.uint8)
    for mask, colour in ((torso, RED), (neighbour, GREEN), (head | neck, SKIN)):
        image[mask] = colour
    image[last_row:] = image[last_row - 1]
    image[:, last_column:] = image[:, last_column - 1 : last_column]
    inside = ((rows < last_row) & (columns < last_column)).astype(np.float32)
    matte = (head | neck | torso | neighbour).astype(np.float32) * inside
    points = np.zeros((478, 3))
    points[10, :2], points[152, :2] = (155, CHIN_ROW - HEIGHT), (155, CHIN_ROW)
    camera, origin = Intrinsics(500.0, 155.0, 155.0), np.zeros(2)
    work = WorkImage(image, inside, 1.0, origin, points, camera, HEIGHT, image, origin)
    distance = np.where(torso | neighbour, 50.0, 0.0).astype(np.float32)
    look = Appearance(head, distance, distance, left * np.float32(locks or 0.0), has_hair=True)
    background = fill_background(work, matte)
    foreground = extend_foreground(work, interior_of(matte, HEIGHT))
    return make_plate(work, matte, foreground, look, background, head)


def share_of(colour: tuple[int, int, int], pixels: NDArray[np.uint8]) -> float:
    away = np.abs(pixels.astype(int) - colour).max(axis=-1)
    return float((away < 25).mean())


def test_only_the_head_is_taken_from_the_photo() -> None:
    plate = plate_of()
    assert share_of(SKIN, plate.behind[: CHIN_ROW - 5]) == 0.0
    assert share_of(BLUE, plate.behind[70:140, 130:180]) > 0.5  # what was around
    assert share_of(GREEN, plate.behind[90:, 272:]) > 0.98  # and the neighbour stays whole


def test_hair_is_taken_with_its_head_and_a_veil_stays() -> None:
    beside = np.s_[150:158, 74:84]
    assert share_of(GREEN, plate_of(locks=0.0).behind[beside]) > 0.9
    assert share_of(GREEN, plate_of(locks=1.0).behind[beside]) == 0.0


def test_hair_that_the_photo_cuts_leaves_no_rest_on_the_body() -> None:
    beside = np.s_[:, 66:92]
    assert share_of(GREEN, plate_of(locks=1.0).behind[beside][175:]) > 0.3  # falls on the torso
    assert share_of(GREEN, plate_of(last_row=190, locks=0.0).behind[beside][150:188]) > 0.3
    cut = plate_of(last_row=190, locks=1.0).behind[beside]
    assert share_of(GREEN, cut) == 0.0
    assert share_of(BLUE, cut[150:165]) > 0.95  # a shoulder slopes from the neck
    assert share_of(BLUE, cut[230:]) == 0.0  # and widens


def test_the_collar_is_all_of_the_clothing_below_the_chin() -> None:
    alpha = plate_of().collar[..., 3]
    assert alpha[200:, 90:110].min() > 240
    assert alpha[: CHIN_ROW - 40].max() == 0
    assert alpha[CHIN_ROW:175, 135:175].max() == 0  # the neck itself


def test_a_collar_goes_round_the_neck() -> None:
    """Behind a head that turns away there is its back, as high as it stands at the sides."""
    back = np.s_[148:154, 120:190]
    assert share_of(BLUE, plate_of().behind[back]) == 1.0
    plate = plate_of(collar_row=145)
    red, _, blue = plate.behind[back].astype(int).transpose(2, 0, 1)
    assert (red - blue).min() > 50  # of clothing and neck, where blue background was
    assert plate.collar[148:156, 190:196, 3].min() > 240
    assert plate.collar[140:156, 140:170, 3].max() == 0
    assert share_of(RED, plate.behind[:138]) == 0.0


def test_a_neck_that_the_photo_cuts_widens_to_shoulders() -> None:
    """Row after row by less than 2 pixels on either side, and no wider than shoulders are."""
    behind = plate_of(last_row=175).behind[178:, :262]
    widths = np.round(behind.shape[1] * np.array([1.0 - share_of(BLUE, row) for row in behind]))
    assert 50 < widths[0] < 75
    assert np.diff(widths).max() <= 6
    assert widths.max() == pytest.approx(2 * 1.15 * HEIGHT, abs=20)
    assert (np.diff(widths) >= -1).all()


def test_a_shoulder_that_the_photo_cuts_falls_off_beside_it() -> None:
    behind = plate_of(last_column=205).behind
    reds = behind[:, 210:300].astype(int)
    tops = (reds[..., 0] > reds[..., 2]).argmax(axis=0)  # of the shoulder in each column
    np.testing.assert_allclose(tops, 178 + 0.6 * (np.arange(210, 300) - 204), atol=4.0)
    assert share_of(RED, behind[250:, 210:300]) > 0.9
