"""Fitting the head model to the landmarks of one face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.geometry import (
    MODEL_TO_CAMERA,
    Intrinsics,
    euler_from_rotation,
    fit_similarity,
    look_at,
)
from opendr_facerot.reconstruct.head_model import HeadModel

_ROUNDS = 6
_ROUNDS_NEARBY = 2  # from the parameters of a moment before
OVAL_WEIGHT = 0.35
"""Of the face's contour, which slides over the cheek as the head turns."""
_SEEN_FROM = (-0.1, 0.3)  # cosine to the camera from which a landmark counts, and counts fully
_UNSEEN_WEIGHT = 0.05  # the landmark net guesses what is turned away
_DEPTH_WEIGHT = 0.35  # the landmark net's relative depth is only roughly right
IDENTITY_PRIOR, EXPRESSION_PRIOR = 0.6, 0.35
PRIOR_SCALE = 0.06 * np.sqrt(468.0)
"""Centimetres of residual that a deviation of 1 / prior costs."""
EXPRESSION_RANGE = (-0.15, 1.1)
_PORTRAIT_DISTANCE = 120.0  # centimetres; portraits are hardly taken from nearer
_MOUTH_TOP = 79.2  # centimetres, template space: the upper lip and what is below it move


@dataclass(frozen=True, eq=False)
class HeadParameters:
    """The head model's parameters for one face.

    Attributes:
        seen_from: ``(3, 3)`` rotation of the ray from the camera to the head; see
            :func:`opendr_facerot.geometry.look_at`.
        rotation: ``(3, 3)`` from template axes to camera axes.
        translation: ``(3,)`` centimetres, camera space.
        identity: ``(I,)`` coefficients, standard deviations.
        expression: ``(X,)`` activations.
    """

    seen_from: NDArray[np.floating]
    rotation: NDArray[np.floating]
    translation: NDArray[np.floating]
    identity: NDArray[np.floating]
    expression: NDArray[np.floating]

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll of the head as it appears, radians: relative to the ray to it."""
        return euler_from_rotation(MODEL_TO_CAMERA @ self.seen_from.T @ self.rotation)


@dataclass(frozen=True, eq=False)
class HeadFit(HeadParameters):
    """A head model placed in front of a camera.

    Attributes:
        vertices: ``(n, 3)`` float64 coarse vertices in camera space (centimetres), moved so that
            the landmarks project onto their pixels.
        residual: Mean distance in pixels between the landmarks and the model before the final
            displacement.
    """

    vertices: NDArray[np.floating]
    residual: float


def portrait_camera(
    model: HeadModel, landmarks: NDArray[np.floating], camera: Intrinsics
) -> Intrinsics:
    """A photo's assumed camera, or one with a longer lens if that would stand too near.

    A photo that is cropped to a face looks as if it had been taken from a few decimetres, and its
    views then have the large nose and the small ears of a face seen from there. To guess too far is
    the lesser error: perspective changes with the inverse of the distance.

    Args:
        model: The head model.
        landmarks: See :func:`fit_parameters`.
        camera: As assumed for a photo that is not cropped.
    """
    points, mean = np.asarray(landmarks[:468], np.float64), model.landmarks(model.mean)
    rigid = _rigid_landmarks(mean)
    pixels_per_cm = fit_similarity(mean[rigid], points[rigid] * [1.0, -1.0, -1.0]).scale
    return replace(camera, focal=max(camera.focal, _PORTRAIT_DISTANCE * pixels_per_cm))


def fit_head(model: HeadModel, landmarks: NDArray[np.floating], intrinsics: Intrinsics) -> HeadFit:
    """Fit the head model to the landmarks of one face.

    What :func:`fit_parameters` leaves is taken up by a smooth displacement, parallel to the image,
    of the front of the head, as far as it is turned to the camera.

    Args:
        model: The head model.
        landmarks: See :func:`fit_parameters`.
        intrinsics: Camera of the image that the landmarks are in.
    """
    fit = fit_parameters(model, landmarks, intrinsics)
    shape = head_shape(model, fit.identity, fit.expression)
    vertices = shape @ fit.rotation.T + fit.translation
    fitted = model.landmarks(vertices)
    offset, displacement = lateral_displacement(fitted, landmarks, intrinsics)
    normals = model.landmark_normals @ fit.rotation.T
    displacement *= seen_share(normals, fitted)[:, None]
    return HeadFit(
        seen_from=fit.seen_from,
        rotation=fit.rotation,
        translation=fit.translation,
        identity=fit.identity,
        expression=fit.expression,
        vertices=vertices + model.warp(displacement),
        residual=float(np.linalg.norm(offset, axis=1).mean()),
    )


def head_shape(
    model: HeadModel, identity: NDArray[np.floating], expression: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Coarse vertices ``(n, 3)`` in template space of the model's coefficients."""
    return np.asarray(
        model.mean + combined(identity, model.identity) + combined(expression, model.expression)
    )


