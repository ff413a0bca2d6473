"""The linear face model of 3DDFA.

A mean head, 40 shape modes of the Basel Face Model (Paysan et al., "A 3D face model for pose and
illumination invariant face recognition", AVSS 2009) and 10 expression modes (after Cao et al.,
"FaceWarehouse", IEEE TVCG 2014).

Model units are about a micrometre. Arrays over vertices are flat: x, y and z of vertex 0, then of
vertex 1, and so on, as in the published files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHAPE_MODES, EXPRESSION_MODES = 40, 10

PUBLISHED_ALIGNMENT_VERTICES = (4150, 11744, 8191, 5650, 10922)
"""Vertices of the 53,215-vertex mesh by which Rotate-and-Render aligns a rotated face."""


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """Mean and modes of a head mesh in model space (see :mod:`opendr_facerot.geometry`).

    Attributes:
        mean: ``(3N,)`` float32.
        shape_basis: ``(3N, 40)`` float32, model units per unit of a shape coefficient.
        expression_basis: ``(3N, 10)`` float32, model units per unit of an expression coefficient.
        faces: ``(F, 3)`` int32 vertex indices from 0; may be empty.
        keypoints: ``(68,)`` int32 vertices of the landmarks, in iBUG's order.
        alignment_vertices: ``(5,)`` int32: image-left eye, image-right eye, nose tip, image-left
            and image-right mouth corner.

    Raises:
        ValueError: An array has the wrong shape or type, is not finite, or names a vertex that
            does not exist.
    """

    mean: NDArray[np.float32]
    shape_basis: NDArray[np.float32]
    expression_basis: NDArray[np.float32]
    faces: NDArray[np.int32]
    keypoints: NDArray[np.int32]
    alignment_vertices: NDArray[np.int32]

    def __post_init__(self) -> None:
        size = self.mean.size
        if size == 0 or size % 3:
            raise ValueError(f"the mean has {size} numbers: expected 3 per vertex")
        expected = {
            "mean": (size,),
            "shape_basis": (size, SHAPE_MODES),
            "expression_basis": (size, EXPRESSION_MODES),
            "faces": (len(self.faces), 3),
            "keypoints": (68,),
            "alignment_vertices": (5,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            dtype = np.float32 if name in ("mean", "shape_basis", "expression_basis") else np.int32
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} is {array.dtype} {array.shape}: expected {np.dtype(dtype)} {shape}"
                )
            if dtype == np.float32 and not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
            if dtype == np.int32 and array.size and not 0 <= array.min() <= array.max() < size // 3:
                raise ValueError(
                    f"{name} names vertices {array.min()} to {array.max()}, "
                    f"but the mesh has vertices 0 to {size // 3 - 1}"
                )

    @property
    def vertex_count(self) -> int:
        """N."""
        return self.mean.size // 3

    def vertices(self, shape: ArrayLike, expression: ArrayLike) -> NDArray[np.float32]:
        """Vertices ``(N, 3)`` float32 in model units of 40 shape and 10 expression coefficients."""
        flat = (
            self.mean
            + self.shape_basis @ np.asarray(shape, np.float32)
            + self.expression_basis @ np.asarray(expression, np.float32)
        )
        return flat.reshape(-1, 3)

    def vertices_at(
        self, index: NDArray[np.integer], shape: ArrayLike, expression: ArrayLike
    ) -> NDArray[np.float32]:
        """The ``(K, 3)`` vertices of ``(K,)`` indices, without computing the others."""
        rows = (3 * index[:, None] + np.arange(3)).ravel()
        flat = (
            self.mean[rows]
            + self.shape_basis[rows] @ np.asarray(shape, np.float32)
            + self.expression_basis[rows] @ np.asarray(expression, np.float32)
        )
        return flat.reshape(-1, 3)


def alignment_vertices_of(
    mean: NDArray[np.floating], keypoints: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Alignment vertices for a mesh other than the published one: those nearest to its landmarks.

    Args:
        mean: ``(3N,)`` or ``(N, 3)`` vertices.
        keypoints: ``(68,)`` vertices of the landmarks, in iBUG's order.

    Returns:
        ``(5,)`` int32: the vertices nearest to the middle of each eye's six landmarks, and the
        landmarks 30 (nose tip), 48 and 54 (mouth corners).
    """
    vertices = np.asarray(mean).reshape(-1, 3)
    eyes = [vertices[keypoints[first : first + 6]].mean(axis=0) for first in (36, 42)]
    nearest = [int(np.argmin(((vertices - eye) ** 2).sum(axis=1))) for eye in eyes]
    return np.array([*nearest, *keypoints[[30, 48, 54]]], np.int32)
