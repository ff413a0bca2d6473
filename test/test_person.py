"""Several photos of one person: what they give together that neither gives alone."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from test_head_fit import CAMERA, landmarks_of

import opendr_facerot as facerot
from opendr_facerot.evaluation.alignment import register, warp
from opendr_facerot.generate.fusion import SeenHead, fuse, in_light_of, photos_agree
from opendr_facerot.generate.observation import Observation
from opendr_facerot.geometry import MODEL_TO_CAMERA, Intrinsics, SimilarityTransform
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.reconstruct.head_fit import HeadFit, fit_head
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.same_head import fit_same_head
from opendr_facerot.rotator import PersonRotator
from opendr_facerot.views import View

SIZE = 512
SIDE = math.radians(-45.0)  # shows the side x > 0
BACKDROP = (40, 90, 200)


class Sitter:
    """A head with a pattern on one side that a frontal photo does not show."""

    def __init__(self, rotator: HeadRotator, photo: NDArray[np.uint8]) -> None:
        self.rotator, self.face = rotator, rotator.fit(photo)[0]
        x, y, z = HeadModel.load().fine.vertices.T
        state = self.face.state
        stripes = (x > 5.0) & (z < 11.0) & (np.sin(1.3 * y) > 0.0)
        fill = state.appearance.fill + np.where(stripes, -0.9, 0.0)[:, None].astype(np.float32)
        keep = ((x < 5.0) | (z > 11.0)).astype(np.float32)
        appearance = replace(
            state.appearance,
            fill=fill,
            **{
                name: getattr(state.appearance, name) * keep
                for name in ("confidence", "visible", "second_confidence", "second_visible")
            },
        )
        self.face = replace(self.face, state=replace(state, appearance=appearance))

    def photo(self, yaw: float) -> NDArray[np.uint8]:
        return render(self.rotator, self.face, yaw, background=BACKDROP).image


def render(
    rotator: HeadRotator,
    face: facerot.FittedFace,
    yaw: float,
    background: tuple[int, int, int] | str = "transparent",
) -> facerot.RotatedFace:
    before = rotator.settings
    rotator.settings = HeadRotator.Settings(output_size=SIZE, background=background)  # type: ignore[arg-type]
    try:
        return next(iter(rotator.render(face, [View(yaw, 0.0)])))
    finally:
        rotator.settings = before


@pytest.fixture(scope="module")
def sitter(rotator: HeadRotator, astronaut: NDArray[np.uint8]) -> Sitter:
    return Sitter(rotator, astronaut)


@pytest.fixture(scope="module")
def front(sitter: Sitter) -> NDArray[np.uint8]:
    return sitter.photo(0.0)


@pytest.fixture(scope="module")
def side(sitter: Sitter) -> NDArray[np.uint8]:
    return sitter.photo(SIDE)


@pytest.fixture(scope="module")
def both(
    rotator: HeadRotator, front: NDArray[np.uint8], side: NDArray[np.uint8]
) -> facerot.FittedFace:
    return rotator.fit_person([side, front])


def extent(view: facerot.RotatedFace) -> tuple[float, float, float]:
    """Centre and size of a view's head, pixels."""
    assert view.alpha is not None
    rows, columns = np.nonzero(view.alpha > 128)
    return float(columns.mean()), float(rows.mean()), math.sqrt(len(rows))


def error_of(sitter: Sitter, face: facerot.FittedFace, yaw: float) -> float:
    """Root mean square difference from the sitter's own view, of 255, where both have a head."""
    true, ours = (render(sitter.rotator, f, yaw) for f in (sitter.face, face))
    assert true.alpha is not None
    assert ours.alpha is not None
    (x, y, size), (true_x, true_y, true_size) = (extent(v) for v in (ours, true))
    scale = true_size / size
    shift = np.array([true_x - scale * x, true_y - scale * y])
    start = SimilarityTransform(scale, np.eye(2), shift)
    to_true = register(ours.image, true.image, true.alpha > 128, start)
    laid, covered = (warp(image, to_true, (SIZE, SIZE)) for image in (ours.image, ours.alpha))
    head = (true.alpha > 128) & (covered > 128)
    head[int(0.72 * SIZE) :] = False  # the neck
    return float(np.sqrt(((laid[head].astype(float) - true.image[head]) ** 2).mean()))


