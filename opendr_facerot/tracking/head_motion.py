"""How a head that is followed moves and what shape it has, smoothed.

Two things are kept apart. Where the head is in the newest frame must be exact, or its texture would
slide over it: there the landmarks are smoothed hardly at all. What shape it has in its own axes is
what a view from a fixed angle shows: pose, expression and what they leave unexplained are smoothed
each by its own filter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_fit import (
    HeadParameters,
    combined,
    fit_parameters,
    lateral_displacement,
)
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import CHIN, FOREHEAD
from opendr_facerot.tracking.one_euro import OneEuroFilter, OneEuroRotation, OneEuroSettings

_LANDMARKS = OneEuroSettings(min_cutoff=4.0, beta=20.0, speed_cutoff=3.0)  # face heights
_ROTATION = OneEuroSettings(min_cutoff=1.5, beta=12.0)  # radians
_PLACE = OneEuroSettings(min_cutoff=1.5, beta=12.0, speed_cutoff=3.0)  # tangents; log distance
_EXPRESSION = OneEuroSettings(min_cutoff=2.0, beta=3.0)  # activations
_REMAINDER = OneEuroSettings(min_cutoff=1.0, beta=0.6)  # centimetres


@dataclass(frozen=True, eq=False)
class MovingHead:
    """A head in the newest frame.

    Attributes:
        parameters: Of the head model, smoothed.
        shape: ``(V, 3)`` fine vertices in template space, smoothed.
        vertices: ``(V, 3)`` fine vertices in camera space, where the newest frame shows them.
    """

    parameters: HeadParameters
    shape: NDArray[np.floating]
    vertices: NDArray[np.floating]


class HeadMotion:
    """Follows the motion of one head.

    Args:
        model: The head model.
        start: Its parameters in the first frame.
    """

    def __init__(self, model: HeadModel, start: HeadParameters) -> None:
        self._model = model
        self._measured = HeadParameters(
            start.seen_from, start.rotation, start.translation, start.identity, start.expression
        )
        self._landmarks = OneEuroFilter(_LANDMARKS)
        self._rotation = OneEuroRotation(_ROTATION)
        self._place = OneEuroFilter(_PLACE)
        self._expression = OneEuroFilter(_EXPRESSION)
        self._remainder = OneEuroFilter(_REMAINDER)
        self._face_height = 0.0
        self._mean_landmarks = model.landmarks(model.mean)
        self._identity: NDArray[np.floating] | None = None
        self._neutral = model.mean

    def smoothed(self, landmarks: NDArray[np.floating], seconds: float) -> NDArray[np.floating]:
        """The landmarks ``(478, 3)`` of the next frame, pixels, smoothed a little.

        Args:
            landmarks: ``(478, 3)`` of the attention mesh, pixels of the frame.
            seconds: Since the frame before, > 0; ignored for the first one.
        """
        if not self._face_height:
            self._face_height = float(np.linalg.norm(landmarks[FOREHEAD] - landmarks[CHIN]))
        unit = self._face_height
        return unit * self._landmarks(np.asarray(landmarks, np.float64) / unit, seconds)

    def follow(
        self,
        points: NDArray[np.floating],
        intrinsics: Intrinsics,
        seconds: float,
        identity: NDArray[np.floating],
        relief: NDArray[np.floating],
    ) -> MovingHead:
        """The head in the next frame.

        Args:
            points: ``(478, 3)`` of :meth:`smoothed`.
            intrinsics: Camera of the frame.
            seconds: Since the frame before, > 0; ignored for the first one.
            identity: ``(I,)`` coefficients of the head.
            relief: ``(V, 3)`` by which the fine vertices differ from the model's, template space:
                hair, and the outline of this head.
        """
        model = self._model
        if identity is not self._identity:
            self._identity = identity
            self._neutral = model.mean + combined(identity, model.identity)
        before = replace(self._measured, identity=identity)
        self._measured = measured = fit_parameters(model, points, intrinsics, before)
        x, y, z = measured.translation
        tangent_x, tangent_y, log_z = self._place([x / z, y / z, np.log(z)], seconds)
        smooth = HeadParameters(
            seen_from=measured.seen_from,
            rotation=self._rotation(measured.rotation, seconds),
            translation=np.exp(log_z) * np.array([tangent_x, tangent_y, 1.0]),
            identity=identity,
            expression=self._expression(measured.expression, seconds),
        )
        unexplained = self._off(measured, points, intrinsics) @ measured.rotation
        remainder = self._remainder(unexplained, seconds)
        off = self._off(smooth, points, intrinsics) - remainder @ smooth.rotation.T
        # Both displacements of the mesh at once: it is linear.
        both = model.warp(np.hstack([remainder, off]))
        shape = self._neutral + combined(smooth.expression, model.expression) + both[:, :3]
        fine = model.refine(shape) + relief
        vertices = fine @ smooth.rotation.T + smooth.translation + model.subdivide(both[:, 3:])
        return MovingHead(smooth, fine, vertices)

    def _off(
        self, parameters: HeadParameters, points: NDArray[np.floating], intrinsics: Intrinsics
    ) -> NDArray[np.floating]:
        """How far the model is off the landmarks ``(468, 3)``, centimetres, camera space."""
        coefficients = np.concatenate([parameters.identity, parameters.expression])
        shape = self._mean_landmarks + combined(coefficients, self._model.landmark_modes)
        posed = shape @ parameters.rotation.T + parameters.translation
        return lateral_displacement(posed, points, intrinsics)[1]
