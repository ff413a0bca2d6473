"""Shading of a head view: every pixel samples the photo at its own surface point.

The photo is sampled per output pixel, not per vertex, so a view is as sharp as the photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from opendr_facerot.filters import smoothstep
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.projection import facing, view_fragments

SUPERSAMPLING = 2
"""Samples per output pixel and axis: the anti-aliasing of silhouettes and texture."""

_OWN_RAMP = (0.05, 0.6)  # confidence at which a sample starts to count, and counts fully
_STRETCH_RAMP = (0.5, 0.85)  # cosine in the photo over cosine in the view


@dataclass(frozen=True, eq=False)
class VertexAppearance:
    """What a fitted head looks like, ``(V, ...)`` float32 per vertex.

    Attributes:
        foreground: ``(S, S, 3)`` uint8 RGB work image of the person alone, its colours continued
            beyond its outline.
        photo_xy: ``(V, 2)`` position in the work image.
        confidence: ``(V,)`` in [0, 1], how well the photo shows the vertex.
        mirror_confidence: ``(V,)`` in [0, 1], how well its mirror vertex can stand in.
        mirror_correction: ``(V, 3)`` natural log of the factor on the mirror vertex's colour.
        fill: ``(V, 3)`` natural log of the RGB colour, 0..255, where neither is seen.
        source_cosine: ``(V,)`` cosine to the camera in the photo.
        visible: ``(V,)`` in [0, 1]: in the photo at all, however grazing.
    """

    foreground: NDArray[np.uint8]
    photo_xy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    mirror_confidence: NDArray[np.float32]
    mirror_correction: NDArray[np.float32]
    fill: NDArray[np.float32]
    source_cosine: NDArray[np.float32]
    visible: NDArray[np.float32]


def shade_view(
    appearance: VertexAppearance,
    topology: MeshTopology,
    mirror: NDArray[np.integer],
    coverage: NDArray[np.floating],
    vertices: NDArray[np.floating],
    intrinsics: Intrinsics,
    size: int,
) -> tuple[NDArray[np.float32], float]:
    """Render the completed head.

    Args:
        appearance: Appearance of the head's V vertices.
        topology: Its mesh.
        mirror: ``(V,)`` mirror vertex of each vertex.
        coverage: ``(V,)`` opacity in [0, 1].
        vertices: ``(V, 3)`` camera space, turned as the view asks.
        intrinsics: Camera of the output image.
        size: Side of the output image, pixels.

    Returns:
        ``(size, size, 4)`` float32, premultiplied RGB of 0..255 and alpha of 0..1; and the share of
        the covered area whose colour is the photo's own.
    """
    drawn = topology.faces[coverage[topology.faces].max(axis=1) > 0.0]
    fine = intrinsics.scaled(SUPERSAMPLING, *[(SUPERSAMPLING - 1) / 2] * 2)
    fragments = view_fragments(vertices, drawn, fine, size * SUPERSAMPLING)

    # A sample that was grazing in the photo is good as long as this view grazes it as much.
    cosine = facing(topology.vertex_normals(vertices), vertices)
    unstretched = smoothstep(*_STRETCH_RAMP, appearance.source_cosine / np.maximum(cosine, 0.06))
    confidence = np.maximum(appearance.confidence, appearance.visible * unstretched)
    attributes = np.column_stack(
        [
            appearance.photo_xy,
            appearance.photo_xy[mirror],
            confidence,
            appearance.mirror_confidence,
            appearance.fill,
            appearance.mirror_correction,
            coverage,
        ]
    ).astype(np.float32)
    image = np.zeros((size, size, 4), np.float32)
    own = np.zeros(size, np.float64)

    def shade(first: int, last: int) -> None:
        _shade_rows(
            fragments.face_index,
            fragments.barycentric,
            fragments.depth,
            drawn,
            vertices[:, 2].astype(np.float32),
            attributes,
            appearance.foreground,
            first,
            last,
            image,
            own,
        )

    run_bands(shade, size)
    covered = float(image[..., 3].sum())
    return image, float(own.sum()) / covered if covered else 0.0


@njit(nogil=True, cache=True)
def _ramp(low, high, x):  # type: ignore[no-untyped-def]
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(nogil=True, cache=True)
def _bilinear(photo, x, y, colour):  # type: ignore[no-untyped-def]
    height, width = photo.shape[0], photo.shape[1]
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    column, row = int(x), int(y)
    u, v = x - column, y - row
    for c in range(3):
        top = photo[row, column, c] * (1.0 - u) + photo[row, column + 1, c] * u
        bottom = photo[row + 1, column, c] * (1.0 - u) + photo[row + 1, column + 1, c] * u
        colour[c] = top * (1.0 - v) + bottom * v


@njit(nogil=True, cache=True)
def _shade_rows(  # type: ignore[no-untyped-def]
    face_index, barycentric, depth, faces, vertex_depth, attributes, photo, first, last, image, own
):
    """Shade and average the samples of output rows ``first`` to ``last``."""
    size = image.shape[0]
    samples = face_index.shape[0] // size
    share = 1.0 / (samples * samples)
    value = np.empty(attributes.shape[1], np.float32)
    seen, mirrored = np.empty(3, np.float32), np.empty(3, np.float32)
    for row in range(first, last):
        for column in range(size):
            for sub in range(samples * samples):
                y = row * samples + sub // samples
                x = column * samples + sub % samples
                face = face_index[y, x]
                if face < 0:
                    continue
                # Barycentric weights are linear on the screen; attributes are linear in space.
                value[:] = 0.0
                for k in range(3):
                    vertex = faces[face, k]
                    weight = barycentric[y, x, k] * depth[y, x] / vertex_depth[vertex]
                    for a in range(value.size):
                        value[a] += weight * attributes[vertex, a]
                own_weight = _ramp(_OWN_RAMP[0], _OWN_RAMP[1], value[4])
                mirror_weight = (1.0 - own_weight) * _ramp(_OWN_RAMP[0], _OWN_RAMP[1], value[5])
                fill_weight = 1.0 - own_weight - mirror_weight
                alpha = value[12] * share
                if own_weight > 0.0:
                    _bilinear(photo, value[0], value[1], seen)
                if mirror_weight > 0.0:
                    _bilinear(photo, value[2], value[3], mirrored)
                for c in range(3):
                    colour = 0.0
                    if own_weight > 0.0:
                        colour += own_weight * seen[c]
                    if mirror_weight > 0.0:
                        colour += mirror_weight * mirrored[c] * np.exp(value[9 + c])
                    if fill_weight > 0.0:
                        colour += fill_weight * np.exp(value[6 + c])
                    image[row, column, c] += alpha * min(colour, 255.0)
                image[row, column, 3] += alpha
                own[row] += alpha * own_weight
