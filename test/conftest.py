from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.head import HeadRotator

DATA = Path(__file__).parent / "data"

# A test that fails for taking long says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """A public-domain portrait, ``(512, 512, 3)`` RGB, head nearly frontal."""
    image = read_image(DATA / "astronaut.png")
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def rotator() -> HeadRotator:
    return HeadRotator(HeadRotator.Settings())


@pytest.fixture(scope="session")
def astronaut_face(rotator: HeadRotator, astronaut: NDArray[np.uint8]) -> facerot.FittedFace:
    return rotator.fit(astronaut)[0]
