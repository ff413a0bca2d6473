"""Each flag is raised by the defect it names and by no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.quality import quality_flags
from opendr_facerot.reconstruct.work_image import WorkImage

SIDE, HEIGHT = 310, 100.0
CHIN_ROW = 196


class Portrait:
    """A face of 100 pixels in the middle, of a person who fills the square's middle third."""

    def __init__(self) -> None:
        self.matte = np.zeros((SIDE, SIDE), np.float32)
        self.matte[40:, 105:205] = 1.0
        self.inside = np.ones((SIDE, SIDE), np.float32)
        self.hair = np.zeros((SIDE, SIDE), np.float32)
        self.hair[60:95, 110:200] = 1.0
        self.skin_distance = np.where(self.hair > 0, 50.0, 1.0).astype(np.float32)
        self.scale = 1.0
        self.yaw = self.pitch = 0.0

    def flags(self) -> tuple[str, ...]:
        angle = np.linspace(0, 2 * math.pi, len(FACE_OVAL), endpoint=False)
        points = np.zeros((478, 3))
        points[:, :2] = (155.0, CHIN_ROW - 50)
        points[FACE_OVAL, 0] += 35 * np.sin(angle)
        points[FACE_OVAL, 1] -= 50 * np.cos(angle)
        points[10, :2], points[152, :2] = (155.0, CHIN_ROW - HEIGHT), (155.0, CHIN_ROW)
        blank = np.zeros((SIDE, SIDE, 3), np.uint8)
        work = WorkImage(
            blank,
            self.inside,
            self.scale,
            np.zeros(2),
            points,
            Intrinsics(400.0, 155.0, 155.0),
            HEIGHT,
            blank,
            np.zeros(2),
        )
        look = Appearance(self.hair > 2, self.skin_distance, self.skin_distance, self.hair, True)
        return quality_flags(work, self.matte, look, self.yaw, self.pitch)


@pytest.fixture
def portrait() -> Portrait:
    return Portrait()


def test_an_ordinary_portrait_has_no_flags(portrait: Portrait) -> None:
    assert portrait.flags() == ()


def test_low_resolution_is_that_of_the_photo(portrait: Portrait) -> None:
    portrait.scale = 2.0
    assert portrait.flags() == ("low_resolution",)


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [
        (19.0, 0.0, ()),
        (-25.0, 0.0, ("turned_source_pose",)),
        (0.0, 30.0, ("turned_source_pose",)),
        (45.0, 0.0, ("extreme_source_pose",)),
    ],
)
def test_poses(portrait: Portrait, yaw: float, pitch: float, expected: tuple[str, ...]) -> None:
    portrait.yaw, portrait.pitch = math.radians(yaw), math.radians(pitch)
    assert portrait.flags() == expected


def test_cut_by_frame(portrait: Portrait) -> None:
    portrait.inside[:, 180:] = 0.0
    assert "cut_by_frame" in portrait.flags()


def test_somebody_beside_the_head(portrait: Portrait) -> None:
    portrait.matte[90:, 245:300] = 1.0
    assert portrait.flags() == ("crowded",)


def test_a_soft_matte_or_one_without_the_face(portrait: Portrait) -> None:
    portrait.matte[40:190, 80:130] = 0.5
    assert portrait.flags() == ("uncertain_outline",)
    missed = Portrait()
    missed.matte[120:160, 130:180] = 0.0
    assert missed.flags() == ("uncertain_outline",)


def test_hair_that_looks_like_skin(portrait: Portrait) -> None:
    portrait.skin_distance[:] = 3.0
    assert portrait.flags() == ("hair_like_skin",)
