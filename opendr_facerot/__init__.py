"""Photorealistic views of the faces in one photo, turned to any yaw and pitch in [-90°, 90°].

>>> import opendr_facerot as facerot
>>> rotator = facerot.load("head")
>>> for face in rotator.fit(photo_rgb):
...     for view in rotator.render(face, facerot.view_grid(yaw=(-60, 0, 60), degrees=True)):
...         view.image  # (H, W, 3) uint8 RGB

The names in ``__all__`` are the declared public interface. Conventions for images, axes and angles
are stated in :mod:`opendr_facerot.geometry`.
"""

from opendr_facerot.errors import (
    AngleError,
    DeviceError,
    FacerotError,
    ImageError,
    NoFaceError,
    SettingsError,
    WeightsError,
)
from opendr_facerot.loading import load
from opendr_facerot.rotator import Face, FaceRotator, FittedFace, RotatedFace, RotatorSettings
from opendr_facerot.views import View, view_grid

__version__ = "0.1.0"

__all__ = [
    "AngleError",
    "DeviceError",
    "Face",
    "FaceRotator",
    "FacerotError",
    "FittedFace",
    "ImageError",
    "NoFaceError",
    "RotatedFace",
    "RotatorSettings",
    "SettingsError",
    "View",
    "WeightsError",
    "load",
    "view_grid",
]
