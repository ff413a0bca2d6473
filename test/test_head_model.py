"""What the packaged head model is computed from when it is loaded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from opendr_facerot.reconstruct.head_model import HeadModel


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def test_warp_is_smoothed_interpolation_with_radial_basis_functions(model: HeadModel) -> None:
    landmarks = model.landmarks(model.mean)
    depth = model.mean[:, 2]
    at_the_back = model.mean[depth < np.median(depth) - 4.0][::15]
    displacements = np.random.default_rng(0).normal(size=landmarks.shape)
    interpolator = RBFInterpolator(
        np.vstack([landmarks, at_the_back]),
        np.vstack([displacements, np.zeros_like(at_the_back)]),
        kernel="linear",
        smoothing=1.0,
    )
    # In float32, for displacements of about 1 cm.
    np.testing.assert_allclose(model.warp(displacements), interpolator(model.mean), atol=1e-3)


def test_warp_moves_the_face_and_not_the_back_of_the_head(model: HeadModel) -> None:
    moved = model.warp(np.ones((468, 3)))
    nose_tip, back = model.mean[:, 2].argmax(), model.mean[:, 2].argmin()
    np.testing.assert_allclose(moved[nose_tip], 1.0, atol=0.02)
    np.testing.assert_allclose(moved[back], 0.0, atol=0.1)
