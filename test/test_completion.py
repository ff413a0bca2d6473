"""Silhouette and completion on made-up photos, where the right answer is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.generate.completion import complete
from opendr_facerot.generate.foreground import extend_foreground, interior_of, show_inside
from opendr_facerot.generate.hair_texture import measure_hair
from opendr_facerot.generate.observation import person_maps
from opendr_facerot.geometry import MODEL_TO_CAMERA, Intrinsics
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.silhouette import _march, fit_silhouette, hide_covered_ears
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.projection import view_fragments
from opendr_facerot.render.texture import VertexAppearance

SIZE = 620
CAMERA = Intrinsics(focal=1000.0, cx=309.5, cy=309.5)
DISTANCE = 88.0


@pytest.fixture(scope="module")
def head() -> NDArray[np.float64]:
    """The template, frontal, ``(V, 3)`` in camera space."""
    return (HeadModel.load().fine.vertices - [0.0, 82.0, 4.0]) * [1.0, -1.0, -1.0] + [
        0.0,
        0.0,
        DISTANCE,
    ]


def work_image(image: NDArray[np.uint8]) -> WorkImage:
    model = HeadModel.load()
    coarse = (model.mean - [0.0, 82.0, 4.0]) * [1.0, -1.0, -1.0] + [0.0, 0.0, DISTANCE]
    points = np.zeros((478, 3))
    points[:468, :2] = CAMERA.project(model.landmarks(coarse))
    height = float(np.linalg.norm(points[10] - points[152]))
    inside = np.ones((SIZE, SIZE), np.float32)
    return WorkImage(image, inside, 1.0, np.zeros(2), points, CAMERA, height, image, np.zeros(2))


def bald(hair: float = 0.0) -> Appearance:
    zeros = np.zeros((SIZE, SIZE), np.float32)
    return Appearance(zeros > 0, zeros, zeros, zeros + np.float32(hair), hair > 0)


def silhouette_of(vertices: NDArray[np.float64]) -> NDArray[np.float32]:
    faces = HeadModel.load().fine.topology.faces
    return (view_fragments(vertices, faces, CAMERA, SIZE).face_index >= 0).astype(np.float32)


def completed(
    head: NDArray[np.float64], image: NDArray[np.uint8], look: Appearance | None = None
) -> VertexAppearance:
    work, matte, model = work_image(image), silhouette_of(head), HeadModel.load()
    interior = interior_of(matte, work.face_height)
    foreground = extend_foreground(work, interior)
    scalp = model.fine.zones.scalp
    return complete(
        model,
        head,
        work,
        work,
        matte,
        person_maps(work, matte, foreground, interior),
        look or bald(),
        scalp,
        texture=foreground.astype(np.uint8),
        detail_level=np.zeros(3, np.float32),
        hair_texture=measure_hair(work, foreground.astype(np.uint8), interior, look or bald()),
    )


def test_the_march_measures_the_distance_to_the_contour() -> None:
    matte = np.zeros((200, 300), np.float32)
    matte[:, :150] = 1.0
    start = np.array([[120.0, 50.0], [170.0, 50.0], [120.0, 50.0], [20.0, 50.0]])
    direction = np.array([[10.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 0.0]])
    hair = np.zeros_like(matte)
    hair[:, 135:] = 1.0
    distance, hair_share, found = _march(start, direction, matte, hair)
    # Out to x = 149.5; back to it; along it, never reached; too far away.
    assert distance[:2] == pytest.approx([2.95, -2.05], abs=0.08)
    np.testing.assert_array_equal(found, [True, True, False, False])
    assert hair_share[0] == pytest.approx(0.5, abs=0.03)
    assert distance[2:] == pytest.approx([7.0, 7.0])


def test_a_narrow_person_pulls_the_outline_in(head: NDArray[np.float64]) -> None:
    """The person is 8 % slimmer than the model: no vertex of the face may stay outside."""
    model = HeadModel.load()
    slim = head * [0.92, 1.0, 1.0]
    matte = silhouette_of(slim)
    work = work_image(np.zeros((SIZE, SIZE, 3), np.uint8))
    fitted = fit_silhouette(
        model, head, MODEL_TO_CAMERA, work, matte, bald(), model.fine.zones.scalp
    )
    above_neck = (model.fine.vertices[:, 1] > 76) & model.fine.zones.skin

    def outside(vertices: NDArray[np.floating]) -> float:
        pixels = np.round(CAMERA.project(vertices[above_neck])).astype(int)
        return float((matte[pixels[:, 1], pixels[:, 0]] == 0).mean())

    assert outside(head) > 0.03
    assert outside(fitted) < 0.01
    inner = np.abs(model.fine.vertices[:, 0]) < 3.0
    front = inner & (model.fine.vertices[:, 2] > 13)
    assert np.abs(fitted - head)[front].max() < 0.4  # the face itself keeps its place


def test_hair_lifts_the_scalp_and_nothing_else(head: NDArray[np.float64]) -> None:
    model = HeadModel.load()
    scalp = model.fine.zones.scalp
    grown = head + 2.0 * scalp[:, None] * (model.fine.outward @ MODEL_TO_CAMERA.T)
    work = work_image(np.zeros((SIZE, SIZE, 3), np.uint8))
    matte = silhouette_of(grown)
    fitted = fit_silhouette(model, head, MODEL_TO_CAMERA, work, matte, bald(hair=1.0), scalp)
    top = np.argmin(head[:, 1])
    assert head[top, 1] - fitted[top, 1] == pytest.approx(2.0, abs=0.35)
    below = (model.fine.vertices[:, 1] < 80) & ~scalp
    assert np.abs(fitted - head)[below].max() < 0.6


@pytest.mark.parametrize(("stands_out", "hidden"), [(3.0, True), (0.0, False)])
def test_ears_are_flattened_under_hair_that_stands_out(
    head: NDArray[np.float64], stands_out: float, hidden: bool
) -> None:
    """All of the head is dark as hair; only with hair beside the ears are they hidden."""
    model, work = HeadModel.load(), work_image(np.zeros((SIZE, SIZE, 3), np.uint8))
    pixels = round(stands_out * CAMERA.focal / DISTANCE)
    matte = silhouette_of(head)
    matte[: SIZE // 2 + 20] = cv2.dilate(matte, np.ones((1, 2 * pixels + 1)))[: SIZE // 2 + 20]
    vertices, zone = hide_covered_ears(model, head, MODEL_TO_CAMERA, work, matte, bald(hair=1.0))
    ear = model.fine.zones.ear
    assert (np.ptp(vertices[ear, 0]) < np.ptp(head[ear, 0]) - 1.0) == hidden
    assert zone[ear].all() == hidden
    np.testing.assert_array_equal(
        vertices[~model.fine.zones.ear_surround], head[~model.fine.zones.ear_surround]
    )


def test_long_hair_covers_the_neck(head: NDArray[np.float64]) -> None:
    model, work = HeadModel.load(), work_image(np.zeros((SIZE, SIZE, 3), np.uint8))
    matte = cv2.dilate(silhouette_of(head), np.ones((1, 121)))
    _, zone = hide_covered_ears(model, head, MODEL_TO_CAMERA, work, matte, bald(hair=1.0))
    x, y, z = model.fine.vertices.T
    assert zone[(y > 70) & (y < 76) & (z < 0) & model.fine.zones.skin].all()
    assert not zone[(z > 10) & (y < 85)].any()  # not the face


def test_an_even_colour_is_continued_all_round(head: NDArray[np.float64]) -> None:
    colour = np.array([190, 140, 110])
    image = np.broadcast_to(colour.astype(np.uint8), (SIZE, SIZE, 3)).copy()
    model = HeadModel.load()
    fill = np.exp(completed(head, image).fill)
    back = (model.fine.vertices[:, 2] < 0) & model.fine.zones.scalp
    # Shading may darken it, nothing may tint it.
    tint = fill[back] / fill[back].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(tint, np.broadcast_to(colour / colour.mean(), tint.shape), rtol=0.02)
    assert 0.6 < fill[back].mean() / colour.mean() < 1.1


def test_confidence_is_high_in_front_and_none_behind(head: NDArray[np.float64]) -> None:
    image = np.full((SIZE, SIZE, 3), 150, np.uint8)
    model, seen = HeadModel.load(), completed(head, image).confidence
    x, y, z = model.fine.vertices.T
    face = model.fine.zones.skin & (np.abs(x) < 3) & (y > 80) & (y < 88) & (z > 13)
    assert np.median(seen[face]) > 0.85
    assert seen[z < -1].max() == 0.0
    assert seen.min() >= 0.0
    assert seen.max() <= 1.0


def test_side_light_is_matched_across_the_mirror(head: NDArray[np.float64]) -> None:
    """A face twice as bright on one side: the mirror's correction is that ratio."""
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    image[:, SIZE // 2 :] = 180
    model, appearance = HeadModel.load(), completed(head, image)
    x, y, z = model.fine.vertices.T
    cheek = model.fine.zones.skin & (np.abs(np.abs(x) - 4.0) < 0.8) & (np.abs(y - 80) < 3) & (z > 9)
    for side, expected in ((1, 2.0), (-1, 0.5)):
        ratio = np.exp(appearance.second_correction[cheek & (side * x > 0)])
        assert np.median(ratio) == pytest.approx(expected, rel=0.15)


def test_a_correction_that_is_too_large_keeps_its_hue(head: NDArray[np.float64]) -> None:
    """Shadow that is also bluer: where the factor is limited, all three channels are alike."""
    image = np.full((SIZE, SIZE, 3), 0, np.uint8)
    image[:, : SIZE // 2], image[:, SIZE // 2 :] = (30, 40, 60), (200, 170, 140)
    model, appearance = HeadModel.load(), completed(head, image)
    x, y, z = model.fine.vertices.T
    cheek = model.fine.zones.skin & (np.abs(x - 4.0) < 0.8) & (np.abs(y - 80) < 3) & (z > 9)
    correction = np.median(appearance.second_correction[cheek], axis=0)
    asked = np.log(np.array([200, 170, 140]) / [30, 40, 60])
    assert correction.max() == pytest.approx(0.8, abs=0.02)
    np.testing.assert_allclose(correction / correction.max(), asked / asked.max(), atol=0.08)


@pytest.mark.parametrize(("shadow", "used"), [(100, True), (25, False)])
def test_what_lies_in_a_cast_shadow_is_not_mirrored(
    head: NDArray[np.float64], shadow: int, used: bool
) -> None:
    """A difference of light by half is made up for, one by a factor of eight is not."""
    image = np.full((SIZE, SIZE, 3), shadow, np.uint8)
    image[:, SIZE // 2 :] = 200
    model, appearance = HeadModel.load(), completed(head, image)
    x, y, z = model.fine.vertices.T
    cheek = model.fine.zones.skin & (np.abs(np.abs(x) - 4.0) < 0.8) & (np.abs(y - 80) < 3) & (z > 9)
    assert (np.median(appearance.second_confidence[cheek]) > 0.8) == used
    assert (np.median(appearance.second_confidence[cheek]) < 0.1) != used


def test_a_rim_of_light_is_not_trusted(head: NDArray[np.float64]) -> None:
    """A lamp behind the head makes the cheek's outline glow: it is not on to the side."""
    model, shape = HeadModel.load(), silhouette_of(head)
    edge = shape - cv2.erode(shape, np.ones((15, 15)))
    plain = np.full((SIZE, SIZE, 3), 120, np.uint8)
    glowing = np.where(cv2.GaussianBlur(edge, (0, 0), 2.0)[..., None] > 0.5, np.uint8(230), plain)
    x, y, z = model.fine.vertices.T
    rim = model.fine.zones.skin & (np.abs(x) > 5.5) & (np.abs(y - 79) < 2) & (z > 6)
    before, after = (completed(head, image).confidence[rim] for image in (plain, glowing))
    pixels = np.round(CAMERA.project(head[rim])).astype(int)
    lit = glowing[pixels[:, 1], pixels[:, 0], 0] > 200
    assert before[lit].max() > 0.25
    assert after[lit].sum() < 0.35 * before[lit].sum()
    np.testing.assert_allclose(after[before > 0.9], before[before > 0.9], atol=0.1)


def test_the_mouth_shows_only_through_the_lips(head: NDArray[np.float64]) -> None:
    """The template's mouth is closed: nothing behind its lips may take the photo's colour."""
    image = np.full((SIZE, SIZE, 3), 150, np.uint8)
    model, appearance = HeadModel.load(), completed(head, image)
    assert appearance.confidence[model.fine.zones.mouth_bag].mean() < 0.1
    assert appearance.second_confidence[model.fine.zones.mouth_bag].max() == 0.0


def test_a_turtleneck_is_not_taken_for_skin(head: NDArray[np.float64]) -> None:
    model = HeadModel.load()
    image = np.full((SIZE, SIZE, 3), 180, np.uint8)
    neck_row = int(CAMERA.project(np.array([[0.0, 12.0, DISTANCE]]))[0, 1])
    image[neck_row:] = 10
    distance = np.zeros((SIZE, SIZE), np.float32)
    distance[neck_row:] = 100.0
    fill = np.exp(completed(head, image, replace(bald(), neck_distance=distance)).fill).mean(1)
    y, z = model.fine.vertices[:, 1], model.fine.vertices[:, 2]
    nape = (y > 70) & (y < 76) & (z < 0) & model.fine.zones.skin
    assert np.median(fill[nape]) > 60


def test_the_foreground_holds_no_background(head: NDArray[np.float64]) -> None:
    matte = silhouette_of(head)
    image = np.where(matte[..., None] > 0, np.uint8(200), np.uint8(0)).astype(np.uint8)
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    work = work_image(cv2.GaussianBlur(image, (0, 0), 1.5))
    foreground = extend_foreground(work, interior_of(matte, work.face_height))
    assert foreground.min() > 190.0


def test_the_photo_is_shown_as_far_as_its_share() -> None:
    random = np.random.default_rng(0)
    photo, texture = random.integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    share = random.random((40, 50), np.float32).clip(0.2, 0.8) * 2.0 - 0.4
    share = share.clip(0.0, 1.0).astype(np.float32)
    expected = texture + share[..., None] * (photo - texture.astype(np.float32))
    shown = texture.copy()
    show_inside(photo, share, shown)
    assert np.abs(shown - expected).max() <= 0.51
    np.testing.assert_array_equal(shown[share == 0.0], texture[share == 0.0])
    np.testing.assert_array_equal(shown[share == 1.0], photo[share == 1.0])