@pytest.mark.slow
def test_two_photos_make_a_better_profile_than_either_alone(
    sitter: Sitter,
    front: NDArray[np.uint8],
    side: NDArray[np.uint8],
    both: facerot.FittedFace,
) -> None:
    faces = {
        "front": sitter.rotator.fit(front)[0],
        "side": sitter.rotator.fit(side)[0],
        "both": both,
    }
    error = {
        name: np.mean([error_of(sitter, face, math.radians(yaw)) for yaw in (-75, -60)])
        for name, face in faces.items()
    }
    assert error["both"] < 0.95 * error["front"]
    assert error["both"] < 0.9 * error["side"]
    # And from the front nothing is lost: the side photo is not looked at.
    at_front = {name: error_of(sitter, face, 0.0) for name, face in faces.items()}
    assert at_front["both"] < 1.05 * at_front["front"]
    assert at_front["both"] < 0.5 * at_front["side"]


def test_the_frontal_photo_comes_first_and_the_others_turn_by_what_they_are_turned(
    rotator: HeadRotator, both: facerot.FittedFace
) -> None:
    assert isinstance(rotator, PersonRotator)
    assert both.photo_index == 1
    assert both.flags == ()
    assert abs(both.yaw) < math.radians(3.0)
    first, second = (home.side for home in both.state.homes)
    turn = math.acos(float(first @ second))
    assert math.degrees(turn) == pytest.approx(45.0, abs=5.0)  # alone, that photo reads 30


@pytest.mark.slow
def test_a_dark_photo_is_brought_to_the_light_of_the_first(
    rotator: HeadRotator,
    front: NDArray[np.uint8],
    side: NDArray[np.uint8],
    both: facerot.FittedFace,
) -> None:
    dark = rotator.fit_person([front, (0.5 * side).astype(np.uint8)])
    evenly, matched = (render(rotator, face, SIDE) for face in (both, dark))
    means = [view.image[view.alpha > 128].mean() for view in (evenly, matched)]  # type: ignore[operator]
    assert means[1] == pytest.approx(means[0], rel=0.06)


@pytest.mark.slow
def test_no_background_of_any_photo_lands_on_the_head(
    rotator: HeadRotator, both: facerot.FittedFace
) -> None:
    for yaw in (-75, -45, -20, 0, 30, 75):
        view = render(rotator, both, math.radians(yaw))
        assert view.alpha is not None
        hue = cv2.cvtColor(view.image, cv2.COLOR_RGB2HSV).astype(int)
        blue = (abs(hue[..., 0] - 112) < 15) & (hue[..., 1] > 120) & (hue[..., 2] > 60)
        assert (blue & (view.alpha > 230)).sum() / (view.alpha > 230).sum() < 0.005


@pytest.mark.slow
def test_views_change_gradually_from_photo_to_photo(
    rotator: HeadRotator, both: facerot.FittedFace
) -> None:
    yaws = [math.radians(yaw) for yaw in range(-32, -11)]
    views = [render(rotator, both, yaw, background=BACKDROP).image.astype(float) for yaw in yaws]
    steps = [np.abs(b - a).mean() for a, b in zip(views, views[1:], strict=False)]
    assert max(steps) < 2.0 * np.median(steps)


@pytest.mark.slow
def test_hair_that_no_photo_shows_is_the_same_beside_each_of_them(both: facerot.FittedFace) -> None:
    details = [home.appearance.detail for home in both.state.homes]
    assert len(details) == 2
    assert details[0] is details[1]
    assert details[0].level[1] == 0.0  # continued from the hair seen, no procedural grain


def test_what_is_no_set_of_photos_of_a_person_is_refused(
    rotator: HeadRotator, front: NDArray[np.uint8]
) -> None:
    grey = np.full((100, 100, 3), 90, np.uint8)
    with pytest.raises(facerot.ImageError, match="no photos"):
        rotator.fit_person([])
    with pytest.raises(facerot.ImageError, match="photo 2 of 2 has shape"):
        rotator.fit_person([front, front[..., 0]])
    with pytest.raises(facerot.NoFaceError, match="photo 3 of 3: no face") as caught:
        rotator.fit_person([front, front, grey])
    assert caught.value.photo_index == 2


def test_one_photo_is_fitted_as_ever(rotator: HeadRotator, front: NDArray[np.uint8]) -> None:
    alone, person = rotator.fit(front)[0], rotator.fit_person([front])
    for yaw in (0.0, 0.7):
        pictures = [render(rotator, face, yaw).image for face in (alone, person)]
        np.testing.assert_array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("yaw_deg", [-50, -30, 40])
