"""Generated faces as pictures: 8-bit conversion, five landmarks, aligned crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.generate.aligned_crop import (
    ARCFACE_TEMPLATE,
    aligned_crop,
    five_landmarks,
    image_from_output,
)


def test_output_is_truncated_to_8_bits() -> None:
    values = np.array([-2.0, -1.0, -0.997, 0.0, 0.999, 1.0, 3.0], np.float32)
    output = np.stack([values, values[::-1], np.zeros(7, np.float32)])[:, None]
    image = image_from_output(output)
    assert image.shape == (1, 7, 3)
    assert image.dtype == np.uint8
    expected = [0, 0, 0, 127, 254, 255, 255]
    assert image[0, :, 0].tolist() == expected
    assert image[0, :, 1].tolist() == expected[::-1]
    assert set(image[0, :, 2]) == {127}


def test_every_level_survives_the_way_to_the_generator_and_back() -> None:
    levels = np.arange(256, dtype=np.float32)
    centred = ((levels + 0.5) / 255 * 2 - 1).astype(np.float32)  # truncation needs a margin
    batch = np.broadcast_to(centred, (2, 3, 1, 256))
    images = image_from_output(batch)
    assert images.shape == (2, 1, 256, 3)
    assert (images == np.arange(256)[:, None]).all()


def test_five_landmarks_of_68() -> None:
    landmarks = np.random.default_rng(0).uniform(0.0, 256.0, (68, 3))
    five = five_landmarks(landmarks)
    assert five.shape == (5, 2)
    for k in range(2):
        assert five[0, k] == pytest.approx(sum(landmarks[36:42, k]) / 6)
        assert five[1, k] == pytest.approx(sum(landmarks[42:48, k]) / 6)
        assert five[2, k] == landmarks[31, k]
        assert five[3, k] == landmarks[48, k]
        assert five[4, k] == landmarks[54, k]


def test_crop_brings_the_landmarks_to_the_template() -> None:
    angle, scale = 0.3, 1.4
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = ARCFACE_TEMPLATE @ turn.T + [40.0, 20.0]
    image = np.zeros((256, 256, 3), np.uint8)
    for channel, (x, y) in enumerate(landmarks[:3]):
        mark = np.ascontiguousarray(image[..., channel])
        cv2.circle(mark, (round(x * 16), round(y * 16)), 4 * 16, 255, -1, cv2.LINE_AA, shift=4)
        image[..., channel] = mark
    crop = aligned_crop(image, landmarks).astype(np.float64)
    assert crop.shape == (224, 224, 3)
    grid = np.arange(224)
    for channel in range(3):
        mass = crop[..., channel]
        centre = (mass.sum(0) @ grid / mass.sum(), mass.sum(1) @ grid / mass.sum())
        np.testing.assert_allclose(centre, 2.0 * ARCFACE_TEMPLATE[channel], atol=0.1)


def test_crop_is_black_outside_the_image() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    crop = aligned_crop(white, ARCFACE_TEMPLATE)  # the image's 64 pixels become 128
    assert (crop[:126, :126] == 255).all()
    assert not crop[128:].any()
    assert not crop[:, 128:].any()


@pytest.mark.parametrize(
    "landmarks", [np.full((5, 2), 3.0), np.full((5, 2), np.nan), ARCFACE_TEMPLATE[:4]]
)
def test_landmarks_that_define_no_face(landmarks: NDArray[np.float64]) -> None:
    with pytest.raises(ImageError, match="define no face"):
        aligned_crop(np.zeros((64, 64, 3), np.uint8), landmarks)
