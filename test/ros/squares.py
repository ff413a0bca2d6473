"""A pipeline without models, for tests of the node: its "faces" are green squares.

It is found like every other pipeline, through an entry point, and does what the picture's first
pixel says: fail, or take its time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot import Face, FittedFace, NoFaceError, RotatedFace, RotatorSettings, View
from opendr_facerot.imaging import check_image

GREEN = (0, 255, 0)
_NOTHING, _FAIL, _SLOW_FIT, _SLOW_VIEWS = range(4)


class SquaresRotator:
    """Finds pure green squares, and renders views of one colour that tells their angles."""

    Settings = RotatorSettings

    def __init__(self, settings: RotatorSettings) -> None:
        self.settings = settings
        self.device = "cpu"

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        check_image(image)
        what, _, hundredths = (int(v) for v in image[0, 0])
        if what == _FAIL:
            raise RuntimeError("the picture says that fitting fails")
        if what == _SLOW_FIT:
            time.sleep(hundredths / 100)
        mask = np.all(image == GREEN, axis=2).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
        faces = sorted(boxes[1:].tolist(), key=lambda box: -box[4])
        if not faces:
            raise NoFaceError("there is no green square in the image: paint one")
        delay = hundredths / 100 if what == _SLOW_VIEWS else 0.0
        fov = self.settings.fov
        flags = ("square", *([] if fov is None else [f"fov_{np.degrees(fov):.0f}"]))
        most = self.settings.max_faces or len(faces)
        return [_fitted(box, flags, delay) for box in faces[:most]]

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[RotatedFace]:
        for view in views:
            time.sleep(face.state)
            yaw = face.yaw if view.yaw is None else view.yaw
            pitch = face.pitch if view.pitch is None else view.pitch
            size = self.settings.output_size
            image = np.full((size, size, 3), view_colour(yaw, pitch), np.uint8)
            yield RotatedFace(view, yaw, pitch, 0.0, 0.5, image)

    def close(self) -> None:
        pass


def view_colour(yaw: float, pitch: float) -> tuple[int, int, int]:
    """Colour of a view: red and green are its degrees plus 128."""
    return round(np.degrees(yaw)) + 128, round(np.degrees(pitch)) + 128, 0


def picture(
    sides: Sequence[int] = (40,),
    *,
    fail: bool = False,
    slow_fit: float = 0.0,
    slow_views: float = 0.0,
    size: tuple[int, int] = (320, 240),
) -> NDArray[np.uint8]:
    """A picture with a green square of each side, and at most one instruction.

    Args:
        sides: Pixels, of squares in a row.
        fail: The fit raises RuntimeError.
        slow_fit: The fit takes so many seconds, up to 2.55.
        slow_views: Each view takes so many seconds, up to 2.55.
        size: Width and height.
    """
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    left = 10
    for side in sides:
        image[20 : 20 + side, left : left + side] = GREEN
        left += side + 10
    what = _FAIL if fail else _SLOW_FIT if slow_fit else _SLOW_VIEWS if slow_views else _NOTHING
    image[0, 0] = what, 0, round(100 * max(slow_fit, slow_views))
    return image


def _fitted(box: Sequence[int], flags: tuple[str, ...], delay: float) -> FittedFace:
    left, top, width, height, _ = box
    corners = np.array([left, top, left + width, top + height], np.float32)
    face = Face(corners, score=0.875, landmarks5=np.zeros((5, 2), np.float32))
    return FittedFace(face, yaw=0.25, pitch=-0.125, roll=0.0625, flags=flags, state=delay)
