"""Shading of a head view: every pixel samples the photo at its own surface point.

The photo is sampled per output pixel, not per vertex, so a view is as sharp as the photo. Each bin
of image rows is rasterised, shaded and averaged before the next one, in memory that stays in cache.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.cpu import BIN_ROWS, BinnedMesh
from opendr_facerot.render.detail_chart import DETAIL_ONE, DETAIL_ZERO, HeadDetail
from opendr_facerot.render.kernels import inlined, kernel
from opendr_facerot.render.projection import FAR, NEAR

SUPERSAMPLING = 2
"""Samples per output pixel and axis: the anti-aliasing of silhouettes and texture."""

OWN_RAMP = (0.05, 0.6)
"""Confidence at which a sample starts to count, and counts fully."""

_STRETCH_RAMP = (0.5, 0.85)  # cosine in the photo over cosine in the view
_GRAZING = 0.06  # cosine in the view below which it makes no more difference
_BLOCK = 1024  # vertices; fewer are not worth a thread

# Columns of the table of attributes.
_PHOTO, _SECOND_PHOTO, _OWN, _SECOND, _FILL, _CORRECTION, _COVERAGE = 0, 2, 4, 5, 6, 9, 12
_HAIR, _DETAIL = 13, 14
_COLUMNS = 16  # a cache line of float32; a multiple of 8 is interpolated in whole vectors


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
        opacity: ``(V,)`` in [0, 1], 0 where clothing hides the head.
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
    opacity: NDArray[np.float32]


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
        exact = np.ascontiguousarray(vertices, np.float64)
        ndc, inverse_depth, table = self._vertex_stage(appearance, exact, fine, samples, threads)
        binned = BinnedMesh(ndc, self._drawn, samples, threads)
        level = appearance.detail.level / np.float32(DETAIL_ONE)
        image = np.zeros((size, size, 4), np.float32)
        areas = np.zeros((size, 2))

        def shade(first: int, last: int) -> None:
            planes = (
                np.empty((BIN_ROWS, samples), np.int32),
                np.empty((BIN_ROWS, samples, 3), np.float32),
                np.empty((BIN_ROWS, samples), np.float32),
            )
            for k in range(first, last):
                if binned.is_empty(k):
                    continue
                top, bottom = binned.rows(k)
                binned.draw(k, k + 1, top, NEAR, FAR, planes)
                rows = slice(top // SUPERSAMPLING, bottom // SUPERSAMPLING)
                _shade_rows(
                    *planes,
                    self._drawn,
                    inverse_depth,
                    table,
                    appearance.foreground,
                    detail,
                    DETAIL_ZERO,
                    level,
                    appearance.detail.tint,
                    image[rows],
                    areas[rows],
                )

        run_bands(shade, binned.bins, threads)
        self._tables.append(table)
        covered, own = areas.sum(axis=0)
        return image, float(own / covered) if covered else 0.0

    def _vertex_stage(
        self,
        appearance: VertexAppearance,
        vertices: NDArray[np.float64],
        camera: Intrinsics,
        samples: int,
        threads: int | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Normalised device coordinates ``(V, 3)``, 1 / depth ``(V,)``, attributes' table."""
        ndc = np.empty((len(vertices), 3), np.float32)
        inverse_depth = np.empty(len(vertices), np.float32)
        try:
            table = self._tables.pop()
        except IndexError:
            table = np.empty((len(vertices), _COLUMNS), np.float32)

        def work(first: int, last: int) -> None:
            _vertex_rows(
                vertices,
                self._faces,
                self._starts,
                self._around,
                self._coverage,
                appearance.photo_xy,
                appearance.confidence,
                appearance.second_xy,
                appearance.second_confidence,
                appearance.second_cosine,
                appearance.second_visible,
                appearance.second_correction,
                appearance.fill,
                appearance.hair,
                appearance.detail_xy,
                appearance.source_cosine,
                appearance.visible,
                appearance.opacity,
                (camera.focal, camera.cx, camera.cy),
                samples,
                first * _BLOCK,
                min(last * _BLOCK, len(vertices)),
                ndc,
                inverse_depth,
                table,
            )

        run_bands(work, -(-len(vertices) // _BLOCK), threads)
        return ndc, inverse_depth, table


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
    second_xy,
    second_confidence,
    second_cosine,
    second_visible,
    second_correction,
    fill,
    hair,
    detail_xy,
    source_cosine,
    visible,
    opacity,
    camera,
    samples,
    first,
    last,
    ndc,
    inverse_depth,
    table,
):
    """Project the vertices ``first`` to ``last`` and gather what their samples need."""
    focal, cx, cy = camera
    for v in range(first, last):
        z = vertices[v, 2]
        scale = focal / z
        ndc[v, 0] = (2.0 * (vertices[v, 0] * scale + cx) + (1 - samples)) / samples
        ndc[v, 1] = ((samples - 1) - 2.0 * (vertices[v, 1] * scale + cy)) / samples
        ndc[v, 2] = z
        inverse_depth[v] = 1.0 / z

        own, second = np.float64(confidence[v]), np.float64(second_confidence[v])
        if visible[v] > own or second_visible[v] > second:
            # A sample that was grazing in the photo is good as long as this view grazes it as much.
            cosine = max(_cosine(vertices, faces, starts, around, v), _GRAZING)
            low, high = _STRETCH_RAMP
            own = max(own, visible[v] * _ramp(low, high, source_cosine[v] / cosine))
            as_grazing = _ramp(low, high, second_cosine[v] / cosine)
            second = max(second, second_visible[v] * as_grazing)
        table[v, _PHOTO], table[v, _PHOTO + 1] = photo_xy[v, 0], photo_xy[v, 1]
        table[v, _SECOND_PHOTO], table[v, _SECOND_PHOTO + 1] = second_xy[v, 0], second_xy[v, 1]
        table[v, _OWN] = own
        table[v, _SECOND] = second
        for c in range(3):
            table[v, _FILL + c] = fill[v, c]
            table[v, _CORRECTION + c] = second_correction[v, c]
        table[v, _COVERAGE] = coverage[v] * opacity[v]
        table[v, _HAIR] = hair[v]
        table[v, _DETAIL], table[v, _DETAIL + 1] = detail_xy[v, 0], detail_xy[v, 1]


@inlined
def _bilinear(photo, x, y, colour):  # type: ignore[no-untyped-def]
    one = np.float32(1.0)
    x = min(max(x, np.float32(0.0)), np.float32(photo.shape[1] - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(photo.shape[0] - 1.001))
    column, row = np.intp(x), np.intp(y)
    u, v = x - np.float32(column), y - np.float32(row)
    for c in range(3):
        top = np.float32(photo[row, column, c]) * (one - u)
        top += np.float32(photo[row, column + 1, c]) * u
        bottom = np.float32(photo[row + 1, column, c]) * (one - u)
        bottom += np.float32(photo[row + 1, column + 1, c]) * u
        colour[c] = top * (one - v) + bottom * v


@inlined
def _detail(chart, zero, level, x, y, hair):  # type: ignore[no-untyped-def]
    """Log colour of the chart's detail at a position."""
    one = np.float32(1.0)
    x = min(max(x, np.float32(0.0)), np.float32(chart.shape[1] - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(chart.shape[0] - 1.001))
    column, row = np.intp(x), np.intp(y)
    u, v = x - np.float32(column), y - np.float32(row)
    total = np.float32(0.0)
    for kind in range(2):
        share = hair * level[1 + kind]
        if kind == 0:
            share += (one - hair) * level[0]
        top = np.float32(chart[row, column, kind]) * (one - u)
        top += np.float32(chart[row, column + 1, kind]) * u
        bottom = np.float32(chart[row + 1, column, kind]) * (one - u)
        bottom += np.float32(chart[row + 1, column + 1, kind]) * u
        total += share * (top * (one - v) + bottom * v - np.float32(zero))
    return total


@kernel
def _shade_rows(  # type: ignore[no-untyped-def]
    face_index,
    barycentric,
    depth,
    faces,
    inverse_depth,
    table,
    photo,
    detail,
    detail_zero,
    detail_level,
    detail_tint,
    image,
    areas,
):
    """Shade and average the samples of an image's rows; add up their covered and own areas."""
    zero, one, white = np.float32(0.0), np.float32(1.0), np.float32(255.0)
    share = np.float32(1.0 / (SUPERSAMPLING * SUPERSAMPLING))
    value = np.empty(_COLUMNS, np.float32)
    seen, second = np.zeros(3, np.float32), np.zeros(3, np.float32)
    for row in range(image.shape[0]):
        covered_area = own_area = np.float64(0.0)
        for column in range(image.shape[1]):
            red = green = blue = opacity = zero
            for sub in range(SUPERSAMPLING * SUPERSAMPLING):
                y = row * SUPERSAMPLING + sub // SUPERSAMPLING
                x = column * SUPERSAMPLING + sub % SUPERSAMPLING
                face = face_index[y, x]
                if face < 0:
                    continue
                # Barycentric weights are linear on the screen; attributes are linear in space.
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                w0 = barycentric[y, x, 0] * depth[y, x] * inverse_depth[i]
                w1 = barycentric[y, x, 1] * depth[y, x] * inverse_depth[j]
                w2 = barycentric[y, x, 2] * depth[y, x] * inverse_depth[k]
                for a in range(_COLUMNS):
                    value[a] = w0 * table[i, a] + w1 * table[j, a] + w2 * table[k, a]
                own = np.float32(_ramp(OWN_RAMP[0], OWN_RAMP[1], value[_OWN]))
                other = (one - own) * np.float32(_ramp(OWN_RAMP[0], OWN_RAMP[1], value[_SECOND]))
                rest = one - own - other
                colour0 = colour1 = colour2 = zero
                if own > zero:
                    _bilinear(photo, value[_PHOTO], value[_PHOTO + 1], seen)
                    colour0, colour1, colour2 = own * seen[0], own * seen[1], own * seen[2]
                if other > zero:
                    _bilinear(photo, value[_SECOND_PHOTO], value[_SECOND_PHOTO + 1], second)
                    colour0 += other * second[0] * np.exp(value[_CORRECTION])
                    colour1 += other * second[1] * np.exp(value[_CORRECTION + 1])
                    colour2 += other * second[2] * np.exp(value[_CORRECTION + 2])
                if rest > zero:
                    x_chart, y_chart = value[_DETAIL], value[_DETAIL + 1]
                    hair = value[_HAIR]
                    grain = _detail(detail, detail_zero, detail_level, x_chart, y_chart, hair)
                    on_hair = hair * grain
                    grain -= on_hair
                    colour0 += rest * np.exp(value[_FILL] + grain + on_hair * detail_tint[0])
                    colour1 += rest * np.exp(value[_FILL + 1] + grain + on_hair * detail_tint[1])
                    colour2 += rest * np.exp(value[_FILL + 2] + grain + on_hair * detail_tint[2])
                weight = value[_COVERAGE] * share
                red += weight * min(colour0, white)
                green += weight * min(colour1, white)
                blue += weight * min(colour2, white)
                opacity += weight
                own_area += weight * own
            image[row, column, 0] = red
            image[row, column, 1] = green
            image[row, column, 2] = blue
            image[row, column, 3] = opacity
            covered_area += opacity
        areas[row, 0] = covered_area
        areas[row, 1] = own_area
