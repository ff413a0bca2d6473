"""What the node does with one image, cut into steps between which other work can be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import AngleError
from opendr_facerot.rotator import FaceRotator, FittedFace, RotatedFace, RotatorSettings
from opendr_facerot.views import View

MAX_VIEWS = 1000
"""Most views of one face, whose pictures are all in memory before they are sent."""

MAX_PICTURE_BYTES = 256 * 2**20
"""Most bytes of the pictures of all faces of one image; sending them takes four times as much."""


@dataclass(eq=False)
class TurnedFace:
    """A face of an image and its views so far.

    Attributes:
        index: Place among the faces of the image, the largest being 0.
        fitted: The face.
        image_size: Width and height of the image, pixels.
        views: Its views in the order asked for.
        seconds: From taking up the image to the last of the views.
    """

    index: int
    fitted: FittedFace
    image_size: tuple[int, int]
    views: list[RotatedFace] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Progress:
    """One more view is done: ``face.views[-1]``.

    Attributes:
        done: Views done, over all faces of the image.
        total: Views to be done.
        face: The face worked on.
    """

    done: int
    total: int
    face: TurnedFace


Rotation: TypeAlias = Generator[Progress, None, list[TurnedFace]]


def rotate(
    rotator: FaceRotator,
    image: NDArray[np.uint8],
    views: Sequence[View],
    settings: RotatorSettings,
    started: float,
    fit: Callable[[NDArray[np.uint8]], list[FittedFace]] | None = None,
) -> Rotation:
    """Turn every face of an image, pausing after each view.

    Other rotations with other settings may run between two steps.

    Args:
        rotator: The pipeline.
        image: ``(H, W, 3)`` uint8 RGB.
        views: The views of each face.
        settings: In force during each step.
        started: When the image was taken up, on the clock of :func:`time.monotonic`.
        fit: Finds and reconstructs the faces; the pipeline's own by default.

    Raises:
        AngleError: All the pictures together are larger than :data:`MAX_PICTURE_BYTES`.
        FacerotError: As :meth:`opendr_facerot.FaceRotator.fit`.
    """
    rotator.settings = settings
    size = (image.shape[1], image.shape[0])
    found = (fit or rotator.fit)(image)
    faces = [TurnedFace(index, fitted, size) for index, fitted in enumerate(found)]
    total = len(faces) * len(views)
    _check_memory(total, settings)
    done = 0
    for face in faces:
        for view in views:
            rotator.settings = settings
            face.views.extend(rotator.render(face.fitted, [view]))
            face.seconds = time.monotonic() - started
            done += 1
            yield Progress(done, total, face)
    return faces


def _check_memory(views: int, settings: RotatorSettings) -> None:
    side = settings.output_size
    needed = views * side**2 * (4 if settings.background == "transparent" else 3)
    if needed > MAX_PICTURE_BYTES:
        raise AngleError(
            f"{views} views of {side}x{side} pixels take {needed / 2**20:.0f} MB: at most "
            f"{MAX_PICTURE_BYTES / 2**20:.0f} MB are made at a time; ask for fewer views or faces, "
            "or make the output_size smaller"
        )
