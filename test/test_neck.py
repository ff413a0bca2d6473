"""The neck below a turned head, where the photo shows it in the chin's shade."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.filters import smoothstep
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.reconstruct.shaded_skin import find_shaded_skin
from opendr_facerot.reconstruct.work_image import CHIN, FOREHEAD, WorkImage
from opendr_facerot.views import View

SHADE = (85.0, 56.0, 40.0)  # of skin whose lit colour is about (202, 169, 141)


def face_coordinates(
    points: NDArray[np.floating], side: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Height above the chin and distance from it to the right, face heights, of every pixel."""
    face_height = np.linalg.norm(points[FOREHEAD] - points[CHIN])
    rows, columns = np.mgrid[:side, :side]
    return (points[CHIN, 1] - rows) / face_height, (columns - points[CHIN, 0]) / face_height


@pytest.fixture(scope="module")
def open_necked(
    rotator: HeadRotator, astronaut: NDArray[np.uint8], astronaut_face: facerot.FittedFace
) -> facerot.FittedFace:
    """The astronaut with a bare neck in the shade, where her collar is."""
    work = astronaut_face.state.scenery.work
    points = (work.landmarks[:, :2] - work.offset) / work.scale
    height, lateral = face_coordinates(points, len(astronaut))
    neck = smoothstep(0.25, 0.05, height) * (height > -0.22) * (np.abs(lateral) < 0.26)
    cv2.fillPoly(neck, [np.round(points[FACE_OVAL]).astype(np.int32)], 0.0)
    share = cv2.GaussianBlur(neck, (0, 0), 1.0)[..., None]
    return rotator.fit((astronaut * (1.0 - share) + np.multiply(SHADE, share)).astype(np.uint8))[0]


def test_skin_in_the_shade_is_not_the_collar(open_necked: facerot.FittedFace) -> None:
    scenery = open_necked.state.scenery
    height, lateral = scenery.work.along_face()
    neck = (height < -0.03) & (height > -0.18) & (lateral < 0.2)
    assert (scenery.plate.collar[..., 3][neck] < 25).mean() > 0.95
    cloth = (height < -0.27) & (height > -0.4) & (lateral < 0.2)
    assert scenery.plate.collar[..., 3][cloth].min() > 230


@pytest.mark.parametrize("yaw_deg", [-60, 45, 60])
def test_neck_and_jaw_have_no_edge_between_them(
    rotator: HeadRotator, open_necked: facerot.FittedFace, yaw_deg: float
) -> None:
    """The lit side of the jaw darkens towards the shaded neck over more than half a centimetre."""
    view = next(rotator.render(open_necked, [View(math.radians(yaw_deg), 0.0)])).image
    scenery = open_necked.state.scenery
    scale = len(view) / (2.3 * scenery.work.face_height)
    points = scale * (scenery.work.landmarks[:, :2] - scenery.centre) + (len(view) - 1) / 2
    height, lateral = face_coordinates(points, len(view))
    centimetre = 0.057 * scale * scenery.work.face_height
    soft = cv2.GaussianBlur(view, (0, 0), 0.2 * centimetre)
    luma = np.log(np.maximum(soft.mean(axis=2), 1.0))
    step = round(0.6 * centimetre)
    drop = np.abs(luma[step:] - luma[:-step])
    side = -math.copysign(1.0, yaw_deg) * lateral
    neck = (height < 0.15) & (height > -0.1) & (side > 0.05) & (side < 0.2)
    assert drop[neck[step:]].max() < 0.92


@pytest.fixture
def square() -> WorkImage:
    """200 pixels with a face, 80 pixels high, that ends at row 90."""
    points = np.zeros((478, 3))
    points[FOREHEAD, :2], points[CHIN, :2] = (100, 10), (100, 90)
    empty, origin = np.zeros((200, 200, 3), np.uint8), np.zeros(2)
    inside, camera = np.ones((200, 200), np.float32), Intrinsics(500.0, 100.0, 100.0)
    return WorkImage(empty, inside, 1.0, origin, points, camera, 80.0, empty, origin)


@pytest.mark.parametrize(
    ("colour", "is_skin"),
    [
        ((202, 169, 141), True),
        ((85, 56, 40), True),  # its shade
        ((60, 45, 38), True),
        ((70, 70, 72), False),  # a grey coat
        ((235, 238, 240), False),  # a shirt
        ((60, 70, 110), False),  # a blue one
        ((190, 40, 40), False),  # a red scarf
        ((25, 20, 18), False),  # too dark to tell
    ],
)
def test_shade_keeps_skin_s_hue(
    square: WorkImage, colour: tuple[int, int, int], is_skin: bool
) -> None:
    foreground = np.full((200, 200, 3), (202, 169, 141), np.float32)
    foreground[90:] = colour
    skin = np.zeros((200, 200), np.bool_)
    skin[30:60, 80:120] = True
    share = find_shaded_skin(square, foreground, skin, square.inside)
    neck = share[100:190, 60:140]
    assert neck.min() > 0.9 if is_skin else neck.max() < 0.1
    assert share[:50].max() == 0.0  # above the jaw
    assert share[:, :40].max() == 0.0  # beside the neck
    nobody = find_shaded_skin(square, foreground, skin, np.zeros_like(square.inside))
    assert nobody.max() == 0.0


def test_a_grey_photo_has_no_hue_to_tell_shade_by(square: WorkImage) -> None:
    foreground = np.full((200, 200, 3), 170.0, np.float32)
    foreground[90:] = 60.0
    skin = np.zeros((200, 200), np.bool_)
    skin[30:60, 80:120] = True
    assert find_shaded_skin(square, foreground, skin, square.inside).max() == 0.0
