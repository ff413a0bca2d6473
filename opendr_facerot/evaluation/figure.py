"""Pictures of an evaluation: what was given, what is true, what was made, how they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.evaluation.scores import ViewPictures
from opendr_facerot.gallery import Tile, montage, view_caption
from opendr_facerot.views import View

_TILE = 192
_GAIN = 4.0  # of the error map, so that an error of 64 is white


def figure(photo: NDArray[np.uint8], pictures: Sequence[ViewPictures]) -> NDArray[np.uint8]:
    """Rows of source and true views, of ours, and of their error; a column per view.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB, what the views were made from.
        pictures: At least one; without true views there is one row.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    captions = [view_caption(View(picture.yaw, picture.pitch)) for picture in pictures]
    blank = np.full_like(photo[:1, :1], 255)
    true = [(p.true, f"true, {c}") for p, c in zip(pictures, captions, strict=True)]
    rows: list[list[Tile]] = []
    if all(image is not None for image, _ in true):
        rows.append([Tile(photo, "source")])
        rows[0] += [Tile(image, caption) for image, caption in true if image is not None]
    rows.append([Tile(blank if rows else photo, "" if rows else "source")])
    rows[-1] += [Tile(p.ours, f"ours, {c}") for p, c in zip(pictures, captions, strict=True)]
    if len(rows) == 2:
        errors = [Tile(_error(picture), f"{_GAIN:g} x error") for picture in pictures]
        rows.append([Tile(blank, ""), *errors])
    return montage([tile for row in rows for tile in row], len(rows[0]), _TILE)


def _error(picture: ViewPictures) -> NDArray[np.uint8]:
    """``(H, W, 3)`` mean absolute error of the channels within the true head, amplified."""
    if picture.true is None or picture.mask is None:
        return np.zeros_like(picture.ours)
    error = np.abs(picture.ours.astype(np.float32) - picture.true).mean(axis=2)
    shown = np.clip(_GAIN * error, 0.0, 255.0) * picture.mask
    return np.repeat(shown[..., None].astype(np.uint8), 3, axis=2)
