"""Trimming the rim of a rendered face, where a photo's colours are smeared or torn.

The trimmed pixels take the face's mean colour, and so do the parts of the mesh that are textured
from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import SettingsError
from opendr_facerot.randomness import RandomSource, draw_integer

VIEW_KERNEL = 15
"""Kernel size for views of a photo."""

_FIRST_ROWS = 50, 100
_THRESHOLDS = 0.8, 0.99
_ROWS_BELOW = 10


@dataclass(frozen=True)
class Erosion:
    """How much of the rim goes.

    Attributes:
        kernel: Side of the box filter, pixels; odd.
        first_row: The rim stays above this row, as it does in the last ten.
        threshold: Share of the box, in [0, 1), that a pixel needs covered to stay.

    Raises:
        SettingsError: The kernel is not an odd positive number.
    """

    kernel: int
    first_row: int
    threshold: float

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SettingsError(f"the erosion kernel is {self.kernel}: give an odd positive number")

    @classmethod
    def draw(cls, source: RandomSource, kernel: int = VIEW_KERNEL) -> Erosion:
        """A random first row of 50 to 99 and a threshold of 0.8 to 0.99."""
        first_row = draw_integer(source, *_FIRST_ROWS)
        return cls(kernel, first_row, float(source.uniform(*_THRESHOLDS)))

    def mask(self, alpha: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Pixels ``(S, S)`` that stay, of a coverage ``(S, S)`` float32 in [0, 1]."""
        share = alpha.copy()
        rows = slice(self.first_row, max(len(alpha) - _ROWS_BELOW, self.first_row))
        box = (self.kernel, self.kernel)
        share[rows] = cv2.blur(alpha, box, borderType=cv2.BORDER_CONSTANT)[rows]
        return share > np.float32(self.threshold)


def fill_with_mean(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The ``(S, S, 3)`` image inside the mask, its mean colour in the mask elsewhere.

    An empty mask gives grey, 0.5.
    """
    total = image[mask].sum(axis=0, dtype=np.float64)
    # A channel that is black all over the mask gets 0.5 / count: as published, and as good as 0.
    mean = np.where(total == 0.0, 0.5, total) / max(int(mask.sum()), 1)
    return np.where(mask[..., None], image, mean.astype(np.float32))
