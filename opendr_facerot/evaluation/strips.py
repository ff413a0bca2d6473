"""One row per photo: the photo, its views over the yaw, then over the pitch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.gallery import Tile, face_tiles
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import view_grid

_YAWS_DEG = (-90, -60, -45, -30, 0, 30, 45, 60, 90)
_PITCHES_DEG = (-45, -20, 20, 45)


def strip(rotator: FaceRotator, photo: NDArray[np.uint8]) -> list[Tile]:
    """Tiles of a photo's largest face: the photo, yaws -90° to 90°, pitches -45° to 45°.

    Args:
        rotator: The pipeline.
        photo: ``(H, W, 3)`` uint8 RGB.

    Raises:
        NoFaceError: The pipeline finds no face.
    """
    views = view_grid(_YAWS_DEG, (0,), degrees=True) + view_grid((0,), _PITCHES_DEG, degrees=True)
    face = rotator.fit(photo)[0]
    return face_tiles(photo, face, list(rotator.render(face, views)))
