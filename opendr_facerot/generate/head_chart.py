"""A flat chart of the head, on which hair has a direction.

The chart is the azimuthal equidistant projection about the crown, from where hair falls in all
directions: combed strands are straight lines through the chart's middle, and there is no seam but
one point below the neck. Away from the crown the chart is stretched across that direction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.render.rasterize import ndc_from_pixels, rasterize

CHART_SIDE = 1024
"""Pixels across the chart, from one side of the neck over the crown to the other."""

CHART_CENTIMETRES = 2.0 * math.pi * 11.0
"""Centimetres of a head across the chart."""

_CENTRE = np.array([0.0, 84.0, 4.0])  # of the head, template space
_CROWN = np.array([0.0, math.cos(math.radians(25.0)), -math.sin(math.radians(25.0))])
_FURTHEST = 0.8  # from the crown, 1 being the point opposite: beyond, triangles span the chart
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


def draw_on_chart(
    values: NDArray[np.float32],
    vertices: NDArray[np.floating],
    topology: MeshTopology,
    shown: NDArray[np.bool_],
    side: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values of vertices, interpolated over a chart; of two layers, those of the outer one.

    Args:
        values: ``(V, C)`` float32.
        vertices: ``(V, 3)``, template space.
        topology: Their mesh.
        shown: ``(V,)`` bool; triangles with a corner that is not shown are left out.
        side: Pixels across the chart.

    Returns:
        ``(side, side, C)`` float32, 0 where nothing is drawn; ``(side, side)`` bool, where it is.
    """
    places = (chart_positions(vertices) + 0.5) * (side / CHART_SIDE) - 0.5
    middle = (side - 1) / 2
    shown = shown & (np.hypot(*(places - middle).T) < _FURTHEST * middle)
    faces = topology.faces[shown[topology.faces].all(axis=1)]
    # Where the surface folds over, triangles are seen from behind: turned, they are drawn too.
    a, b, c = (places[faces[:, k]] for k in range(3))
    u, v = b - a, c - a
    behind = u[:, 0] * v[:, 1] > u[:, 1] * v[:, 0]
    faces = np.where(behind[:, None], faces[:, ::-1], faces)
    depth = _OUTSIDE - np.linalg.norm(vertices - _CENTRE, axis=1)
    ndc = np.concatenate([ndc_from_pixels(places, side), depth[:, None]], axis=1)
    fragments = rasterize(ndc.astype(np.float32), faces, side, near=0.0, far=_OUTSIDE)
    drawn = fragments.face_index >= 0
    corners, weights = faces[fragments.face_index[drawn]], fragments.barycentric[drawn]
    drawn_values = sum(weights[:, k, None] * values[corners[:, k]] for k in range(3))
    result = np.zeros((side, side, values.shape[1]), np.float32)
    result[drawn] = drawn_values
    return result, drawn
