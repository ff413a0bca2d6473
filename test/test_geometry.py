from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendr_facerot.geometry import (
    MODEL_TO_CAMERA,
    Intrinsics,
    euler_from_rotation,
    fit_similarity,
    look_at,
    rotation_from_euler,
)

NOSE = np.array([0.0, 0.0, 1.0])  # points at the camera in model space
angles = st.floats(-1.5, 1.5)


def test_positive_yaw_turns_the_nose_to_image_right() -> None:
    x, y, _ = rotation_from_euler(yaw=0.5) @ NOSE
    assert x == pytest.approx(math.sin(0.5))
    assert y == 0.0


def test_positive_pitch_looks_down() -> None:
    _, y, _ = rotation_from_euler(0.0, pitch=0.5) @ NOSE
    assert y == pytest.approx(-math.sin(0.5))


def test_positive_roll_turns_counter_clockwise_on_the_screen() -> None:
    x, y, _ = rotation_from_euler(0.0, 0.0, roll=0.5) @ [1.0, 0.0, 0.0]
    assert (x, y) == pytest.approx((math.cos(0.5), math.sin(0.5)))


def test_rotation_is_roll_after_yaw_after_pitch() -> None:
    steps = [rotation_from_euler(0, 0, 0.3), rotation_from_euler(0.7), rotation_from_euler(0, -0.4)]
    np.testing.assert_allclose(
        rotation_from_euler(0.7, -0.4, 0.3), steps[0] @ steps[1] @ steps[2], atol=1e-15
    )


@given(angles, angles, angles)
def test_euler_angles_round_trip(yaw: float, pitch: float, roll: float) -> None:
    found = euler_from_rotation(rotation_from_euler(yaw, pitch, roll))
    assert found == pytest.approx((yaw, pitch, roll), abs=1e-9)


@pytest.mark.parametrize("yaw", [math.pi / 2, -math.pi / 2])
def test_gimbal_lock_gives_angles_of_the_same_rotation(yaw: float) -> None:
    rotation = rotation_from_euler(yaw, 0.3, 0.2)
    found = euler_from_rotation(rotation)
    assert found[2] == 0.0
    np.testing.assert_allclose(rotation_from_euler(*found), rotation, atol=1e-12)


@given(st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_similarity_recovers_an_exact_transform(dimension: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    rotation[:, 0] *= np.sign(np.linalg.det(rotation))
    source = rng.normal(size=(7, dimension))
    target = 1.7 * source @ rotation.T + [5.0, -2.0, 3.0][:dimension]
    found = fit_similarity(source, target, rng.uniform(0.1, 1.0, 7))
    assert found.scale == pytest.approx(1.7)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-9)


def test_similarity_never_mirrors() -> None:
    source = np.random.default_rng(0).normal(size=(9, 3))
    found = fit_similarity(source, source * [-1.0, 1.0, 1.0])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_similarity_refuses_coinciding_points() -> None:
    with pytest.raises(ValueError, match="coincide"):
        fit_similarity(np.ones((4, 2)), np.ones((4, 2)))


def test_projection_agrees_with_opencv() -> None:
    camera = Intrinsics(focal=420.0, cx=310.0, cy=255.0)
    points = np.random.default_rng(1).uniform([-1, -1, 2], [1, 1, 5], (20, 3))
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, None)[0][:, 0]
    np.testing.assert_allclose(camera.project(points), expected, atol=1e-9)


def test_field_of_view_spans_the_rows() -> None:
    camera = Intrinsics.from_fov(640, 480, math.radians(60.0))
    edge = camera.project(np.array([[0.0, math.tan(math.radians(30.0)), 1.0]]))
    np.testing.assert_allclose(edge, [[319.5, 239.5 + 240.0]])


def test_scaled_camera_sees_the_scaled_image() -> None:
    camera, points = Intrinsics(400.0, 319.5, 239.5), np.array([[0.3, -0.2, 1.5]])
    np.testing.assert_allclose(
        camera.scaled(0.5, 10.0, -4.0).project(points), 0.5 * camera.project(points) + [10.0, -4.0]
    )


@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8))
def test_look_at_points_the_axis_without_rolling(x: float, y: float) -> None:
    rotation = look_at(np.array([x, y, 1.0]))
    np.testing.assert_allclose(rotation @ [0, 0, 1], np.array([x, y, 1.0]) / math.hypot(x, y, 1.0))
    assert rotation[1, 0] == pytest.approx(0.0, abs=1e-12)  # the image's x axis stays level
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)


def test_model_to_camera_is_its_own_inverse() -> None:
    np.testing.assert_array_equal(MODEL_TO_CAMERA @ MODEL_TO_CAMERA, np.eye(3))
