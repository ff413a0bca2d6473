"""Greying out the lower nose and chin line of a rotated render before it enters the generator.

Seen from the side, a photo's texture is smeared or torn along these lines; grey tells the generator
to invent them from the label alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.generate.landmark_labels import CHIN, NOSE_BASE

FRONTAL_YAW = 0.255
"""Photos whose face is turned by less than this many radians are clean enough to need no mask."""


def needs_mask(photo_yaw: float) -> bool:
    """Whether renders of a photo whose face is turned by ``photo_yaw`` radians get the mask."""
    return abs(photo_yaw) >= FRONTAL_YAW


def mask_lines(
    rotated: NDArray[np.float32], heat_maps: NDArray[np.float32], *, masked: bool
) -> NDArray[np.float32]:
    """The generator's image input: the render, grey along the lower nose and the chin.

    A full-scale value of 1 becomes grey as well, masked or not: the generator was trained so.

    Args:
        rotated: ``(3, S, S)`` float32 in [-1, 1], the rendered face.
        heat_maps: ``(13, S, S)`` of :func:`~.landmark_labels.line_heat_maps`.
        masked: Grey out the lines; :func:`needs_mask` says when the generator expects it.

    Returns:
        ``(3, S, S)`` float32 in [-1, 1); the inputs are not changed.
    """
    grey = rotated >= 1.0
    if masked:
        grey |= (heat_maps[NOSE_BASE] > 0.0) | (heat_maps[CHIN] > 0.0)
    return np.where(grey, np.float32(0.0), rotated)
