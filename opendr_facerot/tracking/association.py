"""Which face of a frame is which face of the frames before, by place and size alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_FARTHEST = 0.75  # sides between the middles of two boxes of one face
_LARGEST_GROWTH = 0.6  # natural log of the ratio of their sides
_NEVER = 1e6


def match_boxes(
    known: NDArray[np.floating],
    found: NDArray[np.floating],
    penalty: NDArray[np.floating] | None = None,
) -> list[tuple[int, int]]:
    """Pair boxes so that places and sizes agree best over all pairs.

    The cost of a pair is the distance of the middles in mean sides, plus the natural log of the
    ratio of the sides; the sum of the costs is least (the assignment problem). Pairs too far apart
    or too different in size are not made.

    Args:
        known: ``(N, 4)`` left, top, right, bottom, where the known faces should be.
        found: ``(M, 4)`` where faces are.
        penalty: ``(N,)`` cost of taking a known face at all; none by default.

    Returns:
        Pairs of indices into ``known`` and ``found``, by rising index into ``known``.
    """
    if not len(known) or not len(found):
        return []
    a, b = (np.asarray(boxes, np.float64) for boxes in (known, found))
    middle_a, middle_b = (0.5 * (boxes[:, :2] + boxes[:, 2:]) for boxes in (a, b))
    side_a, side_b = (
        np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1.0)) for boxes in (a, b)
    )
    side = 0.5 * (side_a[:, None] + side_b[None])
    distance = np.linalg.norm(middle_a[:, None] - middle_b[None], axis=2) / side
    growth = np.abs(np.log(side_a[:, None] / side_b[None]))
    cost = distance + growth + (0.0 if penalty is None else penalty[:, None])
    cost = np.where((distance < _FARTHEST) & (growth < _LARGEST_GROWTH), cost, _NEVER)
    rows, columns = linear_sum_assignment(cost)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < _NEVER]


def overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes ``(4,)``."""
    size = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(size.clip(0).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - common
    return common / max(union, 1e-9)
