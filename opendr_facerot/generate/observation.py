"""What one photo shows of each vertex of a head, and how far that can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import LEFT_EYE_CONTOUR, LIPS_INNER, RIGHT_EYE_CONTOUR
from opendr_facerot.filters import blur, disc, sample_bilinear, smoothstep
from opendr_facerot.generate.hair_texture import HairTexture
from opendr_facerot.generate.light import linear_light
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel, HeadSurface, Part
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.projection import facing, view_fragments

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


def observe(
    model: HeadModel,
    vertices: NDArray[np.floating],
    work: WorkImage,
    matte: NDArray[np.float32],
    maps: PersonMaps,
    appearance: Appearance,
    hair_zone: NDArray[np.bool_],
) -> Observation:
    """What the photo shows of every vertex.

    Args:
        model: The head model.
        vertices: ``(V, 3)`` fine vertices, camera space, after the silhouette fit.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        maps: See :func:`person_maps`.
        appearance: Skin and hair of the work image.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
    """
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


def hair_label(
    surface: HeadSurface,
    confidence: NDArray[np.floating],
    hair_seen: NDArray[np.floating],
    other: Observation,
    hair_zone: NDArray[np.bool_],
    has_hair: bool,
) -> NDArray[np.floating]:
    """Hair on each vertex: seen where the photo shows it, else continued.

    Args:
        surface: The surface.
        confidence: ``(V,)`` in [0, 1], how far the photo shows each vertex.
        hair_seen: ``(V,)`` in [0, 1], hair in the photo there.
        other: What stands in for each vertex.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        has_hair: There is hair at all.

    Returns:
        ``(V,)`` in [0, 1].
    """
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
    light = linear_light(luma, normals, middle)
    brighter = luma - light[0] - normals @ light[1:]
    return np.asarray(skin * smoothstep(*_GLARE, brighter) * smoothstep(*_RIM_COSINE, cosine))


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
