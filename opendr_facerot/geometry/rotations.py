"""Rotation matrices and head angles; the conventions are in :mod:`opendr_facerot.geometry`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rotation_from_euler(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> NDArray[np.float64]:
    """Rotation matrix of a head pose, ``Rz(roll) @ Ry(yaw) @ Rx(pitch)``.

    Args:
        yaw: Radians, > 0 turns the nose to image right.
        pitch: Radians, > 0 looks down.
        roll: Radians, > 0 turns counter-clockwise on the screen.

    Returns:
        ``(3, 3)`` float64, acting on column vectors in model space.
    """
    sin_y, cos_y = np.sin(yaw), np.cos(yaw)
    sin_p, cos_p = np.sin(pitch), np.cos(pitch)
    sin_r, cos_r = np.sin(roll), np.cos(roll)
    rx = np.array([[1.0, 0.0, 0.0], [0.0, cos_p, -sin_p], [0.0, sin_p, cos_p]])
    ry = np.array([[cos_y, 0.0, sin_y], [0.0, 1.0, 0.0], [-sin_y, 0.0, cos_y]])
    rz = np.array([[cos_r, -sin_r, 0.0], [sin_r, cos_r, 0.0], [0.0, 0.0, 1.0]])
    return rz @ ry @ rx


def euler_from_rotation(rotation: ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a rotation matrix; the inverse of :func:`rotation_from_euler`.

    Args:
        rotation: ``(3, 3)`` rotation matrix in model space.

    Returns:
        ``(yaw, pitch, roll)`` in radians, yaw in [-pi/2, pi/2], pitch and roll in [-pi, pi]. At
        yaw = ±pi/2 only the difference or sum of pitch and roll is defined: roll is then 0.
    """
    r = np.asarray(rotation, dtype=np.float64)
    yaw = float(np.arcsin(np.clip(-r[2, 0], -1.0, 1.0)))
    if abs(r[2, 0]) > 1.0 - 1e-12:
        pitch = np.arctan2(np.sign(yaw) * r[0, 1], r[1, 1])
        return yaw, float(pitch), 0.0
    return yaw, float(np.arctan2(r[2, 1], r[2, 2])), float(np.arctan2(r[1, 0], r[0, 0]))
