"""What 3DDFA says about one face: camera, shape, expression, and the region they refer to.

Zhu et al., "Face alignment in full pose range: a 3D total solution", IEEE TPAMI 41(1), 2019.
Rotations and angles follow :mod:`opendr_facerot.geometry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.geometry import euler_from_rotation

CROP_SIZE = 120
"""Side of the square image that the network sees, pixels."""

PARAMETER_COUNT = 62
_CAMERA, _SHAPE, _EXPRESSION = slice(0, 12), slice(12, 52), slice(52, 62)


class PixelConvention(Enum):
    """Where the origin of the projection lies in the crop.

    Weights trained for one convention give points that are off by about a pixel with the other.
    """

    TDDFA = "3ddfa"
    """3DDFA and Rotate-and-Render: y is flipped about 121; x and z stay."""

    TDDFA_V2 = "3ddfa_v2"
    """3DDFA_V2: y is flipped about 120, x and z lose 1; the farthest point has depth 0."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Statistics by which the network's outputs were normalised.

    Attributes:
        mean: ``(62,)`` float32.
        std: ``(62,)`` float32, > 0.

    Raises:
        ValueError: Wrong shape, or numbers that are not finite or, in ``std``, not positive.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            array = getattr(self, name)
            if array.shape != (PARAMETER_COUNT,) or array.dtype != np.float32:
                raise ValueError(
                    f"the whitening's {name} is {array.dtype} {array.shape}: "
                    f"expected float32 ({PARAMETER_COUNT},)"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"the whitening's {name} holds numbers that are not finite")
        if self.std.min() <= 0:
            raise ValueError(f"the whitening's std is as low as {self.std.min()}: expected > 0")

    def undo(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Parameters ``(..., 62)`` float32 of the network's outputs."""
        return outputs * self.std + self.mean


@dataclass(frozen=True, eq=False)
class HeadPose:
    """Decomposition of a camera matrix, ``[scale * rotation | translation]``.

    Attributes:
        scale: Crop pixels per model unit.
        rotation: ``(3, 3)`` float64. Its first two rows have unit length but, coming from a
            network, are only nearly orthogonal; the third is their cross product.
        translation: ``(3,)`` float64 crop pixels.
        yaw: Radians.
        pitch: Radians.
        roll: Radians.
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float

    @classmethod
    def from_camera(cls, camera: ArrayLike) -> HeadPose:
        """Decompose a ``(3, 4)`` camera matrix.

        Raises:
            ValueError: One of its first two rows has no length.
        """
        matrix = np.asarray(camera, np.float64).reshape(3, 4)
        lengths = np.linalg.norm(matrix[:2, :3], axis=1)
        if not lengths.min() > 0:
            raise ValueError("the camera matrix projects everything onto a line")
        first, second = matrix[:2, :3] / lengths[:, None]
        rotation = np.stack([first, second, np.cross(first, second)])
        yaw, pitch, roll = euler_from_rotation(rotation)
        return cls(float(lengths.mean()), rotation, matrix[:, 3], yaw, pitch, roll)


@dataclass(frozen=True, eq=False)
class FaceParameters:
    """The 62 parameters of a face and the region of the image that they were read from.

    Attributes:
        values: ``(62,)`` float64: camera matrix (3x4, row by row), 40 shape and 10 expression
            coefficients.
        roi: ``(4,)`` float64, left, top, right, bottom in pixels of the image.

    Raises:
        ValueError: Wrong number of values, or values that are not finite.
    """

    values: NDArray[np.float64]
    roi: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, count in (("values", PARAMETER_COUNT), ("roi", 4)):
            array = np.array(getattr(self, name), np.float64)
            if array.shape != (count,):
                raise ValueError(f"{name} has shape {array.shape}: expected ({count},)")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
            object.__setattr__(self, name, array)

    @property
    def camera(self) -> NDArray[np.float64]:
        """``(3, 4)`` camera matrix, from model units to crop pixels with y up."""
        return self.values[_CAMERA].reshape(3, 4)

    @property
    def shape(self) -> NDArray[np.float64]:
        """``(40,)`` shape coefficients."""
        return self.values[_SHAPE]

    @property
    def expression(self) -> NDArray[np.float64]:
        """``(10,)`` expression coefficients."""
        return self.values[_EXPRESSION]

    @property
    def pose(self) -> HeadPose:
        """Scale, rotation, translation and angles of the camera."""
        return HeadPose.from_camera(self.camera)

    def project(
        self, points: NDArray[np.floating], convention: PixelConvention = PixelConvention.TDDFA
    ) -> NDArray[np.float32]:
        """Points of the model in the image.

        The camera's third row is used as it is, not made orthogonal to the others.

        Args:
            points: ``(N, 3)`` in model units.
            convention: The convention that the network was trained with.

        Returns:
            ``(N, 3)`` float32: x and y in pixels of the image; z in pixels too, larger is nearer.
        """
        camera = self.camera.astype(np.float32)
        return to_image(points @ camera[:, :3].T + camera[:, 3], self.roi, convention)

    def to_text(self) -> str:
        """The parameters and the region as 66 numbers on one line, digits enough to be exact."""
        return " ".join(repr(float(v)) for v in (*self.values, *self.roi))

    @classmethod
    def from_text(cls, text: str) -> FaceParameters:
        """Read what :meth:`to_text` or Rotate-and-Render's preprocessing wrote.

        Raises:
            ValueError: The text is not 66 finite numbers.
        """
        words = text.split()
        if len(words) != PARAMETER_COUNT + 4:
            raise ValueError(
                f"a face's parameter file has {PARAMETER_COUNT + 4} numbers, this has {len(words)}"
            )
        numbers = np.array([float(word) for word in words], np.float64)
        return cls(numbers[:PARAMETER_COUNT], numbers[PARAMETER_COUNT:])


def to_image(
    crop_points: NDArray[np.floating], roi: ArrayLike, convention: PixelConvention
) -> NDArray[np.float32]:
    """Projected points, y up in the crop, as pixels of the image.

    Args:
        crop_points: ``(N, 3)``, a camera matrix applied to model points.
        roi: ``(4,)`` region of the image that the crop shows, not rounded.
        convention: The convention that the network was trained with.

    Returns:
        ``(N, 3)`` float32 as in :meth:`FaceParameters.project`.
    """
    left, top, right, bottom = np.asarray(roi, np.float64)
    x, y, z = np.asarray(crop_points, np.float64).T
    if convention is PixelConvention.TDDFA:
        y = CROP_SIZE + 1 - y
    else:
        x, y, z = x - 1, CROP_SIZE - y, z - 1
    scale_x, scale_y = (right - left) / CROP_SIZE, (bottom - top) / CROP_SIZE
    z = z * (0.5 * (scale_x + scale_y))
    if convention is PixelConvention.TDDFA_V2:
        z = z - z.min()
    return np.stack([x * scale_x + left, y * scale_y + top, z], axis=1).astype(np.float32)
