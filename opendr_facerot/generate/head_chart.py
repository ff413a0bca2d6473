"""A flat chart of the head, on which hair has a direction.

The chart is the azimuthal equidistant projection about the crown, from where hair falls in all
directions: combed strands are straight lines through the chart's middle, and there is no seam but
one point below the neck. Away from the crown the chart is stretched across that direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.reconstruct.head_model import HeadSurface
from opendr_facerot.render.kernels import kernel
from opendr_facerot.render.rasterize import ndc_from_pixels, rasterize

CHART_SIDE = 768
"""Pixels across the chart, from one side of the neck over the crown to the other."""

CHART_CENTIMETRES = 2.0 * math.pi * 11.0
"""Centimetres of a head across the chart."""

_CENTRE = np.array([0.0, 84.0, 4.0])  # of the head, template space
_CROWN = np.array([0.0, math.cos(math.radians(25.0)), -math.sin(math.radians(25.0))])
_FURTHEST = 0.9  # from the crown, 1 being the point opposite: beyond, triangles span the chart
_FAR = 2.0  # radians from the crown, from where the chart's stretch no longer grows
_ON_NECK = 0.05  # weight of the head's turn, above that of the shoulders
_OUTSIDE = 50.0  # centimetres from the centre, more than the head's


def chart_positions(vertices: NDArray[np.floating]) -> NDArray[np.float32]:
    """Positions ``(V, 2)`` on the chart, in pixels, of template vertices ``(V, 3)``."""
    arm = vertices - _CENTRE
    forward = np.cross([1.0, 0.0, 0.0], _CROWN)
    height, x, z = arm @ _CROWN, arm[:, 0], arm @ forward
    across = np.hypot(x, z)
    from_crown = np.arctan2(across, height) / math.pi  # 0 at the crown, 1 at the point opposite
    direction = np.stack([x, z], 1) / np.maximum(across, 1e-9)[:, None]
    middle = (CHART_SIDE - 1) / 2
    return (middle + middle * from_crown[:, None] * direction).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ChartMesh:
    """Which point of a surface each pixel of a chart shows; of two layers, the outer one.

    Attributes:
        side: Pixels across the chart, N.
        pixels: ``(P,)`` indices into the flattened chart of those that show the surface.
        corners: ``(P, 3)`` the vertices around each.
        weights: ``(P, 3)`` float32, theirs, in [0, 1] with sum 1.
    """

    side: int
    pixels: NDArray[np.intp]
    corners: NDArray[np.int32]
    weights: NDArray[np.float32]

    def spread(self, values: NDArray[np.float32], around: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Interpolate over the chart.

        Args:
            values: ``(V, C)`` of the vertices.
            around: ``(V,)`` bool, vertices of which one must be a corner of what is shown.

        Returns:
            ``(N, N, C)``, 0 elsewhere.
        """
        result = np.zeros((self.side * self.side, values.shape[1]), np.float32)
        _interpolate(values, around, self.pixels, self.corners, self.weights, result)
        return result.reshape(self.side, self.side, -1)


@kernel
def _interpolate(values, around, pixels, corners, weights, result):  # type: ignore[no-untyped-def]
    for p in range(len(pixels)):
        a, b, c = corners[p, 0], corners[p, 1], corners[p, 2]
        if not (around[a] or around[b] or around[c]):
            continue
        for column in range(values.shape[1]):
            value = weights[p, 0] * values[a, column] + weights[p, 1] * values[b, column]
            result[pixels[p], column] = value + weights[p, 2] * values[c, column]


@lru_cache(maxsize=2)
def chart_mesh(surface: HeadSurface, side: int) -> ChartMesh:
    """The outer surface of a head, its ears smoothed away, on a chart with ``side`` pixels."""
    vertices, topology = surface.earless, surface.topology
    places = (chart_positions(vertices) + 0.5) * (side / CHART_SIDE) - 0.5
    middle = (side - 1) / 2
    # Shoulders lie beyond the neck as seen from the middle of the head.
    shown = surface.zones.skin & ~surface.zones.mouth_bag & (surface.zones.neck_weight > _ON_NECK)
    shown &= np.hypot(*(places - middle).T) < _FURTHEST * middle
    faces = topology.faces[shown[topology.faces].all(axis=1)]
    # Where the surface folds over, triangles are seen from behind: turned, they are drawn too.
    a, b, c = (places[faces[:, k]] for k in range(3))
    u, v = b - a, c - a
    behind = u[:, 0] * v[:, 1] > u[:, 1] * v[:, 0]
    faces = np.where(behind[:, None], faces[:, ::-1], faces)
    depth = _OUTSIDE - np.linalg.norm(vertices - _CENTRE, axis=1)
    ndc = np.concatenate([ndc_from_pixels(places, side), depth[:, None]], axis=1)
    fragments = rasterize(ndc.astype(np.float32), faces, side, near=0.0, far=_OUTSIDE)
    pixels = np.flatnonzero(fragments.face_index >= 0)
    corners = faces[fragments.face_index.ravel()[pixels]]
    return ChartMesh(side, pixels, corners, fragments.barycentric.reshape(-1, 3)[pixels])


@lru_cache(maxsize=2)
def radial_frames(side: int) -> NDArray[np.float32]:
    """``(N, N, 2, 2)`` pixels per centimetre (columns) away from the crown and across that.

    The chart is true to scale along the first; across, it is stretched by the angle from the crown
    over the angle's sine. That is limited, for where the head ends it is a neck, not a sphere.
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.maximum(np.hypot(x, y), 1e-6)
    angle = np.minimum(distance * (2.0 * math.pi / side), _FAR)
    away = np.stack([x, y], axis=-1) / distance[..., None]
    across = np.stack([-y, x], axis=-1) / distance[..., None] / np.sinc(angle / math.pi)[..., None]
    return (np.stack([away, across], axis=-1) * (side / CHART_CENTIMETRES)).astype(np.float32)
