"""Typed errors. Each message says what was wrong, with the value, and what to do about it."""

from __future__ import annotations


class FacerotError(Exception):
    """Base of every error this package raises on purpose."""


class ImageError(FacerotError, ValueError):
    """An image cannot be read or has an unusable shape, type or size."""


class NoFaceError(FacerotError):
    """No face was found in an image that is otherwise fine.

    Attributes:
        photo_index: Index of the image among several photos of one person; None for a single one.
    """

    def __init__(self, message: str, photo_index: int | None = None) -> None:
        super().__init__(message)
        self.photo_index = photo_index


class AngleError(FacerotError, ValueError):
    """A requested yaw or pitch is not a number or lies outside [-90°, 90°]."""


class WeightsError(FacerotError):
    """A model file is missing, damaged, unsafe to read or not what its name says."""


class DeviceError(FacerotError):
    """The requested compute device or render backend does not exist here."""


class SettingsError(FacerotError, ValueError):
    """A setting has a value outside its documented range."""
