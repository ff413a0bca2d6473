"""What each point of a head looks like, where the photo shows it and where it does not.

Everything here is per vertex of the fine head mesh; a view samples the photo itself per pixel (see
:mod:`opendr_facerot.render.texture`). A surface point takes its colour from

1. its own pixel in the photo, as far as the photo saw it well (``confidence``);
2. the pixel of what stands in for it, its mirror point or the same point in another photo, as far
   as that was seen, matched to this side's light (``second_confidence``, ``second_correction``);
3. a smooth colour that continues what was seen nearby (``fill``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import smoothstep
from opendr_facerot.generate.albedo import continue_albedo
from opendr_facerot.generate.detail import procedural_detail
from opendr_facerot.generate.hair_detail import continue_hair, exemplar_hair
from opendr_facerot.generate.hair_texture import HairTexture
from opendr_facerot.generate.head_chart import chart_positions
from opendr_facerot.generate.light import shading_of
from opendr_facerot.generate.observation import (
    Observation,
    PersonMaps,
    doubt_backlight,
    hair_label,
    observe,
)
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel, HeadSurface
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.texture import VertexAppearance

_OTHER_LIGHT = (1.4, 0.9)  # correction at which a sample is of no use, and of full use
_LARGEST_CORRECTION = 0.8  # natural log


@dataclass(frozen=True, eq=False)
class StandIn:
    """What is shown in place of each vertex where the photo does not show it.

    Attributes:
        vertex: ``(V,)`` the vertex that it is: the same one, or its mirror vertex.
        seen: Row v is what a photo shows of ``vertex[v]``; its confidence is how well that can
            stand in for v.
        precedence: ``(V,)`` in [0, 1], how far it comes before the photo itself.
        matched: Its colours are already those that this photo's light would give the vertices.
    """

    vertex: NDArray[np.integer]
    seen: Observation
    precedence: NDArray[np.floating]
    matched: bool = False


def complete(
    model: HeadModel,
    vertices: NDArray[np.floating],
    photo: WorkImage,
    work: WorkImage,
    matte: NDArray[np.float32],
    maps: PersonMaps,
    appearance: Appearance,
    hair_zone: NDArray[np.bool_],
    *,
    texture: NDArray[np.uint8],
    detail_level: NDArray[np.float32],
    hair_texture: HairTexture | None,
) -> VertexAppearance:
    """Decide for every vertex what it looks like.

    Args:
        model: The head model.
        vertices: ``(V, 3)`` fine vertices, camera space, after the silhouette fit.
        photo: The work image in the resolution in which views show it.
        work: The same in the resolution of the maps that follow.
        matte: ``(S, S)`` float32 person matte.
        maps: See :func:`opendr_facerot.generate.observation.person_maps`.
        appearance: Skin and hair of the work image.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        texture: ``(T, T, 3)`` uint8 RGB, see
            :func:`opendr_facerot.generate.foreground.sharpen_foreground`.
        detail_level: See :func:`opendr_facerot.generate.detail.measure_detail`.
        hair_texture: See :func:`opendr_facerot.generate.hair_texture.measure_hair`.
    """
    seen = observe(model, vertices, work, matte, maps, appearance, hair_zone)
    seen = replace(seen, xy=photo.intrinsics.project(vertices))
    seen = doubt_backlight(model, seen, hair_zone, hair_texture)
    stand_in = mirrored(model, seen, seen, hair_zone)
    completed = complete_observed(
        model,
        seen,
        stand_in,
        hair_zone,
        foreground=texture,
        detail_level=detail_level,
        hair_texture=hair_texture,
    )
    if hair_texture is None:
        return completed
    exemplar = exemplar_hair(seen, completed.hair)
    detail = continue_hair(model, completed, exemplar, hair_texture, photo.face_height)
    return replace(completed, detail=detail)


def mirrored(
    model: HeadModel, seen: Observation, photo: Observation, hair_zone: NDArray[np.bool_]
) -> StandIn:
    """The mirror vertices as a photo shows them.

    Args:
        model: The head model.
        seen: What is shown of the vertices themselves.
        photo: What shows the mirror vertices: the same photo, or another one.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
    """
    zones, mirror = model.fine.zones, model.fine.mirror
    other = photo.take(mirror)
    confidence = other.confidence * (zones.skin & ~zones.mouth_bag)
    # A strand of hair that hangs over one cheek is not mirrored onto the other.
    strand = smoothstep(0.25, 0.6, other.hair) * (1.0 - smoothstep(0.3, 0.6, seen.hair))
    confidence *= np.where(hair_zone, 1.0, 1.0 - strand)
    # A mirrored sample that was grazing says too little: it is not shown for being as grazing.
    other = replace(other, confidence=confidence, visible=confidence)
    precedence = 0.8 * smoothstep(0.2, 0.5, other.cosine - seen.cosine)
    return StandIn(mirror, other, precedence)


def own_confidence(seen: Observation, stand_in: StandIn) -> NDArray[np.floating]:
    """Confidence ``(V,)`` in what the photo shows, less where the stand-in comes before it."""
    return np.asarray(seen.confidence * (1.0 - stand_in.precedence * stand_in.seen.confidence))


def complete_observed(
    model: HeadModel,
    seen: Observation,
    stand_in: StandIn,
    hair_zone: NDArray[np.bool_],
    *,
    foreground: NDArray[np.uint8],
    detail_level: NDArray[np.float32],
    hair_texture: HairTexture | None,
) -> VertexAppearance:
    """Decide for every vertex what it looks like from what photos show of it.

    Args:
        model: The head model.
        seen: What the photo shows.
        stand_in: What stands in where it does not.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        foreground: ``(H, W, 3)`` uint8 RGB image that the positions of both lie in.
        detail_level: See :func:`opendr_facerot.generate.detail.measure_detail`.
        hair_texture: Of the hair on the head, if there is any.
    """
    surface, other = model.fine, stand_in.seen
    confidence = own_confidence(seen, stand_in)

    # Hair and colours vary slowly: they are solved for on the coarse mesh.
    n = len(model.coarse.vertices)
    coarse, coarse_other = seen.take(slice(n)), other.take(slice(n))
    hair = hair_label(
        model.coarse,
        confidence[:n],
        coarse.hair,
        coarse_other,
        hair_zone[:n],
        hair_texture is not None,
    )
    shading = shading_of(surface, seen.colour, confidence, model.subdivide(hair), seen.normals)
    shading = shading[:, None]
    second_shading = shading if stand_in.matched else shading[stand_in.vertex]
    difference, albedo = continue_albedo(
        model.coarse,
        replace(coarse, colour=coarse.colour - shading[:n]),
        replace(coarse_other, colour=coarse_other.colour - second_shading[:n]),
        confidence[:n],
        hair,
        hair[stand_in.vertex[:n]],
        hair_texture,
        stand_in.matched,
    )
    correction = model.subdivide(difference) + shading - second_shading
    # In proportion: its channels cut off one by one would change the colour's hue.
    largest = np.abs(correction).max(axis=1, keepdims=True)
    correction *= np.minimum(1.0, _LARGEST_CORRECTION / np.maximum(largest, 1e-9))
    # What the light differs on by more than that is a cast shadow, or lies in one.
    lit_alike = smoothstep(*_OTHER_LIGHT, largest[:, 0])
    fill = model.subdivide(albedo) + shading
    return VertexAppearance(
        foreground=foreground,
        photo_xy=seen.xy.astype(np.float32),
        confidence=confidence.astype(np.float32),
        second_xy=other.xy.astype(np.float32),
        second_confidence=(other.confidence * lit_alike).astype(np.float32),
        second_cosine=other.cosine.astype(np.float32),
        second_visible=(other.visible * lit_alike).astype(np.float32),
        second_correction=correction.astype(np.float32),
        fill=fill.astype(np.float32),
        hair=model.subdivide(hair).astype(np.float32),
        detail_xy=_detail_positions(surface),
        detail=procedural_detail(detail_level),
        source_cosine=seen.cosine.astype(np.float32),
        visible=seen.visible.astype(np.float32),
    )


@lru_cache(maxsize=1)
def _detail_positions(surface: HeadSurface) -> NDArray[np.float32]:
    """Where on the detail chart each vertex ``(V, 2)`` is."""
    return chart_positions(surface.earless)
