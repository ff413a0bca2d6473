"""Streams made of one photo, whose motion is known: what a camera would see of a moving head."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.pipelines.head_state import HeadState, PhotoScenery
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.rotator import FittedFace
from opendr_facerot.tracking.scenery import PlacedScenery
from opendr_facerot.views import View

RATE = 30.0
"""Frames a second."""

_WIDTH, _HEIGHT = 640, 480
_NOISE = 2.0  # grey levels, standard deviation
_CHIN = 152  # of the attention mesh


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame and the truth about it.

    Attributes:
        image: ``(480, 640, 3)`` uint8 RGB.
        stamp: Seconds.
        yaw: Of the head, radians, against that in the photo.
    """

    image: NDArray[np.uint8]
    stamp: float
    yaw: float = 0.0


def swaying(photo: NDArray[np.uint8], count: int) -> Iterator[StreamFrame]:
    """A photo that drifts by fractions of a pixel, in size, and in brightness, with sensor noise.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB.
        count: Number of frames.
    """
    random = np.random.default_rng(0)
    height, width = photo.shape[:2]
    fitting = min(_WIDTH / width, _HEIGHT / height)
    for k in range(count):
        stamp = k / RATE
        scale = fitting * (1.0 + 0.02 * math.sin(2.0 * math.pi * 0.3 * stamp))
        sway = [3.0 * math.sin(2.0 * math.pi * 0.4 * stamp), 2.0 * math.cos(1.7 * stamp)]
        offset = (np.array([_WIDTH, _HEIGHT]) - scale * np.array([width, height])) / 2 + sway
        matrix = np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])
        # Averaged over the pixels, as a sensor does: the motion must not make it crawl.
        soft = cv2.GaussianBlur(photo, (0, 0), max(0.4 / scale, 0.3))
        frame = cv2.warpAffine(soft, matrix, (_WIDTH, _HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        gain = 1.0 + 0.12 * math.sin(2.0 * math.pi * 0.25 * stamp)
        yield StreamFrame(_noisy(frame * gain, random), stamp)


def turning(
    rotator: HeadRotator, photo: NDArray[np.uint8], count: int, yaw: float, rate: float
) -> Iterator[StreamFrame]:
    """The head of a photo, turned to and fro by the pipeline itself.

    Args:
        rotator: The pipeline.
        photo: ``(H, W, 3)`` uint8 RGB.
        count: Number of frames.
        yaw: Radians to either side.
        rate: Turns to and fro a second.
    """
    face = _without_photo(rotator.fit(photo)[0])
    for k in range(count):
        stamp = k / RATE
        angle = yaw * math.sin(2.0 * math.pi * rate * stamp)
        yield _rendered(rotator, face, angle, stamp, k)


def talking(
    rotator: HeadRotator, photo: NDArray[np.uint8], count: int, rate: float
) -> Iterator[StreamFrame]:
    """The head of a photo, its mouth opened and closed by the head model's mode for it.

    Args:
        rotator: The pipeline.
        photo: ``(H, W, 3)`` uint8 RGB.
        count: Number of frames.
        rate: Openings a second.
    """
    face = _without_photo(rotator.fit(photo)[0])
    state: HeadState = face.state
    model = HeadModel.load()
    modes = model.landmarks(model.expression)
    opening = model.expression[int(np.argmin(modes[:, _CHIN, 1]))]
    motion = model.subdivide(opening) @ state.fit.rotation.T
    for k in range(count):
        stamp = k / RATE
        share = 0.5 - 0.5 * math.cos(2.0 * math.pi * rate * stamp)
        moved = replace(state, vertices=state.vertices + 0.6 * share * motion)
        yield _rendered(rotator, replace(face, state=moved), 0.0, stamp, k)


def _without_photo(face: FittedFace) -> FittedFace:
    """The face, rendered at the photo's own pose too instead of replaced by the photo."""
    state: HeadState = face.state
    scenery = state.scenery
    assert isinstance(scenery, PhotoScenery)
    placed = PlacedScenery(scenery, state.pivot, scenery, state.pivot, np.zeros(3))
    return replace(face, state=replace(state, scenery=placed))


def _rendered(
    rotator: HeadRotator, face: FittedFace, yaw: float, stamp: float, seed: int
) -> StreamFrame:
    before = rotator.settings
    rotator.settings = replace(before, output_size=_HEIGHT, background="plate")
    try:
        (view,) = rotator.render(face, [View(face.yaw + yaw, face.pitch)])
    finally:
        rotator.settings = before
    side = (_WIDTH - _HEIGHT) // 2
    frame = cv2.copyMakeBorder(view.image, 0, 0, side, side, cv2.BORDER_REPLICATE)
    return StreamFrame(_noisy(frame, np.random.default_rng(seed)), stamp, yaw)


def _noisy(
    frame: NDArray[np.uint8] | NDArray[np.floating], random: np.random.Generator
) -> NDArray[np.uint8]:
    noise = random.normal(0.0, _NOISE, frame.shape)
    return np.asarray(np.clip(np.round(frame + noise), 0, 255).astype(np.uint8))
