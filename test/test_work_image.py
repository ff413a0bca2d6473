from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.work_image import FACE_HEIGHT, cut_work_image


def landmarks(top: tuple[float, float], chin: tuple[float, float]) -> np.ndarray:  # type: ignore[type-arg]
    points = np.zeros((478, 3))
    points[:, :2] = (np.array(top) + chin) / 2
    points[10, :2], points[152, :2] = top, chin
    return points


def test_the_face_has_the_working_height_and_place() -> None:
    photo = np.zeros((400, 500, 3), np.uint8)
    work = cut_work_image(photo, landmarks((240, 100), (250, 250)), Intrinsics(600, 249.5, 199.5))
    assert work.face_height == pytest.approx(FACE_HEIGHT)
    assert np.linalg.norm(work.landmarks[10] - work.landmarks[152]) == pytest.approx(FACE_HEIGHT)
    side = len(work.image)
    assert work.image.shape == (side, side, 3)
    assert side == pytest.approx(3.1 * FACE_HEIGHT, abs=1)
    # To half a pixel of the photo.
    np.testing.assert_allclose(work.centre, [0.5 * side, 0.47 * side], atol=0.5 * work.scale + 0.5)


def test_small_faces_are_enlarged_only_so_far() -> None:
    photo = np.zeros((200, 200, 3), np.uint8)
    work = cut_work_image(photo, landmarks((100, 80), (100, 110)), Intrinsics(300, 99.5, 99.5))
    assert work.scale == 2.5
    assert work.face_height == pytest.approx(75.0)


@pytest.mark.parametrize("height", [40.0, 200.0, 900.0])
def test_pixels_land_where_scale_and_offset_say(height: float) -> None:
    """A soft blob in the photo is found at its mapped place, whatever was blurred or cropped."""
    y, x = np.mgrid[0:1200, 0:1000]
    spot = np.array([530.3, 610.7])
    sigma = height / 12
    blob = 255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * sigma**2))
    photo = np.dstack([blob] * 3).astype(np.uint8)
    top, chin = (500.0, 600 - height / 2), (500.0, 600 + height / 2)
    work = cut_work_image(photo, landmarks(top, chin), Intrinsics(1500, 499.5, 599.5))
    moments = cv2.moments(work.image[..., 0])
    found = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    np.testing.assert_allclose(found, work.scale * spot + work.offset, atol=0.35)


def test_beyond_the_photo_is_known_to_be_outside() -> None:
    photo = np.full((300, 300, 3), 80, np.uint8)
    work = cut_work_image(photo, landmarks((20, 100), (20, 200)), Intrinsics(400, 149.5, 149.5))
    left = round(work.offset[0])
    assert (work.inside[:, : left - 3] == 0).all()
    assert (work.inside[500:600, left + 6 : left + 300] > 0.99).all()
    assert (work.image == 80).all()


def test_face_coordinates_follow_a_tilted_face() -> None:
    angle = 0.4
    chin = np.array([200.0, 260.0])
    top = chin + 120 * np.array([math.sin(angle), -math.cos(angle)])
    photo = np.zeros((400, 400, 3), np.uint8)
    work = cut_work_image(photo, landmarks(tuple(top), tuple(chin)), Intrinsics(500, 199.5, 199.5))
    height, lateral = work.along_face()
    for point, expected in ((top, 1.0), (chin, 0.0), ((top + chin) / 2, 0.5)):
        column, row = np.round(work.scale * point + work.offset).astype(int)
        assert height[row, column] == pytest.approx(expected, abs=0.01)
        assert lateral[row, column] == pytest.approx(0.0, abs=0.01)
    aside = (top + chin) / 2 + 60 * np.array([math.cos(angle), math.sin(angle)])
    column, row = np.round(work.scale * aside + work.offset).astype(int)
    assert lateral[row, column] == pytest.approx(0.5, abs=0.01)


def test_a_reduced_image_shows_the_same_at_other_pixels() -> None:
    y, x = np.mgrid[0:400, 0:500]
    blob = 255 * np.exp(-((x - 260) ** 2 + (y - 120) ** 2) / 300)
    photo = np.dstack([blob] * 3).astype(np.uint8)
    camera = Intrinsics(600, 249.5, 199.5)
    work = cut_work_image(photo, landmarks((240, 100), (250, 250)), camera)
    reduced = work.reduced(140.0)
    assert reduced.face_height == pytest.approx(140.0, rel=0.01)
    assert np.linalg.norm(reduced.landmarks[10] - reduced.landmarks[152]) == pytest.approx(
        reduced.face_height
    )
    rows, columns = np.mgrid[: len(reduced.image), : len(reduced.image)]
    weight = reduced.image[..., 0].astype(float)
    found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    expected = reduced.scale * np.array([260, 120]) + reduced.offset
    np.testing.assert_allclose(found, expected, atol=0.2)
    point = np.array([[(260 - 249.5) * 50 / 600, (120 - 199.5) * 50 / 600, 50.0]])
    np.testing.assert_allclose(reduced.intrinsics.project(point)[0], expected, atol=1e-6)
    assert reduced.reduced(140.0 * 2) is reduced


@pytest.mark.parametrize(("top", "chin"), [((240, 100), (250, 250)), ((60, 10), (40, 90))])
def test_inside_is_the_eroded_share_of_the_photo(
    top: tuple[float, float], chin: tuple[float, float]
) -> None:
    photo = np.zeros((400, 500, 3), np.uint8)
    work = cut_work_image(photo, landmarks(top, chin), Intrinsics(600, 249.5, 199.5))
    to_work = np.array([[work.scale, 0, work.offset[0]], [0, work.scale, work.offset[1]]])
    whole = cv2.warpAffine(np.ones((400, 500), np.float32), to_work, work.inside.shape)
    expected = cv2.erode(whole, np.ones((3, 3)))
    assert 0.05 < expected.mean() < 0.99
    np.testing.assert_allclose(work.inside, expected, atol=1 / 32)  # cv2's positions are rounded


def test_face_coordinates_at_another_resolution() -> None:
    photo = np.zeros((400, 500, 3), np.uint8)
    work = cut_work_image(photo, landmarks((240, 100), (270, 250)), Intrinsics(600, 249.5, 199.5))
    side = len(work.image) // 2
    for fine, coarse in zip(work.along_face(), work.along_face(side), strict=True):
        means = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(coarse, means, atol=2e-3)
    chin = np.round(work.landmarks[152, :2]).astype(int)
    assert work.along_face()[0][chin[1], chin[0]] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(("top", "chin"), [((240, 100), (250, 250)), ((40, 10), (40, 90))])
def test_a_work_image_is_the_photo_interpolated(
    top: tuple[float, float], chin: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (400, 500, 3), dtype=np.uint8), (0, 0), 2.0)
    work = cut_work_image(photo, landmarks(top, chin), Intrinsics(600, 249.5, 199.5))
    to_work = np.array([[work.scale, 0, work.offset[0]], [0, work.scale, work.offset[1]]])
    expected = cv2.warpAffine(
        photo, to_work, work.inside.shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    assert work.scale > 1.5
    difference = np.abs(work.image.astype(int) - expected)
    assert difference.mean() < 0.5  # cv2's warp rounds positions to 1/32 pixel
    assert np.quantile(difference, 0.999) <= 3
