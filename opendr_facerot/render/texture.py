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
