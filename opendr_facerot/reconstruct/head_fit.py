"""Fitting the head model to the landmarks of one face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.geometry import MODEL_TO_CAMERA, Intrinsics, fit_similarity
from opendr_facerot.reconstruct.head_model import HeadModel

_ROUNDS = 6
_OVAL_WEIGHT = 0.35  # the contour slides over the cheek as the head turns: trust it less
_DEPTH_WEIGHT = 0.35  # the landmark net's relative depth is only roughly right
_IDENTITY_PRIOR = 0.6
_EXPRESSION_PRIOR = 0.35
_PRIOR_SCALE = 0.06 * np.sqrt(468.0)  # centimetres of residual that one standard deviation costs
_EXPRESSION_RANGE = (-0.15, 1.1)


@dataclass(frozen=True, eq=False)
class HeadFit:
    """A head model placed in front of a camera.

    Attributes:
        vertices: ``(n, 3)`` float64 coarse vertices in camera space (centimetres), moved so that
            the landmarks project onto their pixels.
        rotation: ``(3, 3)`` from template axes to camera axes.
        translation: ``(3,)`` centimetres, camera space.
        intrinsics: The camera.
        identity: ``(I,)`` coefficients, standard deviations.
        expression: ``(X,)`` activations.
        residual: Mean distance in pixels between the landmarks and the model before the final
            displacement.
    """

    vertices: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    intrinsics: Intrinsics
    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    residual: float


def fit_head(
    model: HeadModel, landmarks: NDArray[np.floating], intrinsics: Intrinsics
) -> HeadFit:
    """Fit pose, identity and expression to the landmarks of one face.

    Alternates perspective-n-point for the pose with one ridge-regularised Gauss-Newton step for
    the coefficients; reprojection errors are measured in centimetres at the point's depth. What is
    left is taken up by a smooth displacement, parallel to the image, of the front of the head.

    Args:
        model: The head model.
        landmarks: ``(468 or more, 3)`` points of the attention mesh: x, y in pixels, z relative
            depth in pixels, smaller = nearer.
        intrinsics: Camera of the image that the landmarks are in.
    """
    points = np.asarray(landmarks[:468], np.float64)
    weights = np.ones(468)
    weights[FACE_OVAL] = _OVAL_WEIGHT
    rays = (points[:, :2] - [intrinsics.cx, intrinsics.cy]) / intrinsics.focal
    mean = model.landmarks(model.mean)
    modes = np.concatenate([model.landmarks(model.identity), model.landmarks(model.expression)])
    split = len(model.identity)
    prior = np.full(len(modes), _EXPRESSION_PRIOR * _PRIOR_SCALE)
    prior[:split] = _IDENTITY_PRIOR * _PRIOR_SCALE

    coefficients = np.zeros(len(modes))
    rotation, translation = _initial_pose(mean, points, weights, intrinsics)
    for _ in range(_ROUNDS):
        shape = mean + np.tensordot(coefficients, modes, 1)
        rotation, translation = _refine_pose(shape, points, intrinsics, rotation, translation)
        coefficients = coefficients + _shape_step(
            shape @ rotation.T + translation,
            modes @ rotation.T,
            rays,
            points[:, 2] / intrinsics.focal,
            weights,
            prior,
            coefficients,
        )
        coefficients[split:] = np.clip(coefficients[split:], *_EXPRESSION_RANGE)

    identity, expression = coefficients[:split], coefficients[split:]
    shape = (
        model.mean
        + np.tensordot(identity, model.identity, 1)
        + np.tensordot(expression, model.expression, 1)
    )
    vertices = shape @ rotation.T + translation
    fitted = model.landmarks(vertices)
    offset = points[:, :2] - intrinsics.project(fitted)
    lateral = np.zeros((468, 3))
    lateral[:, :2] = offset * fitted[:, 2:] / intrinsics.focal
    return HeadFit(
        vertices=vertices + model.displacement @ lateral,
        rotation=rotation,
        translation=translation,
        intrinsics=intrinsics,
        identity=identity,
        expression=expression,
        residual=float(np.linalg.norm(offset, axis=1).mean()),
    )


def _initial_pose(
    shape: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    intrinsics: Intrinsics,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weak-perspective pose, from the 3D landmarks that the net gives."""
    similarity = fit_similarity(shape, points * [1.0, -1.0, -1.0], weights)
    depth = intrinsics.focal / similarity.scale
    x, y = similarity.translation[:2] * [1.0, -1.0] - [intrinsics.cx, intrinsics.cy]
    centre = np.array([x, y, intrinsics.focal]) / similarity.scale
    # The similarity puts the template's origin at its own depth: keep the face's at `depth`.
    centre[2] = depth - (MODEL_TO_CAMERA @ similarity.rotation @ shape.mean(0))[2]
    return MODEL_TO_CAMERA @ similarity.rotation, centre


def _refine_pose(
    shape: NDArray[np.float64],
    points: NDArray[np.float64],
    intrinsics: Intrinsics,
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    vector, translation = cv2.Rodrigues(rotation)[0], translation.reshape(3, 1).copy()
    cv2.solvePnPRefineLM(shape, points[:, :2].copy(), intrinsics.matrix, None, vector, translation)
    return cv2.Rodrigues(vector)[0], translation.ravel()


def _shape_step(
    current: NDArray[np.float64],
    modes: NDArray[np.float64],
    rays: NDArray[np.float64],
    relative_depth: NDArray[np.float64],
    weights: NDArray[np.float64],
    prior: NDArray[np.float64],
    coefficients: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gauss-Newton step of the coefficients, all positions in camera space (centimetres)."""
    depth = current[:, 2]
    wanted_depth = relative_depth * np.median(depth)
    wanted_depth += np.average(depth - wanted_depth, weights=weights)
    depth_weights = _DEPTH_WEIGHT * weights
    blocks = (
        ((modes[:, :, 0] - rays[:, 0] * modes[:, :, 2]) * weights),
        ((modes[:, :, 1] - rays[:, 1] * modes[:, :, 2]) * weights),
        (modes[:, :, 2] * depth_weights),
    )
    errors = (
        (rays[:, 0] * depth - current[:, 0]) * weights,
        (rays[:, 1] * depth - current[:, 1]) * weights,
        (wanted_depth - depth) * depth_weights,
    )
    jacobian, error = np.concatenate(blocks, axis=1), np.concatenate(errors)
    normal = jacobian @ jacobian.T + np.diag(prior**2)
    return np.linalg.solve(normal, jacobian @ error - prior**2 * coefficients)
