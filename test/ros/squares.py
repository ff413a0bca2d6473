"""A pipeline without models, for tests of the node: its "faces" are green squares.

It is found like every other pipeline, through an entry point, and does what the picture's first
pixels say: fail, take its time, or hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot import Face, FittedFace, NoFaceError, RotatedFace, RotatorSettings, View
from opendr_facerot.imaging import check_image

GREEN = (0, 255, 0)
_NOTHING, _FAIL, _SLOW_FIT, _SLOW_VIEWS, _HANG, _BAD_VIEWS = range(6)
_SIGNATURE = (77, 133, 201)  # of a second pixel, so that no other picture gives instructions
ERRORS = (RuntimeError, MemoryError, SystemError, SystemExit)
"""What a picture can make the fit raise."""


class SquaresRotator:
    """Finds pure green squares, and renders views of one colour that tells their angles."""

    Settings = RotatorSettings

    def __init__(self, settings: RotatorSettings) -> None:
        self.settings = settings
        self.device = "cpu"

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        check_image(image)
        instruction = image[0, 0] if tuple(image[0, 1]) == _SIGNATURE else (_NOTHING, 0, 0)
        what, error, hundredths = (int(v) for v in instruction)
        if what == _FAIL:
            raise ERRORS[error]("the picture says that fitting fails")
        if what == _HANG:
            threading.Event().wait()
        if what == _SLOW_FIT:
            time.sleep(hundredths / 100)
        mask = np.all(image == GREEN, axis=2).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
        faces = sorted(boxes[1:].tolist(), key=lambda box: -box[4])
        if not faces:
            raise NoFaceError("there is no green square in the image: paint one")
        state = _State(hundredths / 100 if what == _SLOW_VIEWS else 0.0, what == _BAD_VIEWS)
        fov = self.settings.fov
        flags = ("square", *([] if fov is None else [f"fov_{np.degrees(fov):.0f}"]))
        most = self.settings.max_faces or len(faces)
        return [_fitted(box, flags, state) for box in faces[:most]]

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[RotatedFace]:
        for view in views:
            time.sleep(face.state.delay)
            yaw = face.yaw if view.yaw is None else view.yaw
            pitch = face.pitch if view.pitch is None else view.pitch
            size = self.settings.output_size
            shape = (size, size) if face.state.is_bad else (size, size, 3)
            colour = 0 if face.state.is_bad else view_colour(yaw, pitch)
            image = np.full(shape, colour, np.uint8)
            yield RotatedFace(view, yaw, pitch, 0.0, 0.5, image)

    def close(self) -> None:
        pass


def view_colour(yaw: float, pitch: float) -> tuple[int, int, int]:
    """Colour of a view: red and green are its degrees plus 128."""
    return round(np.degrees(yaw)) + 128, round(np.degrees(pitch)) + 128, 0


def picture(
    sides: Sequence[int] = (40,),
    *,
    raises: type[BaseException] | None = None,
    slow_fit: float = 0.0,
    slow_views: float = 0.0,
    hangs: bool = False,
    bad_views: bool = False,
    size: tuple[int, int] = (320, 240),
) -> NDArray[np.uint8]:
    """A picture with a green square of each side, and at most one instruction.

    Args:
        sides: Pixels, of squares in a row.
        raises: The fit raises this, one of :data:`ERRORS`.
        slow_fit: The fit takes so many seconds, up to 2.55.
        slow_views: Each view takes so many seconds, up to 2.55.
        hangs: The fit does not end.
        bad_views: The views are no pictures that could be published.
        size: Width and height.
    """
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    left = 10
    for side in sides:
        image[20 : 20 + side, left : left + side] = GREEN
        left += side + 10
    instructions = {
        _FAIL: raises,
        _SLOW_FIT: slow_fit,
        _SLOW_VIEWS: slow_views,
        _HANG: hangs,
        _BAD_VIEWS: bad_views,
    }
    what = next((what for what, wanted in instructions.items() if wanted), _NOTHING)
    error = ERRORS.index(raises) if raises else 0
    image[0, 0] = what, error, round(100 * max(slow_fit, slow_views))
    image[0, 1] = _SIGNATURE
    return image


@dataclass(frozen=True)
class _State:
    delay: float
    is_bad: bool


def _fitted(box: Sequence[int], flags: tuple[str, ...], state: _State) -> FittedFace:
    left, top, width, height, _ = box
    corners = np.array([left, top, left + width, top + height], np.float32)
    face = Face(corners, score=0.875, landmarks5=np.zeros((5, 2), np.float32))
    return FittedFace(face, yaw=0.25, pitch=-0.125, roll=0.0625, flags=flags, state=state)
