"""A photo as worse cameras and lights would have taken it, made by code."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.rotator import Face

_GAMMA = 2.2
_SMALL_FACE = 64  # pixels of a box's longer side
_TIGHT = 0.12  # of the box's longer side, left around it
_TILT_DEG = 15.0
_DARK, _BRIGHT = 0.35, 1.8  # exposure, linear light
_SHADE, _LIT = 0.25, 1.3  # linear light on the two cheeks


def variations(photo: NDArray[np.uint8], face: Face) -> dict[str, NDArray[np.uint8]]:
    """Variations of a photo by name.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB.
        face: The face in it.

    Returns:
        ``cropped`` to the face, ``small`` (a face of 64 pixels), ``tilted`` by 15°, ``dark``,
        ``bright``, lit from the left (``lit_left``) and from the right; ``(H, W, 3)`` uint8 RGB.
    """
    makers: dict[str, Callable[[NDArray[np.uint8], Face], NDArray[np.uint8]]] = {
        "cropped": _cropped,
        "small": _small,
        "tilted": _tilted,
        "dark": lambda image, _: _exposed(image, np.array(_DARK)),
        "bright": lambda image, _: _exposed(image, np.array(_BRIGHT)),
        "lit_left": lambda image, face: _exposed(image, _side_light(image, face, _LIT, _SHADE)),
        "lit_right": lambda image, face: _exposed(image, _side_light(image, face, _SHADE, _LIT)),
    }
    return {name: make(photo, face) for name, make in makers.items()}


def _cropped(photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    left, top, right, bottom = (float(edge) for edge in face.box)
    margin = _TIGHT * max(right - left, bottom - top)
    rows = slice(max(0, round(top - margin)), round(bottom + margin))
    columns = slice(max(0, round(left - margin)), round(right + margin))
    return np.ascontiguousarray(photo[rows, columns])


def _small(photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    left, top, right, bottom = (float(edge) for edge in face.box)
    scale = _SMALL_FACE / max(right - left, bottom - top)
    if scale >= 1.0:
        return photo
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))


def _tilted(photo: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    left, top, right, bottom = (float(edge) for edge in face.box)
    centre = ((left + right) / 2, (top + bottom) / 2)
    matrix = cv2.getRotationMatrix2D(centre, _TILT_DEG, 1.0)
    size = photo.shape[1::-1]
    return np.asarray(
        cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


def _exposed(photo: NDArray[np.uint8], gain: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Light multiplied by a gain that broadcasts to ``(H, W, 3)``."""
    linear = (photo / 255.0) ** _GAMMA * gain
    return np.rint(255.0 * np.clip(linear, 0.0, 1.0) ** (1.0 / _GAMMA)).astype(np.uint8)


def _side_light(
    photo: NDArray[np.uint8], face: Face, left_gain: float, right_gain: float
) -> NDArray[np.floating]:
    """``(1, W, 1)`` gain that goes over from one side of the face to the other."""
    left, _, right, _ = (float(edge) for edge in face.box)
    across = np.clip((np.arange(photo.shape[1]) - left) / max(right - left, 1.0), 0.0, 1.0)
    return (left_gain + (right_gain - left_gain) * across)[None, :, None]
