"""In which direction hair is combed, where it is seen and where it is not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, smoothstep
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, radial_frames

_LOCK = 1.5  # centimetres over which the direction is measured, and continued
_FALLING = 0.01  # share of the strongest hair's weight that stands for hair falling from the crown
_COMBED = (0.15, 0.4)  # coherence from which hair has a direction, and has it fully
_STRAIGHT = (0.36, 0.6)  # coherence from which locks are longer than what is seen of them
_LONGER = 2.5  # by how much, straight hair, as a share of what is seen
_NEAR = 0.5  # share of seen hair around a place from which locks are as long there as those seen


def combed_frames(hair: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Axes along and across the hair at each place of a chart.

    Where hair is seen, its structure tensor tells the direction (Bigun and Granlund, ICCV 1987);
    away from there, hair comes to fall from the crown, and so does hair without a common direction.
    Of straight hair, little is seen in a photo from the front, and that cut short: away from what
    is seen, the first axis is longer.

    Args:
        hair: ``(M, M)`` float32 luma of hair on the chart, M a multiple of N.
        seen: ``(N, N)`` bool, where that is to be trusted.

    Returns:
        ``(N, N, 2, 2)`` float32, chart pixels of N per centimetre (columns) along and across.
    """
    side = len(seen)
    frames = radial_frames(side)
    ratio = len(hair) // side
    left, top, width, height = cv2.boundingRect(seen.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    part = hair[top * ratio : (top + height) * ratio, left * ratio : (left + width) * ratio]
    soft = blur(part, 0.8)
    dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    xx, yy, xy = (
        cv2.resize(product, (width, height), interpolation=cv2.INTER_AREA)
        for product in (dx * dx, dy * dy, dx * dy)
    )
    # The gradient per centimetre away from the crown, a, and across that, b.
    ax, ay, bx, by = (frames[box][..., i, k] for k in (0, 1) for i in (0, 1))
    aa = ax * ax * xx + 2.0 * ax * ay * xy + ay * ay * yy
    bb = bx * bx * xx + 2.0 * bx * by * xy + by * by * yy
    ab = ax * bx * xx + (ax * by + ay * bx) * xy + ay * by * yy
    # Hair runs across the gradient; as a direction and its opposite are one, angles are doubled.
    tensor = np.zeros((side, side, 4), np.float32)
    tensor[box] = np.dstack([bb - aa, -2.0 * ab, aa + bb, np.ones_like(aa)])
    tensor *= seen[..., None]
    cos2, sin2, weight, near = np.moveaxis(blur(tensor, _LOCK * side / CHART_CENTIMETRES), -1, 0)
    weight = weight + _FALLING * weight.max()
    coherence = np.hypot(cos2, sin2) / np.maximum(weight, np.float32(1e-9))
    turn = 0.5 * np.arctan2(sin2, cos2) * smoothstep(*_COMBED, coherence).astype(np.float32)
    cos, sin = np.cos(turn), np.sin(turn)
    straight = float(smoothstep(*_STRAIGHT, np.median(coherence[seen])))
    length = 1.0 + _LONGER * straight * (1.0 - np.clip(near / np.float32(_NEAR), 0.0, 1.0))
    away, across = frames[..., 0], frames[..., 1]
    along = (cos[..., None] * away + sin[..., None] * across) * length[..., None]
    return np.stack([along, cos[..., None] * across - sin[..., None] * away], axis=-1)
