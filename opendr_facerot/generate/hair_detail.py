"""The hair that a photo does not show, in detail: continued from the hair that it shows.

Hair is its smooth colour, which :mod:`opendr_facerot.generate.completion` continues, times what the
photo adds to that. Here the latter is spread out on the chart of the head and quilted over the
part of it that the photo does not show. The colour of hair changes with its brightness: lights are
paler and shadows deeper in colour; by how much is measured on the hair that is seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, sample_bilinear, smoothstep
from opendr_facerot.generate.detail import grain_chart
from opendr_facerot.generate.hair_quilt import quilt, sew
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, CHART_SIDE, draw_on_chart
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail
from opendr_facerot.render.kernels import inlined, kernel
from opendr_facerot.render.texture import OWN_RAMP, VertexAppearance

if TYPE_CHECKING:
    from opendr_facerot.generate.completion import Observation

_SOUGHT_SIDE = 256  # pixels across the chart on which patches are sought
_RADII = (6.0, 4.5, 3.0)  # centimetres of patches, before they are cut
_SMOOTH = 2.5  # centimetres: broader light and shadow fade out instead of being copied
_FAINT = 0.03  # weight of no broad light and shadow
_KNOWN = 0.6  # share of the photo in a pixel, and of hair in it, from which its detail is known
_HAIRY = 0.05  # share of hair from which a pixel needs detail
_LEVEL = 0.25  # natural log, of hair: a chart reaches four times as far
_OUTLIERS = 2.5  # standard deviations beyond which lights and shadows are subdued
_EVEN_TINT = 12.0  # squared log luma that stands for "lights and shadows have the hair's own hue"
_TINT_RANGE = (0.6, 1.8)
_DARKEST = 6.0  # grey level
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV's grey levels

# What makes hair a good exemplar: it
_FACING = (0.2, 0.4)  # faces the camera (cosine): else it is smeared
_TRUSTED = (0.2, 0.6)  # is seen well (confidence)
_LIKE_HAIR = (0.1, 0.5)  # looks like hair
_WITHIN = (0.1, 0.6)  # is not at the person's outline, where background shines through
_ON_HAIR = (0.5, 0.9)  # is in the middle of hair

# Columns of what is drawn on the chart:
_PHOTO, _SECOND_PHOTO, _OWN, _SECOND, _FILL, _SECOND_FILL, _HAIR, _EXEMPLAR = 0, 2, 4, 5, 6, 7, 8, 9


def exemplar_hair(seen: Observation, hair: NDArray[np.floating]) -> NDArray[np.floating]:
    """How good an exemplar of hair a photo shows at each vertex, ``(V,)`` in [0, 1].

    Args:
        seen: What the photo shows.
        hair: ``(V,)`` in [0, 1], hair on the head.
    """
    return np.asarray(
        smoothstep(*_FACING, seen.cosine)
        * smoothstep(*_TRUSTED, seen.confidence)
        * smoothstep(*_LIKE_HAIR, seen.hair)
        * smoothstep(*_WITHIN, seen.deep_inside)
        * smoothstep(*_ON_HAIR, hair)
    )


_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as of OpenCV's grey levels
# What makes a good exemplar:
_COSINE = (0.2, 0.4)  # hair that faces the camera enough not to be smeared
_CONFIDENCE = (0.2, 0.6)
_LOOKS_LIKE_HAIR = (0.1, 0.5)
_INSIDE = (0.1, 0.6)  # not the rim, where hair is mixed with background
_LABEL = (0.5, 0.9)


def continue_hair(
    model: HeadModel,
    appearance: VertexAppearance,
    exemplar: NDArray[np.floating],
    face_height: float,
) -> HeadDetail:
    """The detail of a head, its unseen hair continued from what is seen of it.

    Args:
        model: The head model.
        appearance: What the head looks like, complete but for this.
        exemplar: ``(V,)`` in [0, 1], see :func:`exemplar_hair`.
        face_height: Of the photo that the exemplar is in, pixels.

    Returns:
        The detail that the appearance has already if there is no hair, or too little is seen.
    """
    surface, faces = model.fine, model.fine.topology.faces
    hairy = np.zeros(len(appearance.hair), bool)
    hairy[faces[(appearance.hair[faces] > 0.0).any(axis=1)]] = True
    hairy &= surface.zones.skin & ~surface.zones.mouth_bag
    if not hairy.any():
        return appearance.detail
    luma = cv2.cvtColor(appearance.foreground, cv2.COLOR_RGB2GRAY)
    fill = _log_luma(np.exp(appearance.fill))
    columns = np.column_stack(
        [
            appearance.photo_xy,
            appearance.second_xy,
            appearance.confidence,
            appearance.second_confidence,
            fill,
            fill - appearance.second_correction.mean(axis=1),
            appearance.hair,
            exemplar,
        ]
    ).astype(np.float32)
    maps, drawn = draw_on_chart(columns, surface.earless, surface.topology, hairy, _SOUGHT_SIDE)
    # As views mix the photo's two samples.
    own, second = (smoothstep(*OWN_RAMP, maps[..., column]) for column in (_OWN, _SECOND))
    maps[..., _OWN], maps[..., _SECOND] = own, (1.0 - own) * second
    seen = (maps[..., _OWN] + maps[..., _SECOND]) * (maps[..., _HAIR] > _KNOWN)
    known = seen > _KNOWN
    source = known & (maps[..., _EXEMPLAR] > 0.5)
    if not source.any():
        return appearance.detail

    scale = 0.057 * face_height  # photo pixels per centimetre
    coarse_scale = _SOUGHT_SIDE / CHART_CENTIMETRES
    coarse = _added_by_photo(maps, luma, coarse_scale / scale, _SOUGHT_SIDE)
    sigma = _SMOOTH * coarse_scale
    smooth = blur(seen * coarse, sigma) / (blur(seen, sigma) + _FAINT)
    coarse -= smooth
    limit = _OUTLIERS * 1.4826 * float(np.median(np.abs(coarse[source])))
    radii = tuple(coarse_scale * radius for radius in _RADII)
    wanted = drawn & (maps[..., _HAIR] > _HAIRY)
    found = quilt(_subdued(coarse, limit), known, source, wanted, radii)
    if found is None:
        return appearance.detail

    smooth = cv2.resize(smooth, (CHART_SIDE, CHART_SIDE), interpolation=cv2.INTER_LINEAR)
    fine = _added_by_photo(maps, luma, CHART_SIDE / CHART_CENTIMETRES / scale, CHART_SIDE)
    fine = sew(found, _subdued(fine - smooth, limit))
    steps = DETAIL_ONE / _LEVEL
    strands = cv2.addWeighted(fine, steps, smooth, steps, DETAIL_ZERO, dtype=cv2.CV_8U)
    level = np.array([appearance.detail.level[0], 0.0, _LEVEL], np.float32)
    tint = _tint(appearance, exemplar)
    return replace(
        appearance.detail, chart=np.dstack([grain_chart(), strands]), level=level, tint=tint
    )


def _tint(appearance: VertexAppearance, exemplar: NDArray[np.floating]) -> NDArray[np.float32]:
    """Change of the log of red, green and blue with that of hair's luma, ``(3,)``."""
    here = exemplar > 0.5
    fill = appearance.fill[here]
    colour = sample_bilinear(
        appearance.foreground.astype(np.float32), appearance.photo_xy[here]
    ).clip(_DARKEST)
    luma = _log_luma(colour) - _log_luma(np.exp(fill))
    together = ((np.log(colour) - fill) * luma[:, None]).sum(axis=0) + _EVEN_TINT
    return np.clip(together / ((luma**2).sum() + _EVEN_TINT), *_TINT_RANGE).astype(np.float32)


