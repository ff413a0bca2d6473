"""Fitting one head to several photos of the same person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_fit import (
    EXPRESSION_PRIOR,
    EXPRESSION_RANGE,
    IDENTITY_PRIOR,
    OVAL_WEIGHT,
    PRIOR_SCALE,
    HeadFit,
    best_translation,
    combined,
    head_shape,
    lateral_displacement,
    seen_share,
    shape_error,
    shape_jacobian,
)
from opendr_facerot.reconstruct.head_model import HeadModel

_ROUNDS = 10
_ROTATION_DEVIATION = math.radians(20.0)  # of a single photo's estimate, cautiously
_DISPLACEMENT_PRIOR = 0.5
"""Weight of "no displacement", in landmarks seen: one photo alone says nothing of the depth."""


@dataclass(eq=False)
class _View:
    """One photo while its pose and expression are fitted."""

    camera: Intrinsics
    rays: NDArray[np.float64]
    depth: NDArray[np.float64]
    prior_rotation: NDArray[np.floating]
    rotation: NDArray[np.floating]
    translation: NDArray[np.floating]
    expression: NDArray[np.floating]
    facing: NDArray[np.floating]

    @property
    def weights(self) -> NDArray[np.floating]:
        """``(468,)`` trust in each landmark."""
        weights = self.facing.copy()
        weights[FACE_OVAL] *= OVAL_WEIGHT
        return weights


def fit_same_head(
    model: HeadModel,
    landmarks: Sequence[NDArray[np.floating]],
    fits: Sequence[HeadFit],
    cameras: Sequence[Intrinsics],
    primary: int,
) -> list[HeadFit]:
    """Fit one identity, and each photo's own pose and expression, to all photos' landmarks.

    What ill-conditions the pose in one photo, that a flatter face turned further looks alike, does
    not in two: the rotations of all photos but the primary one are refined on the shared shape,
    alternately with the shape. The landmarks that the shape misses are then moved in space to where
    the photos agree (linear triangulation), and what is still left is taken up by a displacement
    parallel to each photo's image, as in :func:`fit_head`.

    Args:
        model: The head model.
        landmarks: Of each photo, ``(468 or more, 3)``, see :func:`fit_head`.
        fits: The fit of each photo alone.
        cameras: Of each photo.
        primary: Index of the photo whose rotation is kept.

    Returns:
        The fit in each photo.
    """
    mean, modes = model.landmarks(model.mean), model.landmark_modes
    normals = model.landmark_normals
    views = [
        _view(np.asarray(points[:468], np.float64), fit, camera, normals)
        for points, fit, camera in zip(landmarks, fits, cameras, strict=True)
    ]
    identity = np.mean([fit.identity for fit in fits], axis=0)
    for _ in range(_ROUNDS):
        identity = _step_shape(mean, modes, identity, views)
        for k, view in enumerate(views):
            shape = mean + combined(np.r_[identity, view.expression], modes)
            if k == primary:
                turned = shape @ view.rotation.T
                view.translation = best_translation(turned, view.rays, view.weights)
            else:
                _step_pose(shape, view)
            view.facing = _facing(normals, view.rotation, view.rays)
    displacement = _triangulated(mean, modes, identity, views)
    return [
        _fit_of(model, identity, displacement, view, points, fit)
        for view, points, fit in zip(views, landmarks, fits, strict=True)
    ]


def _view(
    points: NDArray[np.float64], fit: HeadFit, camera: Intrinsics, normals: NDArray[np.floating]
) -> _View:
    rays = (points[:, :2] - [camera.cx, camera.cy]) / camera.focal
    return _View(
        camera=camera,
        rays=rays,
        depth=points[:, 2] / camera.focal,
        prior_rotation=fit.rotation,
        rotation=fit.rotation,
        translation=fit.translation,
        expression=fit.expression,
        facing=_facing(normals, fit.rotation, rays),
    )


def _facing(
    normals: NDArray[np.floating], rotation: NDArray[np.floating], rays: NDArray[np.floating]
) -> NDArray[np.floating]:
    return seen_share(normals @ rotation.T, np.c_[rays, np.ones(len(rays))])


def _step_shape(
    mean: NDArray[np.floating],
    modes: NDArray[np.floating],
    identity: NDArray[np.floating],
    views: Sequence[_View],
) -> NDArray[np.floating]:
    """Improve the shared identity, which is returned, and each view's expression, in place."""
    split, count = len(identity), len(modes) - len(identity)
    size = split + count * len(views)
    coefficients = np.concatenate([identity, *(view.expression for view in views)])
    prior = np.full(size, (EXPRESSION_PRIOR * PRIOR_SCALE) ** 2)
    prior[:split] = (IDENTITY_PRIOR * PRIOR_SCALE) ** 2
    matrix, target = np.diag(prior), -prior * coefficients
    for k, view in enumerate(views):
        own = np.r_[:split, split + k * count : split + (k + 1) * count]
        shape = mean + combined(coefficients[own], modes)
        current = shape @ view.rotation.T + view.translation
        jacobian = shape_jacobian(modes @ view.rotation.T, view.rays, view.weights)
        matrix[np.ix_(own, own)] += jacobian @ jacobian.T
        target[own] += jacobian @ shape_error(current, view.rays, view.depth, view.weights)
    coefficients += np.linalg.solve(matrix, target)
    for k, view in enumerate(views):
        mine = coefficients[split + k * count : split + (k + 1) * count]
        view.expression = np.clip(mine, *EXPRESSION_RANGE)
    return coefficients[:split]


