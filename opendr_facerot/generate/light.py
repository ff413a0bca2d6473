"""Light on a head: linear in the normal, and less in hollows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.reconstruct.head_model import HeadSurface


def shading_of(
    surface: HeadSurface,
    low: NDArray[np.floating],
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
    normals: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Log of the light on each vertex: linear in the normal as fitted to the skin, and occluded.

    Args:
        surface: The fine surface.
        low: ``(V, 3)`` log colours that the photo shows, low frequencies only.
        confidence: ``(V,)`` in [0, 1], how far it shows them.
        hair: ``(V,)`` in [0, 1].
        normals: ``(V, 3)`` camera space.

    Returns:
        ``(V,)`` natural log.
    """
    zones = surface.zones
    weight = confidence * ((confidence > 0.5) & (hair < 0.3) & (zones.neck_weight > 0.6))
    weight = weight * zones.skin
    light: NDArray[np.floating] = np.zeros(len(low))
    if (weight > 0).sum() > 200:
        linear = linear_light(low.mean(1), normals, weight)
        # A fraction of it: what was lit from one side only says little about the other.
        light = np.clip(0.4 * (normals @ linear[1:]), -0.2, 0.18)
        light -= np.average(light, weights=weight)
    occlusion = 0.35 * np.log(np.clip(surface.ambient_occlusion, 0.12, 1.0))
    # Ears that hair covers have no hollows.
    occlusion = occlusion * (1.0 - np.where(zones.ear_surround, 1.0, 0.5) * hair)
    return light * (1.0 - 0.6 * hair) + occlusion


def linear_light(
    luma: NDArray[np.floating], normals: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Brightness as a constant and a linear function of the normal, by least squares.

    Args:
        luma: ``(V,)`` log brightness.
        normals: ``(V, 3)``.
        weight: ``(V,)`` of each vertex.

    Returns:
        ``(4,)``: the constant, and the factors of the normal's components, which are held down.
    """
    basis = np.c_[np.ones(len(luma)), normals]
    system = basis.T @ (basis * weight[:, None]) + np.diag([1e-6, 30.0, 30.0, 30.0])
    return np.asarray(np.linalg.solve(system, basis.T @ (luma * weight)))
