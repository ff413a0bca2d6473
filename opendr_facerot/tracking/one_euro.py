"""Smoothing of measurements as they come, with little lag when they move.

The one-euro filter of Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter
for Noisy Input in Interactive Systems", CHI 2012: a first-order low-pass filter whose cutoff
frequency rises with the speed of what is measured. At rest it removes jitter; in motion, where the
eye does not see jitter, it follows. A first-order filter with the cutoff f lags behind a steady
motion by 1 / (2 pi f) seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class OneEuroSettings:
    """How strongly a measurement is smoothed.

    Attributes:
        min_cutoff: Hertz, of what does not move; > 0.
        beta: Hertz by which the cutoff rises for each unit of the measurement per second; >= 0.
        speed_cutoff: Hertz, of the speed's own low-pass filter; > 0.
    """

    min_cutoff: float
    beta: float
    speed_cutoff: float = 1.0


class OneEuroFilter:
    """Smooths an array, each of its values by its own speed."""

    def __init__(self, settings: OneEuroSettings) -> None:
        self._settings = settings
        self._raw: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] = np.zeros(())
        self._value: NDArray[np.float64] = np.zeros(())

    def __call__(self, measured: ArrayLike, seconds: float) -> NDArray[np.float64]:
        """The smoothed value.

        Args:
            measured: Of one shape throughout; the first one is returned as it is.
            seconds: Since the measurement before, > 0; ignored for the first one.
        """
        raw = np.array(measured, np.float64)
        if self._raw is None:
            self._value, self._speed = raw, np.zeros_like(raw)
        else:
            settings = self._settings
            speed = (raw - self._raw) / seconds
            self._speed = self._speed + _share(settings.speed_cutoff, seconds) * (
                speed - self._speed
            )
            cutoff = settings.min_cutoff + settings.beta * np.abs(self._speed)
            self._value = self._value + _share(cutoff, seconds) * (raw - self._value)
        self._raw = raw
        return self._value.copy()


class OneEuroRotation:
    """Smooths a rotation: the same filter on SO(3), in the plane tangent to the smoothed value.

    The speed is the length of the angular velocity, so that all axes are smoothed alike.
    """

    def __init__(self, settings: OneEuroSettings) -> None:
        self._settings = settings
        self._raw: NDArray[np.float64] | None = None
        self._velocity: NDArray[np.float64] = np.zeros(3)
        self._value = np.eye(3)

    def __call__(self, measured: NDArray[np.floating], seconds: float) -> NDArray[np.float64]:
        """The smoothed rotation matrix ``(3, 3)``; arguments as those of :class:`OneEuroFilter`."""
        raw = np.array(measured, np.float64)
        if self._raw is None:
            self._value = raw
        else:
            settings = self._settings
            velocity = rotation_vector(raw @ self._raw.T) / seconds
            self._velocity = self._velocity + _share(settings.speed_cutoff, seconds) * (
                velocity - self._velocity
            )
            cutoff = settings.min_cutoff + settings.beta * float(np.linalg.norm(self._velocity))
            step = _share(cutoff, seconds) * rotation_vector(raw @ self._value.T)
            self._value = np.asarray(cv2.Rodrigues(step)[0]) @ self._value
        self._raw = raw
        return self._value.copy()


def rotation_vector(rotation: NDArray[np.floating]) -> NDArray[np.float64]:
    """Axis times angle ``(3,)``, radians, of a rotation matrix ``(3, 3)``."""
    return np.asarray(cv2.Rodrigues(np.asarray(rotation, np.float64))[0]).ravel()


def _share(cutoff: NDArray[np.float64] | float, seconds: float) -> NDArray[np.float64]:
    """Share of a new value in the smoothed one (equation 3 of the paper)."""
    radians = 2.0 * math.pi * seconds * np.asarray(cutoff)
    return np.asarray(radians / (radians + 1.0))