def _step_pose(shape: NDArray[np.floating], view: _View) -> None:
    """One Gauss-Newton step of a view's rotation and translation on its rays, in place."""
    turned = shape @ view.rotation.T
    x, y, z = (turned + view.translation).T
    w = view.weights
    residual = np.concatenate([(x - view.rays[:, 0] * z) * w, (y - view.rays[:, 1] * z) * w])
    # d(turned) / d(rotation vector) = -[turned]x; d(position) / d(translation) = 1
    a, b, c = turned.T
    zero, one = np.zeros_like(a), np.ones_like(a)
    to_x, to_y, to_z = (
        np.stack(columns, 1)
        for columns in (
            (zero, c, -b, one, zero, zero),
            (-c, zero, a, zero, one, zero),
            (b, -a, zero, zero, zero, one),
        )
    )
    jacobian = np.concatenate(
        [
            (to_x - view.rays[:, :1] * to_z) * w[:, None],
            (to_y - view.rays[:, 1:] * to_z) * w[:, None],
        ]
    )
    strength = (PRIOR_SCALE / _ROTATION_DEVIATION) ** 2
    deviation = cv2.Rodrigues(view.rotation @ view.prior_rotation.T)[0].ravel()
    matrix, gradient = jacobian.T @ jacobian, jacobian.T @ residual
    matrix[:3, :3] += strength * np.eye(3)
    gradient[:3] += strength * deviation
    step = np.linalg.solve(matrix, -gradient)
    view.rotation = cv2.Rodrigues(step[:3])[0] @ view.rotation
    view.translation = view.translation + step[3:]


def _triangulated(
    mean: NDArray[np.floating],
    modes: NDArray[np.floating],
    identity: NDArray[np.floating],
    views: Sequence[_View],
) -> NDArray[np.floating]:
    """Displacement ``(468, 3)`` of each landmark, template axes, that all views ask for."""
    matrix = np.tile(_DISPLACEMENT_PRIOR * np.eye(3), (468, 1, 1))
    target = np.zeros((468, 3))
    for view in views:
        shape = mean + combined(np.r_[identity, view.expression], modes)
        x, y, z = (shape @ view.rotation.T + view.translation).T
        for c, position in ((0, x), (1, y)):
            row = view.rotation[c] - view.rays[:, c, None] * view.rotation[2]
            row = row * view.weights[:, None]
            matrix += row[:, :, None] * row[:, None, :]
            target += row * ((view.rays[:, c] * z - position) * view.weights)[:, None]
    return np.asarray(np.linalg.solve(matrix, target[..., None])[..., 0])


def _fit_of(
    model: HeadModel,
    identity: NDArray[np.floating],
    displacement: NDArray[np.floating],
    view: _View,
    points: NDArray[np.floating],
    alone: HeadFit,
) -> HeadFit:
    shape = head_shape(model, identity, view.expression) + model.warp(displacement)
    vertices = shape @ view.rotation.T + view.translation
    offset, lateral = lateral_displacement(model.landmarks(vertices), points, view.camera)
    return HeadFit(
        seen_from=alone.seen_from,
        rotation=view.rotation,
        translation=view.translation,
        identity=identity,
        expression=view.expression,
        vertices=vertices + model.warp(lateral * view.facing[:, None]),
        residual=float(np.linalg.norm(offset, axis=1).mean()),
    )
