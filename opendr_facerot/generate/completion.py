"""What each point of a head looks like, where the photo shows it and where it does not.

Everything here is per vertex of the fine head mesh; a view samples the photo itself per pixel (see
:mod:`opendr_facerot.render.texture`). A surface point takes its colour from

1. its own pixel in the photo, as far as the photo saw it well (``confidence``);
2. the pixel of what stands in for it, its mirror point or the same point in another photo, as far
   as that was seen, matched to this side's light (``second_confidence``, ``second_correction``);
3. a smooth colour that continues what was seen nearby (``fill``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import LEFT_EYE_CONTOUR, LIPS_INNER, RIGHT_EYE_CONTOUR
from opendr_facerot.filters import blur, disc, pull_push, sample_bilinear, smoothstep
from opendr_facerot.generate.detail import procedural_detail
from opendr_facerot.generate.hair_detail import continue_hair, exemplar_hair
from opendr_facerot.generate.hair_texture import HairTexture
from opendr_facerot.generate.head_chart import chart_positions
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel, HeadSurface, Part
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.kernels import kernel
from opendr_facerot.render.projection import facing, view_fragments
from opendr_facerot.render.texture import VertexAppearance

_DEPTH_TOLERANCE = 0.3  # centimetres behind the photo's front surface that still count as seen
_SLOPE_TOLERANCE = 0.25  # more of them at grazing angles
_COSINE = (0.12, 0.42)  # to the camera, at which a sample starts to be trusted, and is fully
_EAR_COSINE = 0.3  # an ear seen from the front is a sliver: ask for more
_CLOTH_DISTANCE = (9.0, 20.0)  # squared skin distance from which a pixel of the neck is clothing
_RIM_COSINE = (0.65, 0.4)  # at which a sample that contradicts its mirror image is distrusted
_RIM_CONTRAST = (0.3, 0.6)  # log colour between the two
_GLARE = (0.15, 0.4)  # log brightness over that of the face's middle, continued
_BACKLIGHT = (0.08, 0.25)  # log brightness of hair over that of skin and of hair elsewhere
_BACKLIT_COSINE = (0.85, 0.65)  # at which that is distrusted
_STRANDS = (0.3, 0.7)  # probability of hair
_NECK_HEIGHT = (75.0, 72.0)  # template height below which there can be clothing
_MATCHED_COSINE = (0.25, 0.55)  # at which the light of both halves starts to be compared, is fully
_UNKNOWN_DIFFERENCE = 0.02  # weight of "both halves look alike" far from where both are seen
_OTHER_LIGHT = (1.4, 0.9)  # correction at which a sample is of no use, and of full use
_MIXED = 0.35  # natural log: distance from the hair's colour of what is half something else
_LARGEST_CORRECTION = 0.8  # natural log


def interior_of(matte: NDArray[np.float32], face_height: float) -> NDArray[np.bool_]:
    """Pixels that surely show the person: well inside the matte."""
    return cv2.erode((matte > 0.6).astype(np.uint8), disc(0.016 * face_height)) > 0


def extend_foreground(work: WorkImage, interior: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The work image with the person's colours continued over the background.

    Returns:
        ``(S, S, 3)`` float32 RGB 0..255.
    """
    return pull_push(work.image.astype(np.float32), _soft(interior, work.face_height))


def _soft(interior: NDArray[np.bool_], face_height: float) -> NDArray[np.float32]:
    inner = interior.astype(np.float32)
    return blur(inner, max(0.6, 0.005 * face_height)) * inner


