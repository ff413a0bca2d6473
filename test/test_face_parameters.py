"""The 62 parameters and the ROI: every formula against a naive one."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.geometry import rotation_from_euler
from opendr_facerot.reconstruct.face_parameters import (
    FaceParameters,
    HeadPose,
    PixelConvention,
    Whitening,
)
from opendr_facerot.reconstruct.roi import MAX_SIDE, crop_roi, roi_from_box, roi_from_landmarks

coordinates = st.floats(-2000, 2000)


def example_parameters() -> FaceParameters:
    random = np.random.default_rng(5)
    camera = np.hstack([5e-4 * rotation_from_euler(0.4, -0.2, 0.1), [[58.0], [66.0], [-71.0]]])
    camera += random.normal(0, 1e-5, (3, 4))  # a network's rows are not quite orthogonal
    values = np.concatenate([camera.ravel(), random.normal(0, 1e5, 40), random.normal(0, 1, 10)])
    return FaceParameters(values, np.array([86.25, 42.5, 246.25, 202.5]))


def naive_projection(
    face: FaceParameters, point: NDArray[np.float64], convention: PixelConvention
) -> list[float]:
    p = face.values[:12]
    x = p[0] * point[0] + p[1] * point[1] + p[2] * point[2] + p[3]
    y = p[4] * point[0] + p[5] * point[1] + p[6] * point[2] + p[7]
    z = p[8] * point[0] + p[9] * point[1] + p[10] * point[2] + p[11]
    if convention is PixelConvention.TDDFA:
        y = 121 - y
    else:
        x, y, z = x - 1, 120 - y, z - 1
    sx, sy, ex, ey = face.roi
    scale_x, scale_y = (ex - sx) / 120, (ey - sy) / 120
    return [x * scale_x + sx, y * scale_y + sy, z * (scale_x + scale_y) / 2]


@pytest.mark.parametrize("convention", list(PixelConvention))
def test_projection(convention: PixelConvention) -> None:
    face = example_parameters()
    points = np.random.default_rng(6).normal(0, 6e4, (40, 3))
    expected = np.array([naive_projection(face, point, convention) for point in points])
    if convention is PixelConvention.TDDFA_V2:
        expected[:, 2] -= expected[:, 2].min()
    projected = face.project(points.astype(np.float32), convention)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, expected, atol=2e-4)


def test_parameters_are_camera_shape_expression() -> None:
    face = FaceParameters(np.arange(62, dtype=np.float64), np.array([0.0, 0.0, 120.0, 120.0]))
    np.testing.assert_array_equal(face.camera[1], [4, 5, 6, 7])
    np.testing.assert_array_equal(face.shape, np.arange(12, 52))
    np.testing.assert_array_equal(face.expression, np.arange(52, 62))


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(-3.0, 3.0), st.floats(1e-5, 1.0))
def test_pose_of_a_scaled_rotation(yaw: float, pitch: float, roll: float, scale: float) -> None:
    rotation = rotation_from_euler(yaw, pitch, roll)
    pose = HeadPose.from_camera(np.hstack([scale * rotation, [[3.0], [4.0], [5.0]]]))
    assert pose.scale == pytest.approx(scale)
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-9)
    np.testing.assert_array_equal(pose.translation, [3, 4, 5])
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), (yaw, pitch, roll), atol=1e-6)


def test_pose_of_rows_that_are_not_orthogonal() -> None:
    camera = example_parameters().camera
    rows = [[float(v) for v in row[:3]] for row in camera]
    lengths = [math.sqrt(sum(v * v for v in row)) for row in rows[:2]]
    a, b = ([v / n for v in row] for row, n in zip(rows[:2], lengths, strict=True))
    c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    yaw = -math.asin(c[0])
    pitch = math.atan2(c[1] / math.cos(yaw), c[2] / math.cos(yaw))
    roll = math.atan2(b[0] / math.cos(yaw), a[0] / math.cos(yaw))
    pose = HeadPose.from_camera(camera)
    assert pose.scale == pytest.approx(sum(lengths) / 2)
    np.testing.assert_allclose(pose.rotation, [a, b, c], atol=1e-12)
    np.testing.assert_allclose((pose.yaw, pose.pitch, pose.roll), (yaw, pitch, roll), atol=1e-7)


def test_positive_yaw_turns_the_nose_to_image_right_and_positive_pitch_down() -> None:
    nose = np.array([[0.0, 0.0, 1e5]], np.float32)
    for yaw, pitch, axis in ((0.5, 0.0, 0), (0.0, 0.5, 1)):
        camera = np.hstack([5e-4 * rotation_from_euler(yaw, pitch), [[60.0], [61.0], [0.0]]])
        values = np.concatenate([camera.ravel(), np.zeros(50)])
        face = FaceParameters(values, np.array([0.0, 0.0, 120.0, 120.0]))
        assert face.pose.yaw == pytest.approx(yaw)
        assert face.pose.pitch == pytest.approx(pitch)
        np.testing.assert_allclose(face.project(nose)[0, axis], 60 + 50 * math.sin(0.5), atol=1e-3)


def test_camera_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match="onto a line"):
        HeadPose.from_camera(np.zeros((3, 4)))


def test_whitening_is_undone_in_float32() -> None:
    random = np.random.default_rng(7)
    mean, std, outputs = (random.random(n).astype(np.float32) + 0.1 for n in (62, 62, (3, 62)))
    parameters = Whitening(mean, std).undo(outputs)
    assert parameters.dtype == np.float32
    for i in range(62):
        assert parameters[1, i] == outputs[1, i] * std[i] + mean[i]


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (np.zeros(61, np.float32), np.ones(62, np.float32), r"mean is float32 \(61,\)"),
        (np.zeros(62), np.ones(62, np.float32), "mean is float64"),
        (np.zeros(62, np.float32), np.zeros(62, np.float32), r"std is as low as 0\.0"),
        (np.full(62, np.inf, np.float32), np.ones(62, np.float32), "mean holds numbers"),
    ],
)
def test_whitening_refuses(
    mean: NDArray[np.float32], std: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Whitening(mean, std)


def test_text_is_that_of_the_original(tmp_path: Path) -> None:
    face = example_parameters()
    np.concatenate([face.values, face.roi]).tofile(tmp_path / "original.txt", sep=" ")
    assert face.to_text() == (tmp_path / "original.txt").read_text()
    again = FaceParameters.from_text(face.to_text())
    np.testing.assert_array_equal(again.values, face.values)
    np.testing.assert_array_equal(again.roi, face.roi)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "this has 3"),
        (" ".join(["1"] * 65 + ["x"]), "could not convert"),
        (" ".join(["1"] * 65 + ["nan"]), "roi holds numbers that are not finite"),
    ],
)
def test_text_that_is_no_parameter_file(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaceParameters.from_text(text)


@given(coordinates, coordinates, st.floats(2, 1500), st.floats(2, 1500))
def test_roi_of_a_box(left: float, top: float, width: float, height: float) -> None:
    right, bottom = left + width, top + height
    old_size = (right - left + bottom - top) / 2
    centre_x = right - (right - left) / 2.0
    centre_y = bottom - (bottom - top) / 2.0 + old_size * 0.14
    size = int(old_size * 1.58)
    roi = roi_from_box([left, top, right, bottom])
    np.testing.assert_allclose(
        roi,
        [centre_x - size / 2, centre_y - size / 2, centre_x + size / 2, centre_y + size / 2],
        atol=1e-9,
    )


@given(arrays(np.float64, (68, 2), elements=coordinates))
def test_roi_of_landmarks(points: NDArray[np.float64]) -> None:
    x0, x1 = min(points[:, 0]), max(points[:, 0])
    y0, y1 = min(points[:, 1]), max(points[:, 1])
    radius = max(x1 - x0, y1 - y0) / 2
    if radius < 1e-6:
        return
    length = math.sqrt((2 * radius) ** 2 + (2 * radius) ** 2)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    expected = [x - length / 2, y - length / 2, x + length / 2, y + length / 2]
    np.testing.assert_allclose(roi_from_landmarks(points), expected, atol=1e-6)
    with_depth = np.hstack([points, np.full((68, 1), 1e6)])
    np.testing.assert_allclose(roi_from_landmarks(with_depth), expected, atol=1e-6)


@given(
    st.floats(-60, 90),
    st.floats(-60, 90),
    st.floats(1.6, 130),
    st.floats(1.6, 130),
)
def test_crop_against_a_loop_over_pixels(x: float, y: float, width: float, height: float) -> None:
    image = np.random.default_rng(8).integers(1, 256, (50, 70, 3), dtype=np.uint8)
    roi = [x, y, x + width, y + height]
    left, top, right, bottom = (round(v) for v in roi)
    canvas = np.zeros((bottom - top, right - left, 3), np.uint8)
    for row in range(bottom - top):
        for column in range(right - left):
            if 0 <= row + top < 50 and 0 <= column + left < 70:
                canvas[row, column] = image[row + top, column + left]
    expected = cv2.resize(canvas, (120, 120), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(crop_roi(image, roi), expected)


def test_halves_round_to_even() -> None:
    image = np.random.default_rng(9).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    crop = crop_roi(image, [0.5, 1.5, 120.5, 121.5])
    np.testing.assert_array_equal(crop, image[2:122, 0:120])


@pytest.mark.parametrize("box", [[10, 10, 10, 50], [50, 10, 10, 90], [0, 0, 0.4, 0.4]])
def test_empty_box(box: list[float]) -> None:
    with pytest.raises(ImageError, match="is empty"):
        roi_from_box(box)


def test_unusable_regions() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ImageError, match="four finite numbers"):
        roi_from_box([0, 0, math.nan, 10])
    with pytest.raises(ImageError, match="there is no face"):
        roi_from_landmarks(np.ones((68, 2)))
    with pytest.raises(ImageError, match=r"shape \(68, 4\)"):
        roi_from_landmarks(np.ones((68, 4)))
    with pytest.raises(ImageError, match="0x5 pixels"):
        crop_roi(image, [3.0, 3.0, 3.4, 8.0])
    with pytest.raises(ImageError, match=f"1 to {MAX_SIDE}"):
        crop_roi(image, [0.0, 0.0, 1e7, 1e7])
    with pytest.raises(ImageError, match="four finite numbers"):
        crop_roi(image, [0.0, 0.0, math.inf, 5.0])