def test_a_second_photo_corrects_the_pose_and_the_depth(yaw_deg: float) -> None:
    model = HeadModel.load()
    angles = [(0.0, 0.0, 0.0), (math.radians(yaw_deg), 0.1, 0.0)]
    known = [landmarks_of(pose, (0.0, 0.0, 70.0), seed=3) for pose in angles]
    vertices = [head for _, head in known]
    # A landmark net underestimates depths and large yaws.
    landmarks = [points * [1.0, 1.0, 0.6] for points, _ in known]
    fits = [fit_head(model, points, CAMERA) for points in landmarks]
    short = cv2.Rodrigues(np.array([0.0, math.radians(0.25 * yaw_deg), 0.0]))[0]
    fits[1] = replace(fits[1], rotation=short @ fits[1].rotation)
    fitted = fit_same_head(model, landmarks, fits, [CAMERA, CAMERA], 0)

    def pose_error(fit: HeadFit) -> float:
        true = np.linalg.lstsq(
            centred(model.landmarks(model.mean)), centred(model.landmarks(vertices[1])), rcond=None
        )[0].T
        u, _, vt = np.linalg.svd(true)
        return float(np.linalg.norm(cv2.Rodrigues(fit.rotation @ (u @ vt).T)[0]))

    assert pose_error(fitted[1]) < 0.4 * pose_error(fits[1])
    assert fitted[0].rotation is fits[0].rotation
    true = model.landmarks(vertices[0])
    ours, alone = (model.landmarks(fit.vertices) for fit in (fitted[0], fits[0]))
    depth_error = [np.std((points - true)[:, 2]) for points in (ours, alone)]
    assert depth_error[0] < depth_error[1]


def centred(points: NDArray[np.floating]) -> NDArray[np.floating]:
    return points - points.mean(0)


def observed(pattern: NDArray[np.floating], confidence: NDArray[np.floating]) -> Observation:
    """A photo in which the head, seen from the front, has a grey pattern of log colours."""
    model = HeadModel.load()
    count = len(model.fine.vertices)
    points = (model.fine.vertices - [0.0, 82.0, 4.0]) @ MODEL_TO_CAMERA + [0.0, 0.0, 80.0]
    ones = np.ones(count)
    return Observation(
        xy=Intrinsics(350.0, 149.5, 149.5).project(points),
        normals=np.tile([0.0, 0.0, -1.0], (count, 1)),
        cosine=confidence,
        confidence=confidence,
        visible=confidence,
        colour=4.5 + np.tile(pattern[:, None], (1, 3)),
        hair=0.0 * ones,
        skin_like=ones,
        deep_inside=ones,
    )


def seen_from(side: float) -> NDArray[np.floating]:
    """Confidence of a photo that shows one half of the head, and a little of the other."""
    x = HeadModel.load().fine.vertices[:, 0]
    return np.clip(0.5 + 0.25 * side * x, 0.0, 1.0)


def test_photos_of_one_pattern_agree_in_any_light_and_of_two_do_not() -> None:
    model = HeadModel.load()
    x, y, _ = model.fine.vertices.T
    mine, another = 0.4 * np.sin(2.0 * x) * np.sin(1.7 * y), 0.4 * np.cos(1.6 * x) * np.sin(2.3 * y)
    sight = np.ones(len(x))
    texture = np.zeros((300, 300, 3), np.uint8)

    def agree(pattern: NDArray[np.floating]) -> bool:
        pair = [SeenHead(observed(p, sight), texture, 1.0) for p in (mine, pattern)]
        one, other = in_light_of(model, pair, 0)
        return photos_agree(model, one.seen, other.seen)

    assert agree(mine)
    assert agree(mine - 0.7 + 0.05 * x)  # darker, lit from the other side
    assert not agree(another)


def test_no_triangle_shows_two_photos_at_once() -> None:
    model = HeadModel.load()
    faces = model.fine.topology.faces
    sights = (np.full(len(model.fine.vertices), 0.1), seen_from(-1.0), seen_from(1.0))
    heads = [
        SeenHead(observed(np.zeros(len(s)), s), np.zeros((300, 300, 3), np.uint8), 1.0)
        for s in sights
    ]
    appearance = fuse(
        model, heads, 0, model.fine.zones.scalp, detail_level=np.zeros(3, np.float32),
        hair_texture=None,
    )  # fmt: skip
    photo = (appearance.second_xy[:, 1] // 300.0).astype(int)
    x = model.fine.vertices[:, 0]
    assert set(photo[x < -1.0]) == {1}
    assert set(photo[x > 1.0]) == {2}
    mixed = (photo[faces] != photo[faces][:, :1]).any(axis=1)
    assert mixed.any()
    assert appearance.second_confidence[faces[mixed]].max() == 0.0
    assert appearance.second_visible[faces[mixed]].max() == 0.0
    assert (appearance.second_confidence[np.abs(x) > 3.0] > 0.0).mean() > 0.4
