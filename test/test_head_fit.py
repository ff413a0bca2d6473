"""The fit is tested on landmarks made from the model itself, so that the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.geometry import MODEL_TO_CAMERA, Intrinsics, look_at, rotation_from_euler
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.reconstruct.head_fit import fit_head, portrait_camera, seen_share
from opendr_facerot.reconstruct.head_model import HeadModel

CAMERA = Intrinsics.from_fov(640, 640, math.radians(35.0))


def landmarks_of(
    angles: tuple[float, float, float], place: tuple[float, float, float], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Landmarks, pixels and relative depth, of a random head at ``place``; and its vertices."""
    model, rng = HeadModel.load(), np.random.default_rng(seed)
    shape = model.mean + np.tensordot(0.4 * rng.normal(size=len(model.identity)), model.identity, 1)
    rotation = look_at(np.array(place)) @ MODEL_TO_CAMERA @ rotation_from_euler(*angles)
    centre = model.landmarks(model.mean).mean(0)
    vertices = (shape - centre) @ rotation.T + place
    points = model.landmarks(vertices)
    along_ray = (points - place) @ look_at(np.array(place))[:, 2]  # as in a crop of the face
    depth = along_ray * CAMERA.focal / place[2]
    return np.column_stack([CAMERA.project(points), depth]), vertices


def share_seen(model: HeadModel, vertices: NDArray[np.floating]) -> NDArray[np.floating]:
    normals = model.landmarks(model.coarse.topology.vertex_normals(vertices))
    return seen_share(normals, model.landmarks(vertices))


@pytest.mark.parametrize("yaw_deg", [-60, -30, 0, 30, 60])
@pytest.mark.parametrize("pitch_deg", [-20, 0, 20])
def test_pose_of_a_known_head(yaw_deg: float, pitch_deg: float) -> None:
    truth = (math.radians(yaw_deg), math.radians(pitch_deg), 0.14)
    landmarks, _ = landmarks_of(truth, (0.0, 0.0, 70.0))
    fit = fit_head(HeadModel.load(), landmarks, CAMERA)
    assert np.degrees(fit.angles) == pytest.approx(np.degrees(truth), abs=3.0)


def test_a_head_beside_the_optical_axis_appears_as_it_does_on_the_axis() -> None:
    truth = (0.3, 0.1, 0.0)
    centred = fit_head(HeadModel.load(), landmarks_of(truth, (0.0, 0.0, 70.0))[0], CAMERA)
    aside = fit_head(HeadModel.load(), landmarks_of(truth, (15.0, -10.0, 70.0))[0], CAMERA)
    assert np.degrees(aside.angles) == pytest.approx(np.degrees(centred.angles), abs=2.0)


def test_fitted_landmarks_land_on_their_pixels() -> None:
    landmarks, _ = landmarks_of((0.2, -0.1, 0.05), (2.0, 1.0, 60.0), seed=3)
    model = HeadModel.load()
    fit = fit_head(model, landmarks, CAMERA)
    pixels = CAMERA.project(model.landmarks(fit.vertices))
    error = np.linalg.norm(pixels - landmarks[:, :2], axis=1)
    seen = share_seen(model, fit.vertices) == 1.0
    assert seen.mean() > 0.7
    assert error[seen].mean() < 0.35
    assert fit.residual < 4.0


@pytest.mark.parametrize(("distance", "assumed"), [(40.0, 120.0), (90.0, 120.0), (200.0, 200.0)])
def test_a_portrait_is_taken_from_a_portrait_s_distance(distance: float, assumed: float) -> None:
    model = HeadModel.load()
    landmarks, _ = landmarks_of((0.3, 0.1, 0.0), (2.0, -1.0, distance))
    camera = portrait_camera(model, landmarks, CAMERA)
    assert (camera.cx, camera.cy) == (CAMERA.cx, CAMERA.cy)
    centre = model.landmarks(fit_head(model, landmarks, camera).vertices).mean(0)
    assert centre[2] == pytest.approx(assumed, rel=0.06)
    assert camera.focal == pytest.approx(CAMERA.focal * assumed / distance, rel=0.06)


@pytest.mark.slow
def test_a_crop_is_no_camera_at_arm_s_length_unless_it_is_known_to_be_one(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    crop = np.ascontiguousarray(astronaut[60:230, 140:310])
    wide = HeadRotator(HeadRotator.Settings(fov=math.radians(35.0)))
    assumed, known = (one.fit(crop)[0].state.pivot[2] for one in (rotator, wide))
    assert assumed > 115.0
    assert known < 60.0


def test_landmarks_on_the_averted_side_do_not_pull_the_head_along() -> None:
    """The landmark net only guesses them: what they ask for is left undone."""
    model = HeadModel.load()
    landmarks, vertices = landmarks_of((math.radians(45.0), 0.0, 0.0), (0.0, 0.0, 70.0))
    averted = share_seen(model, vertices) < 0.1
    assert averted.sum() > 20
    wrong = landmarks.copy()
    wrong[averted, 0] += 15.0
    moved = [
        CAMERA.project(model.landmarks(fit_head(model, points, CAMERA).vertices))[:, 0]
        for points in (landmarks, wrong)
    ]
    followed = (moved[1] - moved[0]) / 15.0
    assert abs(followed[averted].mean()) < 0.35
    assert np.abs(followed[~averted]).mean() < 0.05


def test_shape_and_distance_of_a_known_head() -> None:
    landmarks, vertices = landmarks_of((0.25, 0.0, 0.0), (0.0, 0.0, 70.0), seed=5)
    model = HeadModel.load()
    fit = fit_head(model, landmarks, CAMERA)
    wrong = model.landmarks(fit.vertices) - model.landmarks(vertices)
    # A camera cannot tell a large head from a near one: compare up to the distance.
    scale = model.landmarks(vertices)[:, 2].mean() / model.landmarks(fit.vertices)[:, 2].mean()
    assert scale == pytest.approx(1.0, abs=0.06)
    wrong = model.landmarks(fit.vertices) * scale - model.landmarks(vertices)
    assert np.linalg.norm(wrong, axis=1).mean() < 0.45  # centimetres


def test_expressions_stay_within_their_range() -> None:
    landmarks, _ = landmarks_of((0.0, 0.0, 0.0), (0.0, 0.0, 70.0))
    landmarks[200:260, 1] += 40.0  # a mouth torn open beyond what faces can do
    fit = fit_head(HeadModel.load(), landmarks, CAMERA)
    assert fit.expression.min() >= -0.15
    assert fit.expression.max() <= 1.1
    assert np.isfinite(fit.vertices).all()
