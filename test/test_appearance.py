"""Features that tell skin from hair, and distances between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from opendr_facerot.reconstruct.appearance import _features, squared_distance


@pytest.mark.parametrize("count", [1, 3])
def test_distance_to_the_nearest_centre(count: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(37, 20, 4)).astype(np.float32)
    centres, spread = rng.normal(size=(count, 4)), rng.uniform(0.5, 2.0, 4)
    away = (features[:, :, None] - centres) / spread
    np.testing.assert_allclose(
        squared_distance(features, centres, spread), (away**2).sum(-1).min(-1), rtol=1e-4
    )


def test_colours_are_those_of_8_bit_lab_but_not_in_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    colours = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (300, 300))
    lab = _features(colours.astype(np.float32), face_height=100.0)[..., :3]
    soft = cv2.GaussianBlur(colours, (0, 0), 0.8)
    assert np.abs(lab - cv2.cvtColor(soft, cv2.COLOR_RGB2LAB)).mean() < 0.5
    # A shade between two 8-bit colours is between them.
    flat = np.full((300, 300, 3), (180.0, 140.0, 120.0), np.float32)
    blue = np.array([0.0, 0.0, 0.4], np.float32)
    between = [_features(flat + k * blue, 100.0)[150, 150, 2] for k in range(3)]
    assert between[0] > between[1] > between[2]
