"""Turning a head on its neck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import kernel

_BLOCK = 2048  # vertices; fewer are not worth a thread


def turn_on_neck(
    vertices: NDArray[np.floating],
    weight: NDArray[np.floating],
    pivot: NDArray[np.floating],
    turn: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Turn each vertex about one axis by its own share of an angle.

    So the neck twists without thinning, which a blend of matrices would do to it.

    Args:
        vertices: ``(V, 3)``.
        weight: ``(V,)`` in [0, 1], share of the angle.
        pivot: ``(3,)`` point on the axis.
        turn: ``(3,)`` rotation vector, radians.

    Returns:
        ``(V, 3)`` float64.
    """
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return np.array(vertices, np.float64)
    axis = np.asarray(turn, np.float64) / angle
    vertices, weight, pivot = (
        np.ascontiguousarray(array, np.float64) for array in (vertices, weight, pivot)
    )
    turned = np.empty(vertices.shape)

    def work(first: int, last: int) -> None:
        rows = slice(first * _BLOCK, last * _BLOCK)
        _turn(vertices[rows], weight[rows], pivot, axis, angle, turned[rows])

    run_bands(work, -(-len(vertices) // _BLOCK))
    return turned


@kernel
def _turn(vertices, weight, pivot, axis, angle, turned):  # type: ignore[no-untyped-def]
    kx, ky, kz = axis
    cosine, sine, last_weight = 1.0, 0.0, 0.0
    for v in range(len(vertices)):
        if weight[v] != last_weight:  # most have the weight of the vertex before: 0 or 1
            last_weight = weight[v]
            cosine, sine = np.cos(last_weight * angle), np.sin(last_weight * angle)
        # Rodrigues' formula.
        x, y, z = vertices[v, 0] - pivot[0], vertices[v, 1] - pivot[1], vertices[v, 2] - pivot[2]
        along = (kx * x + ky * y + kz * z) * (1.0 - cosine)
        turned[v, 0] = x * cosine + (ky * z - kz * y) * sine + kx * along + pivot[0]
        turned[v, 1] = y * cosine + (kz * x - kx * z) * sine + ky * along + pivot[1]
        turned[v, 2] = z * cosine + (kx * y - ky * x) * sine + kz * along + pivot[2]