def lateral_displacement(
    fitted: NDArray[np.floating],
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What takes the model's landmarks onto their pixels, parallel to the image.

    Args:
        fitted: ``(468, 3)`` the model's landmarks, camera space.
        landmarks: ``(468 or more, 2 or more)`` x, y in pixels.
        intrinsics: Camera of the image that the landmarks are in.

    Returns:
        ``(468, 2)`` pixels and ``(468, 3)`` centimetres, camera space.
    """
    offset = np.asarray(landmarks[:468, :2], np.float64) - intrinsics.project(fitted)
    lateral = np.zeros((468, 3))
    lateral[:, :2] = offset * fitted[:, 2:] / intrinsics.focal
    return offset, lateral


def seen_share(
    normals: NDArray[np.floating], positions: NDArray[np.floating]
) -> NDArray[np.floating]:
    """How far each point is turned to the camera and its landmark can be trusted.

    Args:
        normals: ``(N, 3)`` camera space.
        positions: ``(N, 3)`` camera space, or points on the rays to them.

    Returns:
        ``(N,)`` in (0, 1].
    """
    cosine = -(normals * positions).sum(1) / np.linalg.norm(positions, axis=1)
    low, high = _SEEN_FROM
    return np.asarray(np.clip((cosine - low) / (high - low), _UNSEEN_WEIGHT, 1.0))


def fit_parameters(
    model: HeadModel,
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
    before: HeadParameters | None = None,
) -> HeadParameters:
    """Fit pose, identity and expression to the landmarks of one face.

    The rotation comes from the three-dimensional landmarks alone. Fitting it to their projection
    together with the shape is ill-posed: a flatter face turned further projects almost alike, and
    yaw is then overestimated by a quarter. Translation and shape follow in turn, the shape by
    ridge-regularised least squares on reprojection errors in centimetres at the point's depth.

    Args:
        model: The head model.
        landmarks: ``(468 or more, 3)`` points of the attention mesh: x, y in pixels, z relative
            depth in pixels, smaller = nearer.
        intrinsics: Camera of the image that the landmarks are in.
        before: Parameters of the same face a moment ago: the identity is then kept.
    """
    points = np.asarray(landmarks[:468], np.float64)
    weights = np.ones(468)
    weights[FACE_OVAL] = OVAL_WEIGHT
    rays = (points[:, :2] - [intrinsics.cx, intrinsics.cy]) / intrinsics.focal
    mean = model.landmarks(model.mean)
    rigid = _rigid_landmarks(mean)
    appearing = fit_similarity(mean[rigid], points[rigid] * [1.0, -1.0, -1.0]).rotation
    seen_from = look_at(np.append(rays[rigid].mean(0), 1.0))
    rotation = seen_from @ MODEL_TO_CAMERA @ appearing
    weights *= seen_share(model.landmark_normals @ rotation.T, np.c_[rays, np.ones(468)])

    modes, split, base, rounds = model.landmark_modes, len(model.identity), mean, _ROUNDS
    coefficients: NDArray[np.floating] = np.zeros(len(modes))
    if before is not None:
        base = mean + combined(before.identity, modes[:split])
        modes, coefficients = modes[split:], before.expression
        split, rounds = 0, _ROUNDS_NEARBY
    # The rotation is known, so the problem is linear in the shape but for the points' depth.
    jacobian = shape_jacobian(modes @ rotation.T, rays, weights)
    prior = np.full(len(modes), (EXPRESSION_PRIOR * PRIOR_SCALE) ** 2)
    prior[:split] = (IDENTITY_PRIOR * PRIOR_SCALE) ** 2
    normal_equations = cho_factor(jacobian @ jacobian.T + np.diag(prior))
    for _ in range(rounds):
        turned = (base + combined(coefficients, modes)) @ rotation.T
        translation = best_translation(turned, rays, weights)
        error = shape_error(turned + translation, rays, points[:, 2] / intrinsics.focal, weights)
        step = cho_solve(normal_equations, jacobian @ error - prior * coefficients)
        coefficients = coefficients + step
        coefficients[split:] = np.clip(coefficients[split:], *EXPRESSION_RANGE)

    return HeadParameters(
        seen_from=seen_from,
        rotation=rotation,
        translation=translation,
        identity=coefficients[:split] if before is None else before.identity,
        expression=coefficients[split:],
    )


def combined(
    coefficients: NDArray[np.floating], modes: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Sum ``(N, 3)`` of modes ``(K, N, 3)`` times coefficients ``(K,)``."""
    count, points, _ = modes.shape
    return np.asarray((coefficients @ modes.reshape(count, -1)).reshape(points, 3))


def _rigid_landmarks(mean: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Landmarks ``(468,)`` that expression and the head's turning leave on the same skin."""
    rigid = mean[:, 1] > _MOUTH_TOP
    rigid[FACE_OVAL] = False
    return rigid


def best_translation(
    turned: NDArray[np.floating], rays: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Translation ``(3,)`` that brings points ``(N, 3)`` closest to their rays ``(N, 2)``."""
    zero, w = np.zeros_like(weights), weights
    rows = np.concatenate([np.c_[w, zero, -w * rays[:, 0]], np.c_[zero, w, -w * rays[:, 1]]])
    error = w[:, None] * (rays * turned[:, 2:] - turned[:, :2])
    return np.asarray(np.linalg.lstsq(rows, error.T.ravel(), rcond=None)[0])


def shape_jacobian(
    modes: NDArray[np.floating], rays: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Change ``(K, 3 N)`` of the weighted errors x, y, z with each of K turned modes."""
    x, y, z = np.moveaxis(modes, 2, 0)
    return np.concatenate(
        [
            (x - rays[:, 0] * z) * weights,
            (y - rays[:, 1] * z) * weights,
            z * (_DEPTH_WEIGHT * weights),
        ],
        axis=1,
    )


def shape_error(
    current: NDArray[np.floating],
    rays: NDArray[np.floating],
    relative_depth: NDArray[np.floating],
    weights: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Weighted errors ``(3 N,)`` of points ``(N, 3)``, camera space: off the ray, off in depth."""
    x, y, depth = current.T
    wanted_depth = relative_depth * np.median(depth)
    wanted_depth += np.average(depth - wanted_depth, weights=weights)
    return np.concatenate(
        [
            (rays[:, 0] * depth - x) * weights,
            (rays[:, 1] * depth - y) * weights,
            (wanted_depth - depth) * (_DEPTH_WEIGHT * weights),
        ]
    )
