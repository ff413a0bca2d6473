"""What the packaged head model is computed from when it is loaded."""

from __future__ import annotations

import subprocess
import sys

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


def test_the_warp_may_be_used_by_several_threads() -> None:
    """In a process of its own: pivots shared between calls of LAPACK have crashed it."""
    program = """
import threading
import subprocess
import sys

import numpy as np
from opendr_facerot.reconstruct.head_model import HeadModel

warp = HeadModel.load().warp
given = np.random.default_rng(0).normal(size=(468, 3))
expected, different = warp(given), []

def repeat():
    for _ in range(300):
        if not np.array_equal(warp(given), expected):
            different.append(1)

threads = [threading.Thread(target=repeat) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not different
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
