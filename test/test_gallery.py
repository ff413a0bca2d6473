"""Montages and the names of views."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot import Face, FittedFace, RotatedFace, View, view_grid
from opendr_facerot.gallery import (
    Tile,
    face_tiles,
    faces_montage,
    montage,
    opaque,
    view_caption,
    view_filename,
)

RED, BLUE = (200, 0, 0), (0, 0, 200)


def plain(colour: tuple[int, int, int], height: int = 50, width: int = 50) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def covered(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (exclusive) of the pixels of a colour, which fill that box."""
    rows, columns = np.nonzero(np.all(image == colour, axis=2))
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert len(rows) == (right - left) * (bottom - top)
    return left, top, right, bottom


@pytest.mark.parametrize(
    ("yaw_deg", "pitch_deg", "name"),
    [
        (30, 0, "me_face0_yaw+30_pitch+00.png"),
        (-5, 7, "me_face0_yaw-05_pitch+07.png"),
        (-0.0, -90, "me_face0_yaw+00_pitch-90.png"),
        (12.5, -0.25, "me_face0_yaw+12.5_pitch-00.25.png"),
        (33.3, 1e-3, "me_face0_yaw+33.3_pitch+00.001.png"),
    ],
)
def test_file_names(yaw_deg: float, pitch_deg: float, name: str) -> None:
    (view,) = view_grid([yaw_deg], [pitch_deg], degrees=True)
    assert view_filename("me", 0, view) == name


def test_file_name_of_a_kept_angle() -> None:
    assert view_filename("a.b", 3, View(None, None)) == "a.b_face3_yawkeep_pitchkeep.png"


def test_different_views_have_different_names_that_tell_the_angle() -> None:
    yaws = [0.5, np.nextafter(0.5, 1), float(np.float32(math.pi / 6)), math.pi / 6, 1e-7, -1e-7]
    names = [view_filename("me", 0, View(float(yaw), 0.0)) for yaw in yaws]
    assert len(set(names)) == len(yaws)
    for name, yaw in zip(names, yaws, strict=True):
        match = re.fullmatch(r"me_face0_yaw([+-][0-9.]+)_pitch\+00\.png", name)
        assert match
        assert math.radians(float(match[1])) == pytest.approx(yaw, rel=1e-15)


def test_captions() -> None:
    assert view_caption(View(math.radians(-30), 0.0)) == "yaw -30°  pitch 0°"
    assert view_caption(View(None, math.radians(7.5))) == "yaw kept  pitch +7.5°"
    assert view_caption(View(float(np.float32(math.pi / 6)), -1e-9)) == "yaw +30°  pitch 0°"


def test_tiles_lie_in_rows_and_are_scaled_without_distortion() -> None:
    wide, tall = plain(RED, 25, 50), plain(BLUE, 120, 60)
    picture = montage([Tile(wide, ""), Tile(tall, "")], columns=1, tile_size=64)
    left, top, right, bottom = covered(picture, RED)
    assert (right - left, bottom - top) == (64, 32)
    below = covered(picture, BLUE)
    assert (below[2] - below[0], below[3] - below[1]) == (32, 64)
    assert below[1] > top + 64

    side_by_side = montage([Tile(wide, ""), Tile(tall, "")], columns=2, tile_size=64)
    assert covered(side_by_side, BLUE)[0] > covered(side_by_side, RED)[2]
    assert side_by_side.shape[1] > side_by_side.shape[0]


def test_pictures_of_the_tile_size_keep_their_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    picture = montage([Tile(noise, "x")], tile_size=64)
    assert np.array_equal(picture[4:68, 4:68], noise)


def test_captions_are_written_below_and_fit_the_tile() -> None:
    bare = montage([Tile(plain(RED), "")] * 2, columns=2, tile_size=96)
    long = "a caption that is far too long for its tile at the usual size of type"
    written = montage([Tile(plain(RED), long), Tile(plain(RED), "")], columns=2, tile_size=96)
    rows, columns = np.nonzero(np.any(bare != written, axis=2))
    left, _, right, bottom = covered(bare[:, : bare.shape[1] // 2], RED)
    assert rows.min() >= bottom
    assert left - 2 <= columns.min() < columns.max() <= right + 2


def test_ten_tiles_fill_two_rows_of_five() -> None:
    picture = montage([Tile(plain(RED, 32, 32), "")] * 10, tile_size=32)
    red = np.all(picture == RED, axis=2)
    assert red.any(axis=0).sum() == 5 * 32
    assert red.any(axis=1).sum() == 2 * 32


def test_no_tiles() -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        montage([])


def fitted(box: tuple[float, float, float, float]) -> FittedFace:
    face = Face(np.array(box, np.float32), 0.9, np.zeros((5, 2), np.float32))
    return FittedFace(face, yaw=math.radians(12.3), pitch=math.radians(-0.2), roll=0.0)


def view(colour: tuple[int, int, int], alpha: NDArray[np.uint8] | None = None) -> RotatedFace:
    return RotatedFace(View(0.5, 0.0), 0.5, 0.0, 0.0, 1.0, plain(colour, 64, 64), alpha)


def test_face_is_cut_out_of_the_photo() -> None:
    photo = plain((9, 9, 9), 300, 400)
    photo[100:140, 200:240] = RED
    source, turned = face_tiles(photo, fitted((200, 100, 240, 140)), [view(BLUE)])
    assert source.caption == "photo: yaw +12°  pitch 0°"
    height, width = source.image.shape[:2]
    assert height == width == 84
    assert covered(source.image, RED) == (22, 22, 62, 62)
    assert turned.caption == "yaw +28.6°  pitch 0°"
    assert np.all(turned.image == BLUE)


def test_face_at_the_border_of_the_photo() -> None:
    (tile,) = face_tiles(plain(RED, 60, 80), fitted((-30, 30, 30, 90)), [])
    assert np.all(tile.image == RED)
    assert 0 < tile.image.shape[0] <= 60


def test_each_face_has_a_row() -> None:
    photo = plain((9, 9, 9))
    first = face_tiles(photo, fitted((0, 0, 40, 40)), [view(RED)] * 3)
    second = face_tiles(photo, fitted((9, 9, 30, 30)), [view(BLUE)] * 3)
    picture = faces_montage([first, second], tile_size=64)
    red, blue = (np.all(picture == colour, axis=2) for colour in (RED, BLUE))
    assert red.any(axis=1).sum() == blue.any(axis=1).sum() == 64
    assert not np.any(red.any(axis=1) & blue.any(axis=1))
    assert red.any(axis=0).sum() == 3 * 64


def test_transparent_views_are_laid_over_white() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:10] = 255
    alpha[10:20] = 51
    image = opaque(view((100, 0, 200), alpha))
    assert np.all(image[:10] == (100, 0, 200))
    assert np.all(image[10:20] == (224, 204, 244))
    assert np.all(image[20:] == 255)
    assert opaque(view(RED)) is not None
    assert np.all(opaque(view(RED)) == RED)
