"""Seeing a mesh in camera space: its fragments, and how it faces the camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.render.rasterize import Fragments, ndc_from_pixels, rasterize

NEAR, FAR = 1.0, 1e5
"""Depths between which meshes are drawn, in model units."""


def view_fragments(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    intrinsics: Intrinsics,
    size: int,
) -> Fragments:
    """Rasterise camera-space vertices ``(V, 3)`` as a camera with a square image sees them.

    Faces are seen from the side from which their normals point to the camera; what is closer than
    one model unit is not drawn.
    """
    pixels = intrinsics.project(vertices)
    ndc = np.concatenate([ndc_from_pixels(pixels, size), vertices[:, 2:]], axis=1)
    return rasterize(ndc.astype(np.float32), faces, size, near=NEAR, far=FAR)


def facing(normals: NDArray[np.floating], vertices: NDArray[np.floating]) -> NDArray[np.floating]:
    """Cosine ``(V,)`` between each normal and the direction to a camera at the origin."""
    return np.asarray(-(normals * vertices).sum(1) / np.linalg.norm(vertices, axis=1))
