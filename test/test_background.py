"""What is made up where the person was."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.work_image import CHIN, FOREHEAD, WorkImage
from opendr_facerot.render.background import fill_background

SIDE, HEIGHT = 310, 100
LEFT, RIGHT, TOP = 100, 210, 50  # of the person
GREEN = (20, 230, 20)


def on_stripes(last_row: int = SIDE) -> tuple[WorkImage, NDArray[np.float32]]:
    """A green person before vertical stripes, in a photo cut at a row, and its matte."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.dstack([120 + 60 * np.sin(columns / k) for k in (3.0, 4.0, 5.0)])
    person = (columns >= LEFT) & (columns < RIGHT) & (rows >= TOP)
    image[person] = GREEN
    points = np.zeros((478, 3))
    points[FOREHEAD, :2], points[CHIN, :2] = (155, 60), (155, 60 + HEIGHT)
    pixels, origin = image.astype(np.uint8), np.zeros(2)
    inside, camera = (rows < last_row).astype(np.float32), Intrinsics(500.0, 155.0, 155.0)
    work = WorkImage(pixels, inside, 1.0, origin, points, camera, HEIGHT, pixels, origin)
    return work, person.astype(np.float32)


def test_a_background_is_kept_where_it_is_seen() -> None:
    work, matte = on_stripes()
    background = fill_background(work, matte)
    for part in (np.s_[: TOP - 4], np.s_[:, : LEFT - 4], np.s_[:, RIGHT + 4 :]):
        np.testing.assert_allclose(background[part], work.image[part], atol=0.01)


def test_stripes_go_on_where_a_head_was() -> None:
    """Within a fifth of a face height of a straight outline: as in a mirror there."""
    work, matte = on_stripes()
    background = fill_background(work, matte)
    rows, away = np.arange(100, 150)[:, None], np.arange(3, 17)
    outline = LEFT - 1.5  # the matte's, and a margin of 1 pixel around it
    inside, outside = (np.round(outline + sign * away).astype(int) for sign in (1, -1))
    apart = background[rows, inside] - work.image[rows, outside]
    assert np.abs(apart).mean() < 12.0
    assert work.image[rows, outside].astype(float).std() > 30.0


def test_nothing_of_the_person_is_left() -> None:
    work, matte = on_stripes()
    greenish = fill_background(work, matte) @ np.array([-0.5, 1.0, -0.5])
    assert (work.image[100:, LEFT:RIGHT] @ np.array([-0.5, 1.0, -0.5])).min() > 200
    wall = (work.image[: TOP - 4] @ np.array([-0.5, 1.0, -0.5])).max()
    assert greenish.max() <= wall + 1.0


def test_deep_inside_it_is_blurred() -> None:
    work, matte = on_stripes()
    middle = fill_background(work, matte)[150:250, 150:160]
    assert middle.std(axis=(0, 1)).max() < 5.0
    assert np.abs(middle.mean(axis=(0, 1)) - 120.0).max() < 30.0


@pytest.mark.parametrize("last_row", [SIDE, 170])
def test_a_photo_that_shows_nothing_but_the_person_gives_grey(last_row: int) -> None:
    work, _ = on_stripes(last_row)
    everything = np.ones((SIDE, SIDE), np.float32)
    np.testing.assert_array_equal(fill_background(work, everything), 128.0)
