"""Features that tell skin from hair, and distances between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.appearance import _features, find_hair, squared_distance
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import WorkImage


@pytest.mark.parametrize("count", [1, 3])
def test_distance_to_the_nearest_centre(count: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(37, 20, 4)).astype(np.float32)
    centres, spread = rng.normal(size=(count, 4)), rng.uniform(0.5, 2.0, 4)
    away = (features[:, :, None] - centres) / spread
    np.testing.assert_allclose(
        squared_distance(features, centres, spread), (away**2).sum(-1).min(-1), rtol=1e-4
    )


def test_colours_are_those_of_8_bit_lab_but_not_in_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    colours = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (300, 300))
    lab = _features(colours.astype(np.float32), face_height=100.0)[..., :3]
    soft = cv2.GaussianBlur(colours, (0, 0), 0.8)
    assert np.abs(lab - cv2.cvtColor(soft, cv2.COLOR_RGB2LAB)).mean() < 0.5
    # A shade between two 8-bit colours is between them.
    flat = np.full((300, 300, 3), (180.0, 140.0, 120.0), np.float32)
    blue = np.array([0.0, 0.0, 0.4], np.float32)
    between = [_features(flat + k * blue, 100.0)[150, 150, 2] for k in range(3)]
    assert between[0] > between[1] > between[2]


HAIR_COLOUR = (38.0, 30.0, 26.0)


@pytest.fixture
def work() -> WorkImage:
    """An even face of skin, with noise, that fills the square."""
    size, camera, model = 400, Intrinsics(focal=700.0, cx=199.5, cy=199.5), HeadModel.load()
    points = np.zeros((478, 3))
    turned = (model.mean - [0.0, 82.0, 4.0]) * [1.0, -1.0, -1.0] + [0.0, 0.0, 88.0]
    points[:468, :2] = camera.project(model.landmarks(turned))
    image = np.full((size, size, 3), (205.0, 160.0, 140.0))
    image += np.random.default_rng(0).normal(0.0, 2.0, image.shape)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    height = points[152, 1] - points[10, 1]
    inside = np.ones((size, size), np.float32)
    return WorkImage(pixels, inside, 1.0, np.zeros(2), points, camera, height, pixels, np.zeros(2))


@pytest.mark.parametrize("shadow", [1.0, 0.35], ids=["even light", "side light"])
def test_dark_hair_is_found_beside_the_shadowed_half_of_a_face(
    work: WorkImage, shadow: float
) -> None:
    """Skin in the shadow is as far from lit skin as hair is, and yet not hair."""
    image, size = work.image.astype(np.float32), len(work.image)
    height, lateral = work.along_face()
    image[:, size // 2 :] *= shadow
    image[height > 1.03] = HAIR_COLOUR
    look = find_hair(work, image, work.inside > 0, work.inside)
    assert look.has_hair
    face = work.face() & (height < 0.85) & (lateral > 0.12)  # off the shadow's edge
    assert look.hair[(height > 1.03) & (height < 1.3)].mean() > 0.9
    assert look.hair[face].mean() < 0.1


def test_a_jacket_of_the_hair_s_colour_is_not_hair(work: WorkImage) -> None:
    image = work.image.astype(np.float32)
    height, lateral = work.along_face()
    hair, jacket = (height > 1.03) | ((height > 0.5) & (lateral > 0.5)), height < -0.15
    image[hair | jacket] = HAIR_COLOUR
    look = find_hair(work, image, work.inside > 0, work.inside)
    assert look.hair[hair & (height < 1.3)].mean() > 0.9
    assert look.hair[jacket & (height > -0.5)].max() < 0.1
    # Hair that hangs down to it does not end above the shoulders.
    long_hair = (height > -0.2) & (lateral > 0.5)
    image[long_hair] = HAIR_COLOUR
    hanging = find_hair(work, image, work.inside > 0, work.inside).hair
    assert hanging[long_hair & (height < 0.0) & (lateral < 0.7)].mean() > 0.9