def sharpen_foreground(
    photo: WorkImage, foreground: NDArray[np.float32], interior: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The extended foreground in the full resolution of the photo.

    Args:
        photo: The work image in full resolution.
        foreground: ``(S, S, 3)`` float32, :func:`extend_foreground` of the reduced work image.
        interior: ``(S, S)`` bool, pixels of the reduced work image that surely show the person.

    Returns:
        ``(T, T, 3)`` uint8 RGB of the size of ``photo``.
    """
    size = photo.image.shape[1::-1]
    reduced_height = photo.face_height * len(interior) / len(photo.image)
    share = cv2.resize(_soft(interior, reduced_height), size)
    texture = cv2.resize(cv2.add(foreground, 0.0, dtype=cv2.CV_8U), size)
    show_inside(photo.image, share, texture)
    return np.asarray(texture)


@kernel
def show_inside(photo, share, texture):  # type: ignore[no-untyped-def]
    """Lay a share, 0..1, of a photo over a texture, which becomes the result."""
    for row in range(share.shape[0]):
        for column in range(share.shape[1]):
            opacity = share[row, column]
            if opacity > np.float32(0.0):
                for c in range(3):
                    below = np.float32(texture[row, column, c])
                    value = below + opacity * (np.float32(photo[row, column, c]) - below)
                    texture[row, column, c] = np.uint8(value + np.float32(0.5))


@dataclass(frozen=True, eq=False)
class PersonMaps:
    """What is looked up in a photo at each vertex, wherever the vertices are.

    Attributes:
        colour: ``(S, S, 3)`` float32 RGB 0..255 of the person, low frequencies only.
        depth: ``(S, S)`` float32 distance from the person's outline inwards, face heights.
        deep_inside: ``(S, S)`` float32, falls from 1 to 0 from the person's inside to its rim.
        openings: ``(S, S)`` float32 each, how far a pixel is in the mouth's opening, the left
            eye's and the right eye's.
    """

    colour: NDArray[np.float32]
    depth: NDArray[np.float32]
    deep_inside: NDArray[np.float32]
    openings: tuple[NDArray[np.float32], ...]


def person_maps(
    work: WorkImage,
    matte: NDArray[np.float32],
    foreground: NDArray[np.float32],
    interior: NDArray[np.bool_],
) -> PersonMaps:
    """Prepare a photo for :func:`observe`.

    Args:
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        foreground: ``(S, S, 3)`` float32, see :func:`extend_foreground`.
        interior: ``(S, S)`` bool, see :func:`interior_of`.
    """
    weight = interior.astype(np.float32) + np.float32(1e-4)
    sigma = 0.013 * work.face_height
    colour = blur(foreground * weight[..., None], sigma) / blur(weight, sigma)[..., None]
    radius = max(2.0, 0.035 * work.face_height)
    core = cv2.erode((matte > 0.6).astype(np.float32), disc(radius))
    return PersonMaps(
        colour=colour,
        depth=depth_inside(work, matte),
        deep_inside=blur(core, 0.5 * radius),
        openings=opening_maps(work),
    )


def depth_inside(work: WorkImage, matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance ``(S, S)`` from the person's outline inwards, in face heights."""
    person = (matte >= 0.5).astype(np.uint8)
    return cv2.distanceTransform(person, cv2.DIST_L2, 5) / np.float32(work.face_height)


def opening_maps(work: WorkImage) -> tuple[NDArray[np.float32], ...]:
    """How far each pixel ``(S, S)`` is in the opening of the mouth, the left and the right eye."""

    def opening(contour: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
        mask = np.zeros(work.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(work.landmarks[contour, :2]).astype(np.int32)], 1)
        return blur(mask.astype(np.float32), 0.01 * work.face_height)

    return tuple(opening(contour) for contour in (LIPS_INNER, LEFT_EYE_CONTOUR, RIGHT_EYE_CONTOUR))


@dataclass(frozen=True, eq=False)
class Observation:
    """What one photo shows of each of a head's V fine vertices.

    Attributes:
        xy: ``(V, 2)`` position in the work image.
        normals: ``(V, 3)`` unit normals, camera space.
        cosine: ``(V,)`` to the camera.
        confidence: ``(V,)`` in [0, 1], how well the photo shows the vertex.
        visible: ``(V,)`` in [0, 1], in the photo at all, however grazing.
        colour: ``(V, 3)`` natural log of the RGB colour, 0..255, low frequencies only.
        hair: ``(V,)`` probability of hair.
        skin_like: ``(V,)`` 0 where the photo shows clothing or loose hair on top of the skin.
        deep_inside: ``(V,)`` 0 at the rim of the person, where hair is mixed with background.
    """

    xy: NDArray[np.floating]
    normals: NDArray[np.floating]
    cosine: NDArray[np.floating]
    confidence: NDArray[np.floating]
    visible: NDArray[np.floating]
    colour: NDArray[np.floating]
    hair: NDArray[np.floating]
    skin_like: NDArray[np.floating]
    deep_inside: NDArray[np.floating]

    def take(self, vertices: NDArray[np.integer] | slice) -> Observation:
        """The observation whose row k is this one's row ``vertices[k]``."""
        return Observation(*(getattr(self, f.name)[vertices] for f in fields(self)))


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
        maps: See :func:`person_maps`.
        appearance: Skin and hair of the work image.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        texture: ``(T, T, 3)`` uint8 RGB, see :func:`sharpen_foreground`.
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


def observe(
    model: HeadModel,
    vertices: NDArray[np.floating],
    work: WorkImage,
    matte: NDArray[np.float32],
    maps: PersonMaps,
    appearance: Appearance,
    hair_zone: NDArray[np.bool_],
) -> Observation:
    """What the photo shows of every vertex; the arguments are those of :func:`complete`."""
    surface, mirror = model.fine, model.fine.mirror
    photo_xy = work.intrinsics.project(vertices)
    normals = surface.topology.vertex_normals(vertices)
    cosine = facing(normals, vertices)
    hair_seen = sample_bilinear(appearance.hair, photo_xy)

    seen, visible = visibility(
        surface, vertices, photo_xy, cosine, work, matte, maps.depth, hair_seen * hair_zone
    )
    # A collar does not turn with the neck: its pixels say nothing about the skin below.
    foreign = smoothstep(*_CLOTH_DISTANCE, sample_bilinear(appearance.neck_distance, photo_xy))
    foreign *= (1.0 - hair_seen) * smoothstep(*_NECK_HEIGHT, surface.vertices[:, 1])
    # A face of the mesh with one corner on it would drag its colour over the skin beside it.
    seen *= surface.topology.neighbour_min(1.0 - foreign)
    visible *= 1.0 - foreign
    seen_colour = np.log(np.clip(sample_bilinear(maps.colour, photo_xy), 3.0, 255.0))
    # A rim of light or of background along the outline would be stretched over the whole side.
    brighter = (seen_colour - seen_colour[mirror]).mean(1) * (cosine[mirror] > cosine)
    rim = smoothstep(*_RIM_CONTRAST, np.abs(brighter)) * smoothstep(*_RIM_COSINE, cosine)
    seen *= 1.0 - rim * smoothstep(0.2, 0.6, seen[mirror])
    seen *= 1.0 - _glare(surface, seen_colour, seen, cosine, normals, hair_zone)
    opened = openings(surface, normals, photo_xy, maps.openings)
    return Observation(
        xy=photo_xy,
        normals=normals,
        cosine=cosine,
        confidence=np.where(opened >= 0.0, opened, seen),
        visible=np.where(opened >= 0.0, opened, visible),
        colour=seen_colour,
        hair=hair_seen,
        skin_like=_skin_like(surface, photo_xy, appearance),
        deep_inside=smoothstep(0.2, 0.8, sample_bilinear(maps.deep_inside, photo_xy)),
    )


def _glare(
    surface: HeadSurface,
    colour: NDArray[np.floating],
    confidence: NDArray[np.floating],
    cosine: NDArray[np.floating],
    normals: NDArray[np.floating],
    hair_zone: NDArray[np.bool_],
) -> NDArray[np.floating]:
    """How far skin at the rim of the face is brighter than the light on its middle makes it."""
    zones = surface.zones
    skin = zones.skin & ~hair_zone & (zones.neck_weight > 0.6)
    luma = colour.mean(axis=1)
    middle = skin * confidence * smoothstep(*_RIM_COSINE[::-1], cosine)
    if np.count_nonzero(middle) < 200:
        return np.zeros(len(luma))
    light = _linear_light(luma, normals, middle)
    brighter = luma - light[0] - normals @ light[1:]
    return np.asarray(skin * smoothstep(*_GLARE, brighter) * smoothstep(*_RIM_COSINE, cosine))


def doubt_backlight(
    model: HeadModel,
    seen: Observation,
    hair_zone: NDArray[np.bool_],
    hair_texture: HairTexture | None,
) -> Observation:
    """What a photo shows, but less sure of hair at the rim that light from behind shines through.

    Args:
        model: The head model.
        seen: What the photo shows.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        hair_texture: Of the hair in it, if there is any.
    """
    if hair_texture is None:
        return seen
    near = hair_zone.astype(np.float64)
    for _ in range(4):
        near = model.fine.topology.neighbour_mean(near)
    brighter = seen.colour.mean(axis=1) - hair_texture.brightest
    doubt = smoothstep(*_BACKLIGHT, brighter) * smoothstep(*_BACKLIT_COSINE, seen.cosine)
    doubt *= smoothstep(*_STRANDS, seen.hair) * (near > 0.0)
    return replace(seen, confidence=seen.confidence * (1.0 - doubt))


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
    hair = _hair_label(
        model.coarse,
        confidence[:n],
        coarse.hair,
        coarse_other,
        hair_zone[:n],
        hair_texture is not None,
    )
    shading = _shading(surface, seen.colour, confidence, model.subdivide(hair), seen.normals)
    shading = shading[:, None]
    second_shading = shading if stand_in.matched else shading[stand_in.vertex]
    difference, albedo = _albedo(
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


def visibility(
    surface: HeadSurface,
    vertices: NDArray[np.floating],
    photo_xy: NDArray[np.floating],
    cosine: NDArray[np.floating],
    work: WorkImage,
    matte: NDArray[np.float32],
    inside: NDArray[np.float32],
    hair: NDArray[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """How well the photo shows each vertex, and whether it shows it at all, in [0, 1].

    Args:
        surface: The surface.
        vertices: ``(V, 3)`` camera space.
        photo_xy: ``(V, 2)`` work pixels.
        cosine: ``(V,)`` to the camera.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        inside: ``(S, S)`` float32, see :func:`depth_inside`.
        hair: ``(V,)`` probability of hair.
    """
    zones, topology = surface.zones, surface.topology
    size = len(work.image)
    depth = view_fragments(vertices, topology.faces, work.intrinsics, size).depth
    column, row = np.clip(np.round(photo_xy), 0, size - 1).astype(int).T
    tolerance = _DEPTH_TOLERANCE + _SLOPE_TOLERANCE * (1.0 - np.clip(cosine, 0.0, 1.0))
    in_front = (vertices[:, 2] < depth[row, column] + tolerance) & (cosine > 0.0)
    in_frame = ((photo_xy > 1) & (photo_xy < size - 2)).all(1)
    on_person = smoothstep(0.3, 0.8, sample_bilinear(matte, photo_xy))
    shown = in_front * in_frame * sample_bilinear(work.inside, photo_xy) * on_person

    trust = smoothstep(*_COSINE, cosine)
    # The template's ears rarely lie exactly on the photo's: keep clear of their rim.
    clear = smoothstep(0.01, 0.03, sample_bilinear(inside, photo_xy))
    ear = smoothstep(*_COSINE, cosine - _EAR_COSINE) * clear
    ear = hair * trust + (1.0 - hair) * ear
    seen = shown * np.where(zones.ear, ear, trust)
    seen = 0.25 * seen + 0.75 * topology.neighbour_min(seen)
    visible = shown * smoothstep(0.0, 0.08, cosine)
    for _ in range(2):
        seen = np.minimum(seen, 0.4 * seen + 0.6 * topology.neighbour_mean(seen))
    visible = np.minimum(visible, 0.5 * visible + 0.5 * topology.neighbour_mean(visible))
    return seen, visible


def openings(
    surface: HeadSurface,
    normals: NDArray[np.floating],
    photo_xy: NDArray[np.floating],
    shown: Sequence[NDArray[np.float32]],
) -> NDArray[np.floating]:
    """Confidence of what lies in the mouth and between the eyelids; -1 everywhere else.

    Eyeballs, teeth and tongue are seen exactly where the photo's lips and eyelids are open.

    Args:
        surface: The surface.
        normals: ``(V, 3)`` camera space.
        photo_xy: ``(V, 2)`` work pixels.
        shown: See :func:`opening_maps`.
    """
    inside_mouth = (surface.part >= Part.UPPER_TEETH) | surface.zones.mouth_bag
    left, right = surface.part == Part.LEFT_EYE, surface.part == Part.RIGHT_EYE
    confidence: NDArray[np.floating] = np.full(len(photo_xy), -1.0)
    size = len(shown[0])
    for vertices, opening in zip((inside_mouth, left, right), shown, strict=True):
        points = photo_xy[vertices]
        in_frame = ((points > 1) & (points < size - 2)).all(1)
        confidence[vertices] = smoothstep(0.2, 0.7, sample_bilinear(opening, points)) * in_frame
    # The back of an eyeball is never seen.
    return np.where((left | right) & (normals[:, 2] > 0.3), 0.0, confidence)


def _hair_label(
    surface: HeadSurface,
    confidence: NDArray[np.floating],
    hair_seen: NDArray[np.floating],
    other: Observation,
    hair_zone: NDArray[np.bool_],
    has_hair: bool,
) -> NDArray[np.floating]:
    """Hair on each vertex, in [0, 1]: seen where the photo shows it, else continued."""
    if not has_hair:
        return np.zeros(len(confidence))
    zones, topology = surface.zones, surface.topology
    near = hair_zone.astype(np.float64)
    for _ in range(3):
        near = topology.neighbour_mean(near)
    zone = zones.skin & (near > 0.06) & ((surface.vertices[:, 1] > 79.0) | hair_zone)
    zone &= ~zones.pinna | hair_zone
    prior, prior_weight = hair_zone.astype(np.float64), 0.08
    weight = confidence + 0.3 * other.confidence + prior_weight
    data = confidence * hair_seen * zone + prior_weight * prior
    data += 0.3 * other.confidence * other.hair * zone
    label = topology.smooth_field(data / weight, weight, 0.25)
    label = 0.5 * label + 0.5 * topology.neighbour_mean(label)
    return smoothstep(0.12, 0.75, label) * zones.skin


def _albedo(
    surface: HeadSurface,
    seen: Observation,
    other: Observation,
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
    other_hair: NDArray[np.floating],
    hair_texture: HairTexture | None,
    matched: bool,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Colour without shading of each vertex, natural log.

    Args:
        surface: The coarse surface.
        seen: What the photo shows; its colours are free of shading.
        other: What stands in for it, likewise.
        confidence: ``(V,)`` in [0, 1], that of ``seen`` less where ``other`` is better.
        hair: ``(V,)`` in [0, 1].
        other_hair: ``(V,)`` in [0, 1], on the vertices that stand in.
        hair_texture: Of the hair on the head, if there is any.
        matched: The colours of ``other`` are those that ``seen`` would have.

    Returns:
        ``difference`` ``(V, 3)`` between each vertex and what stands in for it, continued from
        where both are seen; ``albedo`` ``(V, 3)``, continued from where either is seen.
    """
    topology, zones = surface.topology, surface.zones
    i, j = topology.edges.T
    own_kind = 0.005 + 0.995 * np.exp(-(((hair[i] - hair[j]) / 0.18) ** 2))
    at_ear = np.where(zones.pinna[i] != zones.pinna[j], 0.06, 1.0)

    def kinds(
        photo: Observation, label: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """How far a photo shows skin and hair at each vertex."""
        strands = label**2 * smoothstep(0.5, 0.9, photo.hair)
        return (1.0 - label) ** 2 * photo.skin_like, strands * (0.03 + 0.97 * photo.deep_inside)

    bare, covered = kinds(seen, hair)
    other_bare, other_covered = kinds(other, other_hair)
    difference = np.zeros_like(seen.colour)
    if not matched:
        same_kind = bare * other_bare + covered * other_covered
        both = 2.0 * seen.confidence * other.confidence * same_kind
        both *= smoothstep(*_MATCHED_COSINE, np.minimum(seen.cosine, other.cosine))
        known = both + _UNKNOWN_DIFFERENCE
        apart = (both / known)[:, None] * (seen.colour - other.colour)
        difference = topology.smooth_field(apart, known, own_kind)

    borrowed = 0.8 * other.confidence * (1.0 - confidence)
    lent_colour = other.colour + difference
    skin_prior = _prior_albedo(surface, seen.colour, confidence, hair)

    def spread(
        own: NDArray[np.floating],
        lent: NDArray[np.floating],
        prior: NDArray[np.floating],
        prior_weight: float,
        stiffness: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        weight = own + lent + prior_weight
        data = own[:, None] * seen.colour + lent[:, None] * lent_colour + prior_weight * prior
        return topology.smooth_field(data / weight[:, None], weight, 0.3 * stiffness)

    # Skin is continued from skin and hair from hair: one field for both would blend them.
    skin = spread(confidence * bare, borrowed * bare * other_bare, skin_prior, 0.004, at_ear)
    if hair_texture is None:
        return difference, skin

    def pure(colour: NDArray[np.floating]) -> NDArray[np.floating] | float:
        """How far a colour is the hair's alone: thin hair shows skin, its rim light from behind."""
        if not hair_texture.narrow:
            return 1.0
        away = ((colour - hair_texture.colour) ** 2).sum(axis=1)
        return np.asarray(np.exp(-away / (2.0 * _MIXED**2)))

    strands = spread(
        confidence * covered * pure(seen.colour),
        borrowed * covered * other_covered * pure(lent_colour),
        hair_texture.colour,
        0.015,
        np.ones(len(i)),
    )
    return difference, skin + hair[:, None] * (strands - skin)


def _shading(
    surface: HeadSurface,
    low: NDArray[np.floating],
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
    normals: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Log of the light on each vertex: linear in the normal as fitted to the skin, and occluded."""
    zones = surface.zones
    weight = confidence * ((confidence > 0.5) & (hair < 0.3) & (zones.neck_weight > 0.6))
    weight = weight * zones.skin
    light: NDArray[np.floating] = np.zeros(len(low))
    if (weight > 0).sum() > 200:
        linear = _linear_light(low.mean(1), normals, weight)
        # A fraction of it: what was lit from one side only says little about the other.
        light = np.clip(0.4 * (normals @ linear[1:]), -0.2, 0.18)
        light -= np.average(light, weights=weight)
    occlusion = 0.35 * np.log(np.clip(surface.ambient_occlusion, 0.12, 1.0))
    # Ears that hair covers have no hollows.
    occlusion = occlusion * (1.0 - np.where(zones.ear_surround, 1.0, 0.5) * hair)
    return light * (1.0 - 0.6 * hair) + occlusion


def _linear_light(
    luma: NDArray[np.floating], normals: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Log brightness ``(V,)`` as a constant and a linear function of the normal, ``(4,)``."""
    basis = np.c_[np.ones(len(luma)), normals]
    system = basis.T @ (basis * weight[:, None]) + np.diag([1e-6, 30.0, 30.0, 30.0])
    return np.asarray(np.linalg.solve(system, basis.T @ (luma * weight)))


def _skin_like(
    surface: HeadSurface, photo_xy: NDArray[np.floating], appearance: Appearance
) -> NDArray[np.floating]:
    """1 where the photo's colour at a vertex can be that of skin, in [0, 1].

    In the face anything goes: beards, glasses, shadows. Around it, on neck, ears and temples, what
    does not look like the face's skin is clothing or loose hair.
    """
    _, y, z = surface.vertices.T
    face = smoothstep(7.5, 9.5, z) * smoothstep(71.0, 73.0, y)
    strange = smoothstep(*_CLOTH_DISTANCE, sample_bilinear(appearance.neck_distance, photo_xy))
    return np.asarray(1.0 - strange * (1.0 - face))


def _prior_albedo(
    surface: HeadSurface,
    albedo: NDArray[np.floating],
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Log colours ``(V, 3)`` of skin and what lies in it, far from everything that was seen."""
    zones = surface.zones
    bare = confidence * (hair < 0.25) * (zones.neck_weight > 0.5) * zones.skin
    skin = np.average(albedo, axis=0, weights=bare + 1e-9)
    prior = np.tile(skin, (len(albedo), 1))
    darker = np.minimum(0.0, skin - np.log([200.0, 160.0, 140.0]))  # than evenly lit light skin
    eye = (surface.part == Part.LEFT_EYE) | (surface.part == Part.RIGHT_EYE)
    teeth = (surface.part == Part.UPPER_TEETH) | (surface.part == Part.LOWER_TEETH)
    prior[zones.mouth_bag] = skin - 1.0
    prior[eye] = np.log([185.0, 180.0, 175.0]) + darker
    prior[teeth] = np.log([190.0, 180.0, 165.0]) + darker
    prior[surface.part == Part.TONGUE] = skin - 0.5
    return prior
