"""Distances in feature space against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from opendr_facerot.reconstruct.appearance import squared_distance


@pytest.mark.parametrize("count", [1, 3])
def test_distance_to_the_nearest_centre(count: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(37, 20, 4)).astype(np.float32)
    centres, spread = rng.normal(size=(count, 4)), rng.uniform(0.5, 2.0, 4)
    away = (features[:, :, None] - centres) / spread
    np.testing.assert_allclose(
        squared_distance(features, centres, spread), (away**2).sum(-1).min(-1), rtol=1e-4
    )
