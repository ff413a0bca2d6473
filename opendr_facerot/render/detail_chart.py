"""The fine detail of the parts of a head that no photo shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

DETAIL_ZERO, DETAIL_ONE = 128, 32
"""Values of a detail chart that stand for no change and for one standard deviation."""

_LEAST_BLUR = 0.6  # chart pixels: less makes no difference


@dataclass(frozen=True, eq=False)
class HeadDetail:
    """Detail of the log colour, laid out on a flat chart of the head.

    Attributes:
        chart: ``(D, D, 2)`` uint8: grain and strands, in steps of 1 / ``DETAIL_ONE`` standard
            deviations about ``DETAIL_ZERO``.
        pixels_per_cm: Pixels of the chart per centimetre of the head.
        level: ``(3,)`` float32 standard deviations of the log colour: grain on skin, grain on hair,
            strands on hair.
        tint: ``(3,)`` float32, by how much more than the luma the detail of hair changes red,
            green and blue.
    """

    chart: NDArray[np.uint8]
    pixels_per_cm: float
    level: NDArray[np.float32]
    tint: NDArray[np.float32]
    _latest: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list, repr=False)

    def chart_for(self, samples_per_cm: float) -> NDArray[np.uint8]:
        """The chart without what is finer than a view's samples per centimetre of the head."""
        sigma = 0.5 * self.pixels_per_cm / samples_per_cm
        if sigma <= _LEAST_BLUR:
            return self.chart
        for known_sigma, chart in self._latest:
            if known_sigma == sigma:
                return chart
        chart = np.asarray(cv2.GaussianBlur(self.chart, (0, 0), sigma), np.uint8)
        self._latest[:] = [(sigma, chart)]
        return chart
