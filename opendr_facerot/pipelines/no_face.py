"""What to say where there is no face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.rotator import RotatorSettings


def no_face_text(image: NDArray[np.uint8], settings: RotatorSettings) -> str:
    """Message of the error for an image ``(H, W, 3)`` in which these settings find no face."""
    height, width = image.shape[:2]
    return (
        f"no face found in the {width}x{height} image at a score of at least "
        f"{settings.min_score:g} and a size of at least {settings.min_face_size} pixels: "
        "lower min_score or min_face_size, or use an image that shows a face from the front"
    )
