"""Pinhole cameras in OpenCV's convention; see :mod:`opendr_facerot.geometry`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry.rotations import rotation_from_euler

MODEL_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
"""``(3, 3)`` change of axes between model space (y up, z to the camera) and camera space."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with square pixels and no distortion.

    Attributes:
        focal: Focal length in pixels.
        cx: Principal point, pixels from the centre of the left column.
        cy: Principal point, pixels from the centre of the top row.
    """

    focal: float
    cx: float
    cy: float

    @classmethod
    def from_fov(cls, width: int, height: int, fov: float) -> Intrinsics:
        """Camera of an uncropped image whose vertical field of view is ``fov`` radians."""
        return cls(height / (2.0 * math.tan(fov / 2.0)), (width - 1) / 2.0, (height - 1) / 2.0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)`` float64 camera matrix."""
        return np.array([[self.focal, 0.0, self.cx], [0.0, self.focal, self.cy], [0.0, 0.0, 1.0]])

    def project(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Pixels ``(..., 2)`` of camera-space points ``(..., 3)`` with z > 0."""
        scale = self.focal / points[..., 2:3]
        return points[..., :2] * scale + np.array([self.cx, self.cy], points.dtype)

    def scaled(self, scale: float, offset_x: float, offset_y: float) -> Intrinsics:
        """The camera of the image ``p -> scale * p + offset`` (a crop or a resized copy)."""
        return Intrinsics(
            self.focal * scale, self.cx * scale + offset_x, self.cy * scale + offset_y
        )


def look_at(direction: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation ``(3, 3)`` that turns the optical axis into ``direction`` without rolling.

    A head that is off the optical axis appears turned by the angle of the ray to it: its angles as
    seen are those of ``look_at(ray).T @ rotation``.

    Args:
        direction: ``(3,)`` in camera space, z > 0.
    """
    x, y, z = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    return MODEL_TO_CAMERA @ rotation_from_euler(-math.atan2(x, z), -math.asin(y)) @ MODEL_TO_CAMERA
