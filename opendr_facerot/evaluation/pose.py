"""What the package's own nets find in a picture: face, landmarks, head pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.attention_mesh import MESH_CONFIDENCE, AttentionMesh
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_fit import fit_head
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.rotator import Face

_MIN_SCORE = 0.3  # a turned face scores low and is still the face that was asked for
_MIN_SIZE = 16
_PORTRAIT_FOV = math.radians(35.0)
_MORE_LOOKS = 2  # than a fit takes: what measures fits should be steadier


@dataclass(frozen=True, eq=False)
class ObservedFace:
    """The surest face of a picture.

    Attributes:
        face: The detection.
        landmarks: ``(478, 3)`` float32 attention mesh, pixels; None where the net sees no face.
        angles: Yaw, pitch and roll estimated from the landmarks, radians; None without them. Beyond
            60° of yaw the landmarks of the far side are guesses, and so are the angles.
    """

    face: Face
    landmarks: NDArray[np.float32] | None
    angles: tuple[float, float, float] | None


class FaceObserver:
    """Detector, landmarks and pose estimate, loaded once.

    Raises:
        WeightsError: A packaged model file is missing.
    """

    def __init__(self) -> None:
        self._detector, self._mesh = FaceDetector(), AttentionMesh()
        self._model = HeadModel.load()

    def observe(self, image: NDArray[np.uint8]) -> ObservedFace | None:
        """Find the surest face of an ``(H, W, 3)`` RGB image; None if there is none."""
        faces = self._detector.detect(image, min_score=_MIN_SCORE, min_size=_MIN_SIZE)
        if not faces:
            return None
        face = max(faces, key=lambda found: found.score)
        mesh = self._mesh.landmarks(image, face)
        if mesh.confidence < MESH_CONFIDENCE:
            return ObservedFace(face, None, None)
        for _ in range(_MORE_LOOKS):
            mesh = self._mesh.follow(image, mesh.points)
        camera = Intrinsics.from_fov(image.shape[1], image.shape[0], _PORTRAIT_FOV)
        angles = fit_head(self._model, mesh.points, camera).angles
        return ObservedFace(face, mesh.points, angles)