def _log_luma(colours: NDArray[np.floating]) -> NDArray[np.floating]:
    """Natural log of the luma ``(N,)`` of RGB colours ``(N, 3)``."""
    return np.asarray(np.log(np.maximum(colours @ np.array(_LUMA), _DARKEST)))


def _subdued(values: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Values that approach ``limit`` instead of exceeding it."""
    return np.asarray(values / np.sqrt(1.0 + (values / np.float32(limit)) ** 2), np.float32)


def _added_by_photo(
    maps: NDArray[np.float32], luma: NDArray[np.uint8], reduction: float, side: int
) -> NDArray[np.float32]:
    """Natural log of what the photo shows over the fill, ``(side, side)``; 0 where nothing.

    Args:
        maps: ``(N, N, 10)`` what is drawn on the chart.
        luma: ``(T, T)`` uint8, of the photo.
        reduction: Chart pixels per photo pixel on the head.
        side: Pixels across the chart.
    """
    smaller = luma
    if reduction < 1.0:
        smaller = cv2.resize(luma, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    result = np.zeros((side, side), np.float32)
    ratio = np.float32(len(smaller) / len(luma)), np.float32(smaller.shape[1] / luma.shape[1])
    _compare(maps, smaller, ratio, np.float32(_DARKEST), result)
    return result


@inlined
def _log_at(luma, x, y, ratio, darkest):  # type: ignore[no-untyped-def]
    """Natural log of a reduced photo at a position in the photo."""
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    x = min(max((x + half) * ratio[1] - half, zero), np.float32(luma.shape[1] - 1.001))
    y = min(max((y + half) * ratio[0] - half, zero), np.float32(luma.shape[0] - 1.001))
    column, row = np.intp(x), np.intp(y)
    u, v = x - np.float32(column), y - np.float32(row)
    top = np.float32(luma[row, column]) * (one - u) + np.float32(luma[row, column + 1]) * u
    bottom = np.float32(luma[row + 1, column]) * (one - u)
    bottom += np.float32(luma[row + 1, column + 1]) * u
    return np.float32(np.log(max(top * (one - v) + bottom * v, darkest)))


@kernel
def _compare(maps, luma, ratio, darkest, result):  # type: ignore[no-untyped-def]
    """The photo's two samples over the fill of each, as views mix them."""
    side, columns, fine = len(maps), maps.shape[2], len(result)
    step = np.float32(side) / np.float32(fine)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    most = np.float32(side - 1.001)
    value = np.empty(columns, np.float32)
    for y in range(fine):
        cy = min(max((np.float32(y) + half) * step - half, zero), most)
        row = np.intp(cy)
        v = cy - np.float32(row)
        for x in range(fine):
            cx = min(max((np.float32(x) + half) * step - half, zero), most)
            column = np.intp(cx)
            if maps[row, column, _HAIR] == zero or maps[row + 1, column + 1, _HAIR] == zero:
                continue
            u = cx - np.float32(column)
            for c in range(columns):
                top = maps[row, column, c] * (one - u) + maps[row, column + 1, c] * u
                bottom = maps[row + 1, column, c] * (one - u) + maps[row + 1, column + 1, c] * u
                value[c] = top * (one - v) + bottom * v
            total = weight = zero
            if value[_OWN] > zero:
                seen = _log_at(luma, value[_PHOTO], value[_PHOTO + 1], ratio, darkest)
                total += value[_OWN] * (seen - value[_FILL])
                weight += value[_OWN]
            if value[_SECOND] > zero:
                seen = _log_at(luma, value[_SECOND_PHOTO], value[_SECOND_PHOTO + 1], ratio, darkest)
                total += value[_SECOND] * (seen - value[_SECOND_FILL])
                weight += value[_SECOND]
            if weight > np.float32(0.02):
                result[y, x] = total / weight
