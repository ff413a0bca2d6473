from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.filters import blur, disc, guided_filter, pull_push, sample_bilinear, smoothstep


def test_smoothstep_ramps_both_ways() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(smoothstep(0.0, 1.0, x), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(1.0, 0.0, x), [1, 1, 0.5, 0, 0])
    assert smoothstep(0.0, 4.0, 1.0) == pytest.approx(3 / 16 - 2 / 64)


def test_disc_is_round_and_never_empty() -> None:
    assert disc(0.1).shape == (3, 3)
    assert disc(5.0).sum() == pytest.approx(np.pi * 5.0**2, rel=0.15)


def test_bilinear_samples_follow_the_formula() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((20, 30, 3)).astype(np.float32)
    points = rng.uniform([0, 0], [29, 19], (9000, 2))
    x, y = np.floor(points).astype(int).T
    u, v = (points - np.floor(points)).T[..., None]
    x1, y1 = np.minimum(x + 1, 29), np.minimum(y + 1, 19)
    top = image[y, x] * (1 - u) + image[y, x1] * u
    bottom = image[y1, x] * (1 - u) + image[y1, x1] * u
    expected = top * (1 - v) + bottom * v
    # cv2.remap rounds positions to 1/32 pixel.
    np.testing.assert_allclose(sample_bilinear(image, points), expected, atol=1 / 24)
    assert sample_bilinear(image, np.zeros((0, 2))).shape == (0, 3)
    np.testing.assert_array_equal(
        sample_bilinear(image, np.array([[-50.0, 99.0]]))[0], image[19, 0]
    )


def test_guided_filter_against_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    guide, image = rng.random((2, 12, 14)).astype(np.float32)
    radius, epsilon = 2, 1e-2

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(values, radius, mode="edge")
        side = 2 * radius + 1
        return np.array(
            [[padded[r : r + side, c : c + side].mean() for c in range(14)] for r in range(12)]
        )

    variance = mean(guide**2) - mean(guide) ** 2
    slope = (mean(guide * image) - mean(guide) * mean(image)) / (variance + epsilon)
    expected = mean(slope) * guide + mean(mean(image) - slope * mean(guide))
    np.testing.assert_allclose(
        guided_filter(guide, image, radius, epsilon), expected, rtol=1e-3, atol=1e-4
    )


def test_pull_push_keeps_what_is_known_and_fills_the_rest() -> None:
    image = np.zeros((65, 80, 3), np.float32)
    image[:, :40], image[:, 40:] = (200, 100, 50), (50, 100, 200)
    known = np.ones((65, 80), np.float32)
    cv2.circle(known, (40, 32), 15, 0.0, -1)
    filled = pull_push(image * known[..., None], known)
    np.testing.assert_array_equal(filled[known == 1], image[known == 1])
    hole = filled[known == 0]
    assert hole.min() >= 50 - 1e-3
    assert hole.max() <= 200 + 1e-3
    assert filled[32, 28, 0] > 130 > 120 > filled[32, 52, 0]  # each side continues its own colour


def test_pull_push_of_a_constant_is_that_constant() -> None:
    known = np.zeros((33, 47), np.float32)
    known[0, 0] = 1.0
    filled = pull_push(np.full((33, 47, 3), 77.0, np.float32), known)
    np.testing.assert_allclose(filled, 77.0, rtol=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 4.3, 6.0, 13.7])
@pytest.mark.parametrize("size", [(96, 131), (97, 131), (466, 200), (9, 70)])
def test_blur_is_a_gaussian(sigma: float, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = (random.random((*size, 3)) < 0.5).astype(np.float32)
    image[:, -20:] = 1.0
    expected = cv2.GaussianBlur(image, (0, 0), sigma)
    np.testing.assert_allclose(blur(image, sigma), expected, atol=0.002)
    assert np.abs(blur(image, sigma) - expected).mean() < 3e-4
    np.testing.assert_allclose(blur(image[..., 0], sigma), blur(image, sigma)[..., 0], atol=1e-6)
