"""Hair continued over the part of a chart where no photo shows it, from the part where one does.

Image quilting (Efros and Freeman, SIGGRAPH 2001) with patches that are cut all around: one after
the other, from the border of what is known outwards, each is copied from where it differs least
from what is there already, and cut off along the closed line where the two differ least. A patch
keeps its direction as seen from the crown, from where hair is combed: it is turned about the
chart's middle, and never mirrored. The chart is that of :mod:`opendr_facerot.generate.head_chart`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import inlined, kernel

NOWHERE, UNKNOWN, OWN = -2, -1, 0
"""Labels of pixels that need no value, that have none yet, and that keep their own."""

_DIRECTIONS, _RINGS = 32, 12  # at which patches are compared and cut
_CORE = 3  # rings that are always copied
_MOST_SOURCES, _FEWEST_SOURCES = 72, 18
_REUSE = 0.1  # of the values' variance that a patch's use adds to the cost of those around it
_NARROW = 0.6  # of the variance that is added to the cost of a patch with no room around its core
_BUTT = 1e-4  # squared difference that is as bad as a ring less, where there is nothing to meet


@dataclass(frozen=True, eq=False)
class Quilt:
    """Where each pixel of a chart has its value from.

    Attributes:
        label: ``(N, N)`` int32: ``NOWHERE``, ``OWN`` or k > 0 for the k-th patch.
        patches: ``(K, 2, 3)`` float32: pixel ``(x, y)`` of patch k is a copy of pixel
            ``patches[k - 1] @ (x, y, 1)``.
    """

    label: NDArray[np.int32]
    patches: NDArray[np.float32]


def quilt(
    values: NDArray[np.float32],
    frames: NDArray[np.float32],
    known: NDArray[np.bool_],
    exemplar: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    radii: tuple[float, ...],
) -> Quilt | None:
    """Find out what to copy where.

    Args:
        values: ``(N, N)`` float32, what is copied.
        frames: ``(N, N, 2, 2)`` float32, chart pixels per unit of length (columns) along and across
            the direction in which hair is combed.
        known: ``(N, N)`` bool, pixels that keep their values.
        exemplar: ``(N, N)`` bool, known pixels that may be copied.
        wanted: ``(N, N)`` bool, pixels that need a value.
        radii: Radii of patches to try, units of length, the best first.

    Returns:
        None if the exemplar has room for too few patches even of the last radius.
    """
    for radius in radii:
        sources = _sources(exemplar, frames, radius)
        if len(sources) >= _FEWEST_SOURCES:
            break
    else:
        return None
    label = np.where(known, OWN, np.where(wanted, UNKNOWN, NOWHERE)).astype(np.int32)
    away = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.nonzero(label == UNKNOWN)
    nearest_first = (16.0 * away[rows, columns]).astype(np.uint16)  # sorted ten times as fast
    order = np.argsort(nearest_first, kind="stable")
    to_fill = np.stack([columns, rows], axis=1)[order].astype(np.int32)
    patches = np.empty((len(to_fill), 2, 3), np.float32)
    variance = float(values[exemplar].var())
    count = _cover(
        values.copy(),
        label,
        frames,
        exemplar,
        to_fill,
        sources,
        np.float32(radius),
        np.float32(_REUSE * variance),
        np.float32(_NARROW * variance),
        patches,
    )
    return Quilt(label, patches[:count].copy())


def unpatched(wanted: NDArray[np.bool_]) -> Quilt:
    """A quilt without patches: each pixel that needs a value, ``(N, N)`` bool, keeps its own."""
    label = np.where(wanted, OWN, NOWHERE).astype(np.int32)
    return Quilt(label, np.empty((0, 2, 3), np.float32))


def _sources(
    exemplar: NDArray[np.bool_], frames: NDArray[np.float32], radius: float
) -> NDArray[np.int32]:
    """Middles ``(C, 2)`` of patches whose core lies in the exemplar."""
    core = radius * (_CORE + 1) / _RINGS
    clear = cv2.distanceTransform(np.pad(exemplar, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(exemplar)
    longest = np.linalg.norm(frames[rows, columns], axis=1).max(axis=1)
    inside = clear[rows, columns] > core * longest
    rows, columns = rows[inside], columns[inside]
    step = max(1, math.ceil(len(rows) / _MOST_SOURCES))
    return np.stack([columns, rows], axis=1)[::step].astype(np.int32)


@inlined
def _ring_pixel(x, y, frame, radius, k, j, last):  # type: ignore[no-untyped-def]
    """The pixel in direction ``k`` and ring ``j`` of a patch, kept inside the chart."""
    turn = np.float32(2.0 * math.pi / _DIRECTIONS) * np.float32(k)
    r = radius * np.float32(j + 1) / np.float32(_RINGS)
    along, across = r * np.float32(np.cos(turn)), r * np.float32(np.sin(turn))
    px = np.float32(x) + frame[0, 0] * along + frame[0, 1] * across + np.float32(0.5)
    py = np.float32(y) + frame[1, 0] * along + frame[1, 1] * across + np.float32(0.5)
    return min(max(np.intp(px), 0), last), min(max(np.intp(py), 0), last)


@kernel
def _cover(  # type: ignore[no-untyped-def]
    values, label, frames, exemplar, to_fill, sources, radius, reuse, narrow, patches
):
    """Fill what is unknown, in order, patch by patch; returns their number."""
    last, samples = len(values) - 1, _DIRECTIONS * _RINGS
    offered = np.empty((len(sources), samples), np.float32)
    usable = np.zeros((len(sources), samples), np.float32)
    penalty = np.empty(len(sources), np.float32)
    for s in range(len(sources)):
        frame = frames[sources[s, 1], sources[s, 0]]
        area = 0
        for k in range(_DIRECTIONS):
            inside = True
            for j in range(_RINGS):
                px, py = _ring_pixel(sources[s, 0], sources[s, 1], frame, radius, k, j, last)
                inside = inside and (exemplar[py, px] or j <= _CORE)
                offered[s, k * _RINGS + j] = values[py, px]
                if inside:
                    usable[s, k * _RINGS + j] = np.float32(1.0)
                    area += 2 * j + 1
        penalty[s] = narrow * (np.float32(1.0) - np.float32(area) / (samples * _RINGS))

    met = np.empty(samples, np.intp)
    there = np.empty(samples, np.float32)
    weight = np.empty(samples, np.float32)
    difference = np.empty((_DIRECTIONS, _RINGS), np.float32)
    cut = np.empty(_DIRECTIONS, np.intp)
    count = 0
    for f in range(len(to_fill)):
        if label[to_fill[f, 1], to_fill[f, 0]] != UNKNOWN:
            continue
        x, y = _middle(label, frames, to_fill[f, 0], to_fill[f, 1], radius)
        frame = frames[y, x]
        meeting = 0
        for k in range(_DIRECTIONS):
            for j in range(_RINGS):
                px, py = _ring_pixel(x, y, frame, radius, k, j, last)
                if label[py, px] >= OWN:
                    met[meeting] = k * _RINGS + j
                    there[meeting] = values[py, px]
                    weight[meeting] = np.float32(j + 1)  # outer rings are longer
                    meeting += 1
        best = _best_source(met[:meeting], there, weight, offered, usable, penalty)
        for s in range(len(sources)):
            dx, dy = sources[s, 0] - sources[best, 0], sources[s, 1] - sources[best, 1]
            apart = np.float32(2.0) / (radius * _scale(frames[sources[s, 1], sources[s, 0]]))
            near = np.float32(dx * dx + dy * dy) * apart * apart
            penalty[s] += reuse * np.float32(np.exp(-near))

        for k in range(_DIRECTIONS):
            for j in range(_RINGS):
                # Where there is nothing to meet, the more the better.
                difference[k, j] = np.float32(_BUTT) * np.float32(_RINGS - j)
                if usable[best, k * _RINGS + j] == 0.0:
                    difference[k, j] = np.float32(1e6)
        for i in range(meeting):
            apart = there[i] - offered[best, met[i]]
            difference[met[i] // _RINGS, met[i] % _RINGS] += apart * apart
        _cut(difference, cut)

        matrix = patches[count]
        _placed(x, y, frame, sources[best], frames[sources[best, 1], sources[best, 0]], matrix)
        count += 1
        _paste(values, label, x, y, frame, radius, cut, matrix, count)
    return count


@inlined
def _scale(frame):  # type: ignore[no-untyped-def]
    """Pixels per unit of length, in the mean of all directions."""
    return np.sqrt(np.abs(frame[0, 0] * frame[1, 1] - frame[0, 1] * frame[1, 0]))


@inlined
def _middle(label, frames, x, y, radius):  # type: ignore[no-untyped-def]
    """The middle of a patch with (x, y) in its core, towards what is unknown around that."""
    last = len(label) - 1
    core = radius * np.float32(_CORE / _RINGS)
    reach = core * _scale(frames[y, x])
    window = np.intp(np.float32(2.0) * reach)
    total_x = total_y = count = 0
    for py in range(max(y - window, 0), min(y + window, last) + 1):
        for px in range(max(x - window, 0), min(x + window, last) + 1):
            if label[py, px] == UNKNOWN:
                total_x += px - x
                total_y += py - y
                count += 1
    dx, dy = np.float32(total_x) / np.float32(count), np.float32(total_y) / np.float32(count)
    share = min(reach / max(np.float32(np.sqrt(dx * dx + dy * dy)), reach), np.float32(1.0))
    ahead_x = min(max(x + np.intp(np.round(dx * share)), 0), last)
    ahead_y = min(max(y + np.intp(np.round(dy * share)), 0), last)
    a, b, c, d = _inverse(frames[ahead_y, ahead_x])
    dx, dy = np.float32(x - ahead_x), np.float32(y - ahead_y)
    if (a * dx + b * dy) ** 2 + (c * dx + d * dy) ** 2 > core * core:
        ahead_x, ahead_y = x, y
    return ahead_x, ahead_y


@kernel
def _best_source(met, there, weight, offered, usable, penalty):  # type: ignore[no-untyped-def]
    """The source that differs least, its penalty added, from what is there."""
    best, least = 0, np.float32(np.inf)
    for s in range(len(offered)):
        cost = total = np.float32(0.0)
        for i in range(0, len(met), 2):
            apart = there[i] - offered[s, met[i]]
            w = weight[i] * usable[s, met[i]]
            cost += w * apart * apart
            total += w
        cost = cost / max(total, np.float32(1.0)) + penalty[s]
        if cost < least:
            best, least = s, cost
    return best


@kernel
def _cut(difference, cut):  # type: ignore[no-untyped-def]
    """The closed line around a patch, a ring per direction, along which differences add up least.

    It does not enter the core, and neighbouring directions are at most one ring apart. Dynamic
    programming around the circle, from each ring in turn.
    """
    directions, rings = difference.shape
    cost = np.empty((directions, rings), np.float32)
    before = np.empty((directions, rings), np.intp)
    least = np.float32(np.inf)
    for start in range(_CORE, rings):
        cost[0] = np.float32(np.inf)
        cost[0, start] = difference[0, start]
        for k in range(1, directions):
            for j in range(_CORE, rings):
                best = j
                for i in range(max(j - 1, _CORE), min(j + 2, rings)):
                    if cost[k - 1, i] < cost[k - 1, best]:
                        best = i
                cost[k, j] = cost[k - 1, best] + difference[k, j]
                before[k, j] = best
        for end in range(max(start - 1, _CORE), min(start + 2, rings)):
            if cost[directions - 1, end] < least:
                least = cost[directions - 1, end]
                ring = end
                for k in range(directions - 1, -1, -1):
                    cut[k] = ring
                    ring = before[k, ring]


@inlined
def _inverse(matrix):  # type: ignore[no-untyped-def]
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    one = np.float32(1.0) / (a * d - b * c)
    return d * one, -b * one, -c * one, a * one


@inlined
def _placed(x, y, frame, source, source_frame, matrix):  # type: ignore[no-untyped-def]
    """The matrix that takes pixels around (x, y) to those around a source, turned as it is."""
    a, b, c, d = _inverse(frame)
    for i in range(2):
        along, across = source_frame[i, 0], source_frame[i, 1]
        matrix[i, 0], matrix[i, 1] = along * a + across * c, along * b + across * d
        matrix[i, 2] = source[i] - matrix[i, 0] * np.float32(x) - matrix[i, 1] * np.float32(y)


@kernel
def _paste(values, label, x, y, frame, radius, cut, matrix, number):  # type: ignore[no-untyped-def]
    """Copy a patch as far as it is cut; what is known from the start stays."""
    last = len(label) - 1
    a, b, c, d = _inverse(frame)
    # The box around the ellipse that the frame makes of a circle.
    reach_x = np.intp(radius * np.sqrt(frame[0, 0] ** 2 + frame[0, 1] ** 2)) + 1
    reach_y = np.intp(radius * np.sqrt(frame[1, 0] ** 2 + frame[1, 1] ** 2)) + 1
    for py in range(max(y - reach_y, 0), min(y + reach_y, last) + 1):
        for px in range(max(x - reach_x, 0), min(x + reach_x, last) + 1):
            if label[py, px] == NOWHERE or label[py, px] == OWN:
                continue
            dx, dy = np.float32(px - x), np.float32(py - y)
            along, across = a * dx + b * dy, c * dx + d * dy
            ring = np.sqrt(along * along + across * across) / radius * np.float32(_RINGS)
            if ring > _RINGS:
                continue
            turn = np.arctan2(across, along) * np.float32(_DIRECTIONS / (2.0 * math.pi))
            if ring > cut[np.intp(np.round(turn)) % _DIRECTIONS] + 1:
                continue
            sx = np.intp(matrix[0, 0] * px + matrix[0, 1] * py + matrix[0, 2] + np.float32(0.5))
            sy = np.intp(matrix[1, 0] * px + matrix[1, 1] * py + matrix[1, 2] + np.float32(0.5))
            values[py, px] = values[min(max(sy, 0), last), min(max(sx, 0), last)]
            label[py, px] = number


def sew(
    quilted: Quilt,
    values: NDArray[np.float32],
    smooth: NDArray[np.float32],
    chart: NDArray[np.uint8],
    *,
    zero: float,
    one: float,
) -> None:
    """Lay a finer quilt over a chart of the same extent, its seams blended.

    Args:
        quilted: The quilt, of N pixels across.
        values: ``(M, M)`` float32, what is copied, M >= N.
        smooth: ``(N, N)`` float32, what is added to that.
        chart: ``(M, M)`` uint8, overwritten where the quilt has something.
        zero: What stands for 0 in the chart.
        one: How much more stands for 1.
    """
    scale = np.float32(zero), np.float32(one)
    run_bands(
        lambda first, last: _sew(
            quilted.label, quilted.patches, values, smooth, scale, first, last, chart
        ),
        len(chart),
    )


@inlined
def _copied(values, matrix, x, y, ratio):  # type: ignore[no-untyped-def]
    """Value of the finer chart that a patch has at (x, y) of the coarser one."""
    half, one = np.float32(0.5), np.float32(1.0)
    most = np.float32(len(values) - 1.001)
    sx = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + half) * ratio - half
    sy = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + half) * ratio - half
    sx, sy = min(max(sx, np.float32(0.0)), most), min(max(sy, np.float32(0.0)), most)
    column, row = np.intp(sx), np.intp(sy)
    u, v = sx - np.float32(column), sy - np.float32(row)
    top = values[row, column] * (one - u) + values[row, column + 1] * u
    bottom = values[row + 1, column] * (one - u) + values[row + 1, column + 1] * u
    return top * (one - v) + bottom * v


@kernel
def _sew(label, patches, values, smooth, scale, first, last, chart):  # type: ignore[no-untyped-def]
    side, fine = len(label), len(values)
    ratio = np.float32(fine) / np.float32(side)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    most = np.float32(side - 1.001)
    near, share = np.empty(4, np.int32), np.empty(4, np.float32)
    for y in range(first, last):
        cy = min(max((np.float32(y) + half) / ratio - half, zero), most)
        row = np.intp(cy)
        v = cy - np.float32(row)
        for x in range(fine):
            cx = min(max((np.float32(x) + half) / ratio - half, zero), most)
            column = np.intp(cx)
            for n in range(4):
                near[n] = label[row + n // 2, column + n % 2]
            u = cx - np.float32(column)
            share[0], share[1] = (one - u) * (one - v), u * (one - v)
            share[2], share[3] = (one - u) * v, u * v
            same = near[0] == near[1] == near[2] == near[3]
            if same:
                share[0] = one
            total = whole = broad = zero
            for n in range(1 if same else 4):
                if near[n] == OWN:
                    total += share[n] * values[y, x]
                    whole += share[n]
                elif near[n] > OWN:
                    total += share[n] * _copied(values, patches[near[n] - 1], cx, cy, ratio)
                    whole += share[n]
            if whole == zero:
                continue
            broad = (smooth[row, column] * (one - u) + smooth[row, column + 1] * u) * (one - v)
            broad += (smooth[row + 1, column] * (one - u) + smooth[row + 1, column + 1] * u) * v
            value = scale[0] + scale[1] * (total / whole + broad) + half
            chart[y, x] = np.uint8(min(max(value, zero), np.float32(255.0)))
