"""The hair that a photo does not show, in detail: continued from the hair that it shows.

Hair is its smooth colour, which :mod:`opendr_facerot.generate.completion` continues, times what the
photo adds to that. Here the latter is spread out on the chart of the head and quilted over the
part of it that the photo does not show. The colour of hair changes with its brightness: lights are
paler and shadows deeper in colour; by how much is measured on the hair that is seen.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, smoothstep
from opendr_facerot.generate.detail import strands
from opendr_facerot.generate.hair_direction import combed_frames
from opendr_facerot.generate.hair_quilt import quilt, sew, unpatched
from opendr_facerot.generate.hair_texture import HairTexture, grain, subdue
from opendr_facerot.generate.head_chart import CHART_CENTIMETRES, CHART_SIDE, chart_mesh
from opendr_facerot.generate.observation import Observation
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail
from opendr_facerot.render.kernels import inlined, kernel
from opendr_facerot.render.texture import OWN_RAMP, VertexAppearance

_SOUGHT_SIDE = 256  # pixels across the chart on which patches are sought
_RADII = (6.0, 4.5, 3.0)  # centimetres of patches, before they are cut
_SMOOTH = 1.2  # centimetres: broader light and shadow fade out instead of being copied
_MOST_SMOOTH = 0.3  # natural log, of that: more is light from behind, or background
_FAINT = 0.03  # weight of no broad light and shadow
_KNOWN = 0.6  # share of the photo in a pixel, and of hair in it, from which its detail is known
_HAIRY = 0.05  # share of hair from which a pixel needs detail
_LEVEL = 0.25  # natural log, of hair: a chart reaches four times as far
_LEAST_SPREAD = 0.01  # natural log: less is flat
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


def continue_hair(
    model: HeadModel,
    appearance: VertexAppearance,
    exemplar: NDArray[np.floating],
    texture: HairTexture,
    face_height: float,
) -> HeadDetail:
    """The detail of a head, its unseen hair continued from what is seen of it.

    Args:
        model: The head model.
        appearance: What the head looks like, complete but for this.
        exemplar: ``(V,)`` in [0, 1], see :func:`exemplar_hair`.
        texture: Of the hair that is seen.
        face_height: Of the photo that the exemplar is in, pixels.

    Returns:
        The detail that the appearance has already if there is no hair.
    """
    hairy = appearance.hair > 0.0
    if not hairy.any():
        return appearance.detail
    maps = chart_mesh(model.fine, _SOUGHT_SIDE).spread(_columns(appearance, exemplar), hairy)
    # As views mix the photo's two samples.
    own, second = (smoothstep(*OWN_RAMP, maps[..., column]) for column in (_OWN, _SECOND))
    maps[..., _OWN], maps[..., _SECOND] = own, (1.0 - own) * second
    seen = (maps[..., _OWN] + maps[..., _SECOND]) * (maps[..., _HAIR] > _KNOWN)
    known = seen > _KNOWN
    source = known & (maps[..., _EXEMPLAR] > 0.5)
    luma = cv2.cvtColor(appearance.foreground, cv2.COLOR_RGB2GRAY)
    per_photo_pixel = 1.0 / (0.057 * face_height * CHART_CENTIMETRES)

    def added(side: int, smooth: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
        return _added_by_photo(maps, luma, per_photo_pixel * side, smooth, limit, side)

    coarse = added(_SOUGHT_SIDE, np.zeros((2, 2), np.float32), math.inf)
    per_cm = _SOUGHT_SIDE / CHART_CENTIMETRES
    smooth = blur(seen * np.clip(coarse, -_MOST_SMOOTH, _MOST_SMOOTH), _SMOOTH * per_cm)
    smooth /= blur(seen, _SMOOTH * per_cm) + np.float32(_FAINT)
    wanted = maps[..., _HAIR] > _HAIRY
    found = None
    if texture.strands and source.any():
        coarse -= smooth
        spread = 1.4826 * float(np.median(np.abs(coarse[source])))
        limit = _OUTLIERS * max(spread, _LEAST_SPREAD)
        fine = added(CHART_SIDE, smooth, limit)
        frames = combed_frames(fine, source)
        lacking = subdue(fine, known, source, texture)
        found = quilt(_subdued(coarse, limit), frames, known, source, wanted, _RADII)
    if found is None:
        fine, lacking = grain(texture), 0.0
        found = unpatched(wanted)
    chart = appearance.detail.chart.copy()
    sewn = np.full_like(chart[..., 1], DETAIL_ZERO)
    sew(found, fine, smooth, sewn, zero=DETAIL_ZERO, one=DETAIL_ONE / _LEVEL)
    share = lacking / _LEVEL
    chart[..., 1] = cv2.addWeighted(sewn, 1.0, strands(), share, -share * DETAIL_ZERO)
    level = np.array([appearance.detail.level[0], 0.0, _LEVEL], np.float32)
    return replace(appearance.detail, chart=chart, level=level, tint=_tint(appearance, exemplar))


def _columns(appearance: VertexAppearance, exemplar: NDArray[np.floating]) -> NDArray[np.float32]:
    """What is spread over the chart, ``(V, 10)``."""
    columns = np.empty((len(exemplar), 10), np.float32)
    columns[:, _PHOTO : _PHOTO + 2] = appearance.photo_xy
    columns[:, _SECOND_PHOTO : _SECOND_PHOTO + 2] = appearance.second_xy
    columns[:, _OWN] = appearance.confidence
    columns[:, _SECOND] = appearance.second_confidence
    columns[:, _FILL] = _log_luma(np.exp(appearance.fill))
    columns[:, _SECOND_FILL] = columns[:, _FILL] - appearance.second_correction.mean(axis=1)
    columns[:, _HAIR] = appearance.hair
    columns[:, _EXEMPLAR] = exemplar
    return columns


def _tint(appearance: VertexAppearance, exemplar: NDArray[np.floating]) -> NDArray[np.float32]:
    """Change of the log of red, green and blue with that of hair's luma, ``(3,)``."""
    here = exemplar > 0.5
    fill = appearance.fill[here]
    height, width = appearance.foreground.shape[:2]
    column, row = np.round(appearance.photo_xy[here]).astype(int).T
    colour = appearance.foreground[row.clip(0, height - 1), column.clip(0, width - 1)]
    colour = np.maximum(colour, np.float32(_DARKEST))
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
    maps: NDArray[np.float32],
    luma: NDArray[np.uint8],
    reduction: float,
    smooth: NDArray[np.float32],
    limit: float,
    side: int,
) -> NDArray[np.float32]:
    """What the photo shows over the fill, natural log, ``(side, side)``; 0 where it shows nothing.

    Args:
        maps: ``(N, N, 10)`` what is spread over the chart.
        luma: ``(T, T)`` uint8, of the photo.
        reduction: Chart pixels per photo pixel on the head.
        smooth: ``(K, K)`` chart of what is left out.
        limit: See :func:`_subdued`.
        side: Pixels across the chart.
    """
    smaller = luma
    if reduction < 1.0:
        smaller = cv2.resize(luma, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
    result = np.zeros((side, side), np.float32)
    ratio = np.float32(len(smaller) / len(luma)), np.float32(smaller.shape[1] / luma.shape[1])
    smooth = cv2.resize(smooth, maps.shape[:2], interpolation=cv2.INTER_LINEAR)
    darkest, most = np.float32(_DARKEST), np.float32(limit)
    run_bands(
        lambda first, last: _compare(
            maps, smaller, ratio, darkest, smooth, most, first, last, result
        ),
        side,
    )
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
def _compare(  # type: ignore[no-untyped-def]
    maps, luma, ratio, darkest, smooth, limit, first, last, result
):
    """The photo's two samples over the fill of each, as views mix them."""
    side, columns, fine = len(maps), maps.shape[2], len(result)
    step = np.float32(side) / np.float32(fine)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    most = np.float32(side - 1.001)
    value = np.empty(columns, np.float32)
    for y in range(first, last):
        cy = min(max((np.float32(y) + half) * step - half, zero), most)
        row = np.intp(cy)
        v = cy - np.float32(row)
        for x in range(fine):
            cx = min(max((np.float32(x) + half) * step - half, zero), most)
            column = np.intp(cx)
            seen_at_all = False
            for n in range(4):
                i, j = row + n // 2, column + n % 2
                seen_at_all |= (
                    maps[i, j, _HAIR] > zero and maps[i, j, _OWN] + maps[i, j, _SECOND] > zero
                )
            if not seen_at_all:
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
                top = smooth[row, column] * (one - u) + smooth[row, column + 1] * u
                bottom = smooth[row + 1, column] * (one - u) + smooth[row + 1, column + 1] * u
                added = total / weight - (top * (one - v) + bottom * v)
                result[y, x] = added / np.float32(np.sqrt(one + (added / limit) ** 2))
