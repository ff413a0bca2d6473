"""Shading of a head view: every sample takes its colour from the photo at its own surface point.

The photo is sampled per output pixel, not per vertex, so a view is as sharp as the photo. Each
band of image rows is drawn, shaded and averaged before the next one, in memory that stays in cache.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail
from opendr_facerot.render.projection import NEAR
from opendr_facerot.render.shading import COLUMNS, shade_rows, vertex_rows
from opendr_facerot.render.visibility import VisibleFaces

SUPERSAMPLING = 2
"""Samples per output pixel and axis: the anti-aliasing of silhouettes and texture.

The shading kernel is written for this number.
"""

OWN_RAMP = (0.05, 0.6)
"""Confidence at which a sample starts to count, and counts fully."""

_SHARED_SPREAD = (0.2, 0.01)
"""A pixel whose samples differ less, in confidence and relatively in depth, is weighted as one."""
_BLOCK = 1024  # vertices; fewer are not worth a thread
_BAND_SAMPLES = 1 << 16  # of a band of rows: 0.5 MB of keys, which stay in the cache


@dataclass(frozen=True, eq=False)
class VertexAppearance:
    """What a fitted head looks like, ``(V, ...)`` float32 per vertex.

    Attributes:
        foreground: ``(H, W, 3)`` uint8 RGB work image of the person alone, its colours continued
            beyond its outline; those of several photos one below the other.
        photo_xy: ``(V, 2)`` position in it.
        confidence: ``(V,)`` in [0, 1], how well the photo shows the vertex.
        second_xy: ``(V, 2)`` position in ``foreground`` of what can stand in where the photo does
            not show the vertex: the mirror vertex, or another photo of the same person.
        second_confidence: ``(V,)`` in [0, 1], how well that can stand in.
        second_cosine: ``(V,)`` cosine to the camera there.
        second_visible: ``(V,)`` in [0, 1]: can stand in, however grazing.
        second_correction: ``(V, 3)`` natural log of the factor on its colour.
        fill: ``(V, 3)`` natural log of the RGB colour, 0..255, where neither is seen.
        hair: ``(V,)`` in [0, 1]: which detail the fill gets, the skin's or the hair's.
        detail_xy: ``(V, 2)`` position on the detail chart.
        detail: The fill's detail.
        source_cosine: ``(V,)`` cosine to the camera in the photo.
        visible: ``(V,)`` in [0, 1]: in the photo at all, however grazing.
    """

    foreground: NDArray[np.uint8]
    photo_xy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    second_xy: NDArray[np.float32]
    second_confidence: NDArray[np.float32]
    second_cosine: NDArray[np.float32]
    second_visible: NDArray[np.float32]
    second_correction: NDArray[np.float32]
    fill: NDArray[np.float32]
    hair: NDArray[np.float32]
    detail_xy: NDArray[np.float32]
    detail: HeadDetail
    source_cosine: NDArray[np.float32]
    visible: NDArray[np.float32]

    @cached_property
    def stand_in(self) -> NDArray[np.float32]:
        """What a sample needs where the photo does not show it, ``(V, 11)`` float32.

        Position of the second sample and natural log of the factor on its colour; natural log of
        the fill's colour; hair; position on the detail chart.
        """
        columns = (
            self.second_xy,
            self.second_correction,
            self.fill,
            self.hair[:, None],
            self.detail_xy,
        )
        return np.concatenate(columns, axis=1, dtype=np.float32)


class HeadShader:
    """Renders heads that share one mesh.

    Args:
        topology: The mesh, of V vertices.
        coverage: ``(V,)`` opacity in [0, 1].
    """

    def __init__(self, topology: MeshTopology, coverage: NDArray[np.floating]) -> None:
        self._faces = topology.faces
        self._drawn = topology.faces[coverage[topology.faces].max(axis=1) > 0.0]
        self._coverage = coverage.astype(np.float32)
        corners = topology.faces.ravel()
        # Faces around vertex v, ascending: around[starts[v] : starts[v + 1]].
        self._around = (np.argsort(corners, kind="stable") // 3).astype(np.int32)
        self._starts = np.zeros(len(coverage) + 1, np.int32)
        np.cumsum(np.bincount(corners, minlength=len(coverage)), out=self._starts[1:])
        # Tables to use again: the system takes longer to provide a new one than to fill it.
        self._tables: deque[NDArray[np.float32]] = deque(maxlen=4)

    def shade(
        self,
        appearance: VertexAppearance,
        vertices: NDArray[np.floating],
        intrinsics: Intrinsics,
        size: int,
        detail: NDArray[np.uint8],
        *,
        threads: int | None = None,
    ) -> tuple[NDArray[np.float32], float]:
        """Render the completed head.

        Args:
            appearance: Appearance of the head's V vertices.
            vertices: ``(V, 3)`` camera space, turned as the view asks.
            intrinsics: Camera of the output image.
            size: Side of the output image, pixels.
            detail: ``(D, D, 2)`` uint8 detail chart: grain and strands.
            threads: Number of threads; None for all. Does not affect the result.

        Returns:
            ``(size, size, 4)`` float32, premultiplied RGB of 0..255 and alpha of 0..1; and the
            share of the covered area whose colour is the photo's own.
        """
        fine = intrinsics.scaled(SUPERSAMPLING, *[(SUPERSAMPLING - 1) / 2] * 2)
        samples = size * SUPERSAMPLING
        table = self._vertex_stage(
            appearance, np.ascontiguousarray(vertices, np.float64), fine, threads
        )
        visible = VisibleFaces(table, self._drawn, samples, 1.0 / NEAR, threads)
        stand_in = appearance.stand_in
        level = appearance.detail.level / np.float32(DETAIL_ONE)
        image = np.empty((size, size, 4), np.float32)
        areas = np.empty((size, 2))
        band = min(max(_BAND_SAMPLES // (samples * SUPERSAMPLING), 1), size)

        def shade(first: int, last: int) -> None:
            keys = np.empty((band * SUPERSAMPLING, samples), np.uint64)
            for top in range(first * band, min(last * band, size), band):
                rows = slice(top, min(top + band, size))
                seen = keys[: (rows.stop - top) * SUPERSAMPLING]
                visible.draw(top * SUPERSAMPLING, seen)
                shade_rows(
                    seen,
                    top * SUPERSAMPLING,
                    self._drawn,
                    table,
                    stand_in,
                    appearance.foreground,
                    detail,
                    DETAIL_ZERO,
                    level,
                    appearance.detail.tint,
                    OWN_RAMP,
                    _SHARED_SPREAD,
                    image[rows],
                    areas[rows],
                )

        run_bands(shade, -(-size // band), threads)
        self._tables.append(table)
        covered, own = areas.sum(axis=0)
        return image, float(own / covered) if covered else 0.0

    def _vertex_stage(
        self,
        appearance: VertexAppearance,
        vertices: NDArray[np.float64],
        camera: Intrinsics,
        threads: int | None,
    ) -> NDArray[np.float32]:
        """The table of what every sample needs, ``(V, COLUMNS)``."""
        try:
            table = self._tables.pop()
        except IndexError:
            table = np.empty((len(vertices), COLUMNS), np.float32)

        def work(first: int, last: int) -> None:
            vertex_rows(
                vertices,
                self._faces,
                self._starts,
                self._around,
                self._coverage,
                appearance.photo_xy,
                appearance.confidence,
                appearance.second_confidence,
                appearance.second_cosine,
                appearance.second_visible,
                appearance.source_cosine,
                appearance.visible,
                (camera.focal, camera.cx, camera.cy),
                first * _BLOCK,
                min(last * _BLOCK, len(vertices)),
                table,
            )

        run_bands(work, -(-len(vertices) // _BLOCK), threads)
        return table
<<<<<<< HEAD
=======


@relaxed_inlined
def _share(confidence):  # type: ignore[no-untyped-def]
    """How far a sample of a confidence counts."""
    low, width = np.float32(OWN_RAMP[0]), np.float32(OWN_RAMP[1] - OWN_RAMP[0])
    t = min(max((confidence - low) / width, np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@inlined
def _ramp(low, high, x):  # type: ignore[no-untyped-def]
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@kernel
def _cosine(vertices, faces, starts, around, v):  # type: ignore[no-untyped-def]
    """Cosine between a vertex's area-weighted normal and the direction to the camera."""
    nx = ny = nz = 0.0
    for k in range(starts[v], starts[v + 1]):
        a, b, c = faces[around[k], 0], faces[around[k], 1], faces[around[k], 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        ux, uy, uz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        wx, wy, wz = vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az
        nx += uy * wz - uz * wy
        ny += uz * wx - ux * wz
        nz += ux * wy - uy * wx
    x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
    length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return -(nx * x + ny * y + nz * z) / (length * np.sqrt(x * x + y * y + z * z))


@kernel
def _vertex_rows(  # type: ignore[no-untyped-def]
    vertices,
    faces,
    starts,
    around,
    coverage,
    photo_xy,
    confidence,
    second_confidence,
    second_cosine,
    second_visible,
    source_cosine,
    visible,
    camera,
    first,
    last,
    table,
):
    """Project the vertices ``first`` to ``last`` and gather what their samples need."""
    focal, cx, cy = camera
    for v in range(first, last):
        own, second = np.float64(confidence[v]), np.float64(second_confidence[v])
        if visible[v] > own or second_visible[v] > second:
            # A sample that was grazing in the photo is good as long as this view grazes it as much.
            cosine = max(_cosine(vertices, faces, starts, around, v), _GRAZING)
            low, high = _STRETCH_RAMP
            own = max(own, visible[v] * _ramp(low, high, source_cosine[v] / cosine))
            as_grazing = _ramp(low, high, second_cosine[v] / cosine)
            second = max(second, second_visible[v] * as_grazing)
        inverse_depth = 1.0 / vertices[v, 2]
        table[v, _X] = vertices[v, 0] * focal * inverse_depth + cx
        table[v, _Y] = vertices[v, 1] * focal * inverse_depth + cy
        table[v, _INVERSE_DEPTH] = inverse_depth
        table[v, _OWN] = own
        table[v, _SECOND] = second
        table[v, _COVERAGE] = coverage[v]
        table[v, _PHOTO], table[v, _PHOTO + 1] = photo_xy[v, 0], photo_xy[v, 1]


@relaxed_inlined
def _spot(key, x, y, faces, table):  # type: ignore[no-untyped-def]
    """Where on the surface a sample lies: its face's vertices and their weights in space."""
    face = np.uintp(~np.int32(key))
    i, j, k = np.uintp(faces[face, 0]), np.uintp(faces[face, 1]), np.uintp(faces[face, 2])
    ax, ay = table[i, _X] - np.float32(x), table[i, _Y] - np.float32(y)
    bx, by = table[j, _X] - np.float32(x), table[j, _Y] - np.float32(y)
    cx, cy = table[k, _X] - np.float32(x), table[k, _Y] - np.float32(y)
    # Weights are linear on the screen when divided by the depth; rounding makes some negative.
    zero = np.float32(0.0)
    u = max((by * cx - bx * cy) * table[i, _INVERSE_DEPTH], zero)
    v = max((cy * ax - cx * ay) * table[j, _INVERSE_DEPTH], zero)
    w = max((ay * bx - ax * by) * table[k, _INVERSE_DEPTH], zero)
    total = u + v + w
    if total <= zero:
        u = total = np.float32(1.0)
    scale = np.float32(1.0) / total
    return i, j, k, u * scale, v * scale, w * scale


@relaxed_inlined
def _at(spot, table, column):  # type: ignore[no-untyped-def]
    i, j, k, u, v, w = spot
    return u * table[i, column] + v * table[j, column] + w * table[k, column]


@relaxed_inlined
def _mean_at(spots, table, column):  # type: ignore[no-untyped-def]
    a, b, c, d = spots
    upper = _at(a, table, column) + _at(b, table, column)
    lower = _at(c, table, column) + _at(d, table, column)
    return np.float32(0.25) * (upper + lower)


@relaxed_inlined
def _cell(image, x, y):  # type: ignore[no-untyped-def]
    """The four pixels around a position and their bilinear weights."""
    x = min(max(x, np.float32(0.0)), np.float32(image.shape[1] - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(image.shape[0] - 1.001))
    column, row = np.int32(x), np.int32(y)
    u, v = x - np.float32(column), y - np.float32(row)
    both = u * v
    weights = np.float32(1.0) - u - v + both, u - both, v - both, both
    return np.uintp(row), np.uintp(row + 1), np.uintp(column), np.uintp(column + 1), weights


@relaxed_inlined
def _mix(image, cell, channel):  # type: ignore[no-untyped-def]
    top, bottom, left, right, weights = cell
    a, b, c, d = weights
    above = a * np.float32(image[top, left, channel]) + b * np.float32(image[top, right, channel])
    below = np.float32(image[bottom, left, channel]) * c
    return above + below + d * np.float32(image[bottom, right, channel])


@relaxed_inlined
def _colour_at(spot, photo, table, column):  # type: ignore[no-untyped-def]
    cell = _cell(photo, _at(spot, table, column), _at(spot, table, column + 1))
    return _mix(photo, cell, 0), _mix(photo, cell, 1), _mix(photo, cell, 2)


@relaxed_inlined
def _mean_colour_at(spots, photo, table, column):  # type: ignore[no-untyped-def]
    a = _colour_at(spots[0], photo, table, column)
    b = _colour_at(spots[1], photo, table, column)
    c = _colour_at(spots[2], photo, table, column)
    d = _colour_at(spots[3], photo, table, column)
    share = np.float32(0.25)
    return (
        share * (a[0] + b[0] + c[0] + d[0]),
        share * (a[1] + b[1] + c[1] + d[1]),
        share * (a[2] + b[2] + c[2] + d[2]),
    )


@relaxed_inlined
def _detail_at(spot, chart, stand_in):  # type: ignore[no-untyped-def]
    cell = _cell(chart, _at(spot, stand_in, _DETAIL), _at(spot, stand_in, _DETAIL + 1))
    return _mix(chart, cell, 0), _mix(chart, cell, 1)


@relaxed_inlined
def _mean_detail_at(spots, chart, zero, level, hair, stand_in):  # type: ignore[no-untyped-def]
    """Log luma of the chart's detail."""
    a, b = _detail_at(spots[0], chart, stand_in), _detail_at(spots[1], chart, stand_in)
    c, d = _detail_at(spots[2], chart, stand_in), _detail_at(spots[3], chart, stand_in)
    quarter = np.float32(0.25)
    grain = quarter * (a[0] + b[0] + c[0] + d[0]) - np.float32(zero)
    strands = quarter * (a[1] + b[1] + c[1] + d[1]) - np.float32(zero)
    on_skin = (np.float32(1.0) - hair) * level[0] * grain
    return on_skin + hair * (level[1] * grain + level[2] * strands)


@relaxed_inlined
def _shaded(  # type: ignore[no-untyped-def]
    spots, own, second, table, stand_in, photo, chart, chart_zero, level, tint
):
    """Colour of samples that are weighted as one, and the share of it that is the photo's own."""
    zero, one, white = np.float32(0.0), np.float32(1.0), np.float32(255.0)
    own = _share(own)
    other = (one - own) * _share(second)
    rest = one - own - other
    red = green = blue = zero
    if own > zero:
        colour = _mean_colour_at(spots, photo, table, _PHOTO)
        red, green, blue = own * colour[0], own * colour[1], own * colour[2]
    if other > zero:
        colour = _mean_colour_at(spots, photo, stand_in, _SECOND_PHOTO)
        red += other * colour[0] * np.exp(_mean_at(spots, stand_in, _CORRECTION))
        green += other * colour[1] * np.exp(_mean_at(spots, stand_in, _CORRECTION + 1))
        blue += other * colour[2] * np.exp(_mean_at(spots, stand_in, _CORRECTION + 2))
    if rest > zero:
        hair = _mean_at(spots, stand_in, _HAIR)
        on_skin = _mean_detail_at(spots, chart, chart_zero, level, hair, stand_in)
        on_hair = hair * on_skin
        on_skin -= on_hair
        red += rest * np.exp(_mean_at(spots, stand_in, _FILL) + on_skin + on_hair * tint[0])
        green += rest * np.exp(_mean_at(spots, stand_in, _FILL + 1) + on_skin + on_hair * tint[1])
        blue += rest * np.exp(_mean_at(spots, stand_in, _FILL + 2) + on_skin + on_hair * tint[2])
    return min(red, white), min(green, white), min(blue, white), own


@relaxed_inlined
def _inverse_depth(key):  # type: ignore[no-untyped-def]
    return np.uint32(key >> np.uint64(32)).view(np.float32)


@relaxed_inlined
def _spread(a, b, c, d):  # type: ignore[no-untyped-def]
    return max(max(a, b), max(c, d)) - min(min(a, b), min(c, d))


@relaxed_kernel
def _shade_rows(  # type: ignore[no-untyped-def]
    keys,
    top,
    faces,
    table,
    stand_in,
    photo,
    detail,
    detail_zero,
    detail_level,
    detail_tint,
    shared_spread,
    image,
    areas,
):
    """Shade and average the samples of an image's rows; add up their covered and own areas.

    ``top`` is the image's row of samples that ``keys`` begins at.
    """
    most_spread, most_step = np.float32(shared_spread[0]), np.float32(shared_spread[1])
    zero, quarter, nothing = np.float32(0.0), np.float32(0.25), np.uint64(0)
    for row in range(image.shape[0]):
        covered_area = own_area = zero
        upper, lower = np.uintp(2 * row), np.uintp(2 * row + 1)
        y = top + 2 * row
        for column in range(image.shape[1]):
            red = green = blue = opacity = zero
            x = 2 * column
            left, right = np.uintp(x), np.uintp(x + 1)
            k0, k1 = keys[upper, left], keys[upper, right]
            k2, k3 = keys[lower, left], keys[lower, right]
            shared = (k0 != nothing) & (k1 != nothing) & (k2 != nothing) & (k3 != nothing)
            if shared:
                a, b = _spot(k0, x, y, faces, table), _spot(k1, x + 1, y, faces, table)
                c, d = _spot(k2, x, y + 1, faces, table), _spot(k3, x + 1, y + 1, faces, table)
                own0, own1 = _at(a, table, _OWN), _at(b, table, _OWN)
                own2, own3 = _at(c, table, _OWN), _at(d, table, _OWN)
                second0, second1 = _at(a, table, _SECOND), _at(b, table, _SECOND)
                second2, second3 = _at(c, table, _SECOND), _at(d, table, _SECOND)
                z0, z1, z2, z3 = (
                    _inverse_depth(k0),
                    _inverse_depth(k1),
                    _inverse_depth(k2),
                    _inverse_depth(k3),
                )
                shared = (
                    (_spread(own0, own1, own2, own3) < most_spread)
                    & (_spread(second0, second1, second2, second3) < most_spread)
                    & (_spread(z0, z1, z2, z3) < most_step * z0)
                )
            if shared:
                spots = a, b, c, d
                opacity = _mean_at(spots, table, _COVERAGE)
                own = quarter * (own0 + own1 + own2 + own3)
                second = quarter * (second0 + second1 + second2 + second3)
                red, green, blue, own = _shaded(
                    spots,
                    own,
                    second,
                    table,
                    stand_in,
                    photo,
                    detail,
                    detail_zero,
                    detail_level,
                    detail_tint,
                )
                red, green, blue = opacity * red, opacity * green, opacity * blue
                own_area += opacity * own
            elif (k0 | k1 | k2 | k3) != nothing:
                for sub in range(4):
                    i, j = sub // 2, sub % 2
                    key = keys[np.uintp(2 * row + i), np.uintp(x + j)]
                    if key == nothing:
                        continue
                    a = _spot(key, x + j, y + i, faces, table)
                    weight = quarter * _at(a, table, _COVERAGE)
                    own, second = _at(a, table, _OWN), _at(a, table, _SECOND)
                    colour = _shaded(
                        (a, a, a, a),
                        own,
                        second,
                        table,
                        stand_in,
                        photo,
                        detail,
                        detail_zero,
                        detail_level,
                        detail_tint,
                    )
                    red += weight * colour[0]
                    green += weight * colour[1]
                    blue += weight * colour[2]
                    opacity += weight
                    own_area += weight * colour[3]
            image[row, column, 0] = red
            image[row, column, 1] = green
            image[row, column, 2] = blue
            image[row, column, 3] = opacity
            covered_area += opacity
        areas[row, 0] = covered_area
        areas[row, 1] = own_area
>>>>>>> ea527e8 (wip)
