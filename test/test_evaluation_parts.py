"""The measures of ``facerot evaluate``, on data whose results are known."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.evaluation.alignment import Correspondence, chain, fit_orbit, register, warp
from opendr_facerot.evaluation.figure import figure
from opendr_facerot.evaluation.identity import IdentityNet
from opendr_facerot.evaluation.leak import leak_fraction
from opendr_facerot.evaluation.pictures import masked_mean, masked_psnr, ssim_map
from opendr_facerot.evaluation.posed import is_posed, read_posed
from opendr_facerot.evaluation.report import report_json, report_markdown
from opendr_facerot.evaluation.scores import Subject, ViewPictures, ViewScore
from opendr_facerot.evaluation.variations import variations
from opendr_facerot.geometry import (
    MODEL_TO_CAMERA,
    Intrinsics,
    SimilarityTransform,
    rotation_from_euler,
)
from opendr_facerot.imaging import write_image
from opendr_facerot.rotator import Face


def textured(size: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, (size, size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.clip(128 + 6 * (smooth - smooth.mean()), 0, 255).astype(np.uint8)


def test_psnr_is_that_of_a_plain_loop_over_the_mask() -> None:
    one, other = textured(12, 1), textured(12, 2)
    mask = np.random.default_rng(3).uniform(size=(12, 12)) < 0.4
    squares = [
        (int(one[y, x, c]) - int(other[y, x, c])) ** 2
        for y in range(12)
        for x in range(12)
        for c in range(3)
        if mask[y, x]
    ]
    expected = 10 * math.log10(255**2 / (sum(squares) / len(squares)))
    assert masked_psnr(one, other, mask) == pytest.approx(expected)
    assert masked_psnr(one, one, mask) == 100.0
    assert masked_psnr(one, other, np.zeros_like(mask)) is None


def test_ssim_falls_with_noise_where_the_noise_is() -> None:
    picture = textured(64)
    noisy = picture.copy()
    noise = np.random.default_rng(1).normal(0, 25, (64, 32, 3))
    noisy[:, 32:] = np.clip(picture[:, 32:] + noise, 0, 255).astype(np.uint8)
    similarity = ssim_map(noisy, picture)
    left = np.zeros((64, 64), bool)
    left[:, :24] = True
    assert masked_mean(similarity, left) == pytest.approx(1.0)
    right = masked_mean(similarity, ~left)
    assert right is not None
    assert right < 0.8


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_leak_is_the_part_of_the_head_that_takes_the_background_colour(share: float) -> None:
    head = np.dstack([textured(96), np.full((96, 96), 255, np.uint8)])
    head[:16, :, 3] = 0
    green, magenta = head.copy(), head.copy()
    change = 0.35 * share * np.array([242.0, -170.0, 242.0])
    region = slice(56, 96)  # the lower half of the 80 rows that are opaque
    for view, sign in ((green, -0.5), (magenta, 0.5)):
        tinted = view[region, :, :3].astype(np.float64) * 0.3 + 90 + sign * change
        view[region, :, :3] = np.rint(tinted).astype(np.uint8)
    assert leak_fraction(green, magenta) == pytest.approx(0.5 if share else 0.0, abs=0.05)


def test_a_shift_between_the_two_views_is_no_leak() -> None:
    alpha = np.full((96, 96), 255, np.uint8)
    picture = textured(96)
    shifted = warp(picture, SimilarityTransform(1.0, np.eye(2), np.array([0.4, 0.3])), (96, 96))
    assert leak_fraction(np.dstack([picture, alpha]), np.dstack([shifted, alpha])) == 0.0


def test_a_view_without_a_head_has_no_leak_to_count() -> None:
    empty = np.zeros((32, 32, 4), np.uint8)
    assert leak_fraction(empty, empty) is None


def test_warp_by_the_identity_changes_nothing() -> None:
    picture = textured(40)
    identity = SimilarityTransform(1.0, np.eye(2), np.zeros(2))
    np.testing.assert_array_equal(warp(picture, identity, (40, 40)), picture)


def test_chained_transforms_are_applied_in_order() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    first = SimilarityTransform(2.0, turn, np.array([1.0, 0.0]))
    second = SimilarityTransform(0.5, np.eye(2), np.array([0.0, 3.0]))
    points = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(
        chain(first, second).apply(points), second.apply(first.apply(points))
    )


def test_register_finds_a_similarity_to_a_tenth_of_a_pixel() -> None:
    photo = textured(200)
    cosine, sine = math.cos(0.01), math.sin(0.01)
    to_photo = SimilarityTransform(
        0.6, np.array([[cosine, -sine], [sine, cosine]]), np.array([31.3, 28.6])
    )
    inverse = np.linalg.inv(np.vstack([to_photo.matrix, [0, 0, 1]]))[:2]
    picture = cv2.warpAffine(photo, inverse, (240, 240), flags=cv2.INTER_CUBIC)
    mask = np.zeros((200, 200), bool)
    mask[50:160, 50:160] = True
    start = SimilarityTransform(0.61, np.eye(2), to_photo.translation + [1.0, -1.2])
    found = register(picture, photo, mask, start)
    corners = np.array([[40.0, 40.0], [200.0, 40.0], [40.0, 200.0], [200.0, 200.0]])
    np.testing.assert_allclose(found.apply(corners), to_photo.apply(corners), atol=0.1)


@pytest.mark.parametrize("outliers", [0, 1])
def test_orbit_alignment_finds_where_a_camera_on_an_orbit_sees_the_head(outliers: int) -> None:
    camera = Intrinsics(4000.0, 255.5, 255.5)
    pivot, orbit = np.array([2.0, -3.0, 400.0]), np.array([0.5, 1.0, 407.0])
    face = np.random.default_rng(0).normal(0, 1.5, (60, 3)) * [1.0, 1.0, 0.1] + pivot
    poses = [(yaw, pitch) for pitch in (-20.0, 0.0, 20.0) for yaw in (-45.0, -20.0, 20.0, 45.0)]
    views = []
    for yaw, pitch in poses:
        turn = rotation_from_euler(0.0, math.radians(pitch)) @ rotation_from_euler(
            math.radians(yaw)
        )
        roll = math.atan2(turn[1, 0], turn[0, 0])
        turned = MODEL_TO_CAMERA @ turn @ MODEL_TO_CAMERA
        upright = MODEL_TO_CAMERA @ rotation_from_euler(0, 0, -roll) @ turn @ MODEL_TO_CAMERA
        ours = camera.project((face - pivot) @ upright.T + pivot)
        true = camera.project((face - orbit) @ turned.T + orbit)
        views.append(Correspondence(turn, roll, ours, true))
    exact = [view.true for view in views]
    for k in range(outliers):
        views[k] = replace(views[k], true=views[k].true + 90.0)
    found = fit_orbit(views, camera)
    np.testing.assert_allclose(found.offset, (orbit - pivot) / pivot[2], atol=0.001)
    for view, true in zip(views, exact, strict=True):
        ours = found.transform(view.turn, view.roll).apply(view.ours)
        assert np.linalg.norm(ours - true, axis=1).max() < 0.7
        assert np.linalg.norm(view.ours - true, axis=1).min() > 5.0


def test_orbit_alignment_without_landmarks_moves_nothing() -> None:
    found = fit_orbit([], Intrinsics(800.0, 100.0, 100.0))
    transform = found.transform(rotation_from_euler(0.5), 0.0)
    np.testing.assert_allclose(transform.matrix, np.eye(2, 3), atol=1e-12)


def test_a_posed_folder_is_known_by_its_names_and_read_in_order(tmp_path: Path) -> None:
    for name in ("y+30_p+00.png", "y-7.5_p+00.png", "y+00_p-15.png", "notes.png"):
        write_image(tmp_path / name, np.full((16, 16, 3), 110, np.uint8))
    assert is_posed(tmp_path)
    angles = [(math.degrees(v.yaw), math.degrees(v.pitch)) for v in read_posed(tmp_path)]
    np.testing.assert_allclose(angles, [(0, -15), (-7.5, 0), (30, 0)])
    (tmp_path / "plain").mkdir()
    write_image(tmp_path / "plain" / "me.png", np.full((16, 16, 3), 110, np.uint8))
    assert not is_posed(tmp_path / "plain")


def test_variations_are_what_their_names_say() -> None:
    photo = textured(200)
    face = Face(np.array([60, 50, 140, 150], np.float32), 0.9, np.zeros((5, 2), np.float32))
    varied = variations(photo, face)
    assert varied["cropped"].shape == (124, 104, 3)
    assert varied["small"].shape == (128, 128, 3)
    assert varied["tilted"].shape == photo.shape
    means = {name: float(image.mean()) for name, image in varied.items()}
    assert means["dark"] < 0.7 * photo.mean() < photo.mean() < means["bright"]
    for name, brighter, darker in (("lit_left", 0, 1), ("lit_right", 1, 0)):
        sides = varied[name][:, :60], varied[name][:, 140:]
        assert sides[brighter].mean() > 1.5 * sides[darker].mean()


SCORES = (
    ViewScore(-0.5235987755982988, 0.0, (-0.5, 0.0), (-0.45, 0.1), identity_source=0.8, leak=0.01),
    ViewScore(0.5235987755982988, 0.0, (0.5, 0.0), None, identity_source=0.6, failure="no face"),
)


def test_json_has_degrees_means_over_both_signs_and_no_nan() -> None:
    subjects = [
        Subject("me", "photo", (0.1, 0.0, 0.0), ("low_resolution",), SCORES),
        Subject("you", "photo", failure="cannot read you"),
    ]
    report = report_json(subjects, command="facerot evaluate me", pipeline="head", size=256)
    again = json.loads(json.dumps(report, allow_nan=False))
    assert again == report
    first, second = report["subjects"]
    assert first["yaw_deg"] == pytest.approx(5.73, abs=0.01)
    assert [view["yaw_deg"] for view in first["views"]] == [-30.0, 30.0]
    assert (second["failure"], second["views"]) == ("cannot read you", [])
    (row,) = report["summary"]["photo"]
    assert (row["abs_yaw_deg"], row["views"], row["failures"]) == (30.0, 2, 1)
    assert row["identity_source"] == {
        "mean": 0.7, "median": 0.7, "min": 0.6, "max": 0.8, "n": 2
    }  # fmt: skip
    assert row["yaw_error_deg"]["mean"] == pytest.approx(math.degrees(0.05), abs=1e-5)
    assert row["psnr_head"] == {"mean": None, "median": None, "min": None, "max": None, "n": 0}
    assert report["summary"]["posed"] == []


def test_markdown_has_a_row_per_photo_and_names_every_failure() -> None:
    text = report_markdown(
        [
            Subject("me", "photo", (0.1, 0.0, 0.0), (), SCORES),
            Subject("you", "photo", failure="cannot read you"),
        ],
        command="facerot evaluate me you",
    )
    lines = text.splitlines()
    assert "| me | +6 / +0 | 0.80 | 0.60 |" in lines
    assert "| **mean** |  | 0.80 | 0.60 |" in lines
    assert "| ±yaw / pitch | SFace to source" in text
    assert "- you: cannot read you" in lines
    assert "- me, yaw +30°, pitch +0°: no face" in lines
    assert "facerot evaluate me you" in lines


def test_the_figure_shows_the_error_within_the_head_only() -> None:
    truth = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    ours = truth + np.uint8(30)
    picture = figure(truth, [ViewPictures(0.0, 0.0, ours, truth, mask)])
    rows, columns = 3, 2
    tile_y, tile_x = picture.shape[0] / rows, picture.shape[1] / columns
    y = round(2.4 * tile_y)
    left, right = (picture[y, round((1.5 + side) * tile_x), 0] for side in (-0.2, 0.2))
    assert (left, right) == (120, 0)


def test_identity_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"opendr_facerot\[evaluate\]"):
        IdentityNet()
