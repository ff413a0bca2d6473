"""What each point of a head looks like: where the photo shows it, and what to show where it does not.

Everything here is per vertex of the fine head mesh; a view samples the photo itself per pixel (see
:mod:`opendr_facerot.render.texture`). A surface point takes its colour from

1. its own pixel in the photo, as far as the photo saw it well (``confidence``);
2. the pixel of its mirror point, as far as that was seen, matched to this side's light
   (``mirror_confidence``, ``mirror_correction``);
3. a smooth colour that continues what was seen nearby (``fill``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import LEFT_EYE_CONTOUR, LIPS_INNER, RIGHT_EYE_CONTOUR
from opendr_facerot.filters import blur, disc, pull_push, sample_bilinear, smoothstep
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel, Part
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.projection import facing, view_fragments
from opendr_facerot.render.texture import VertexAppearance

_DEPTH_TOLERANCE = 0.3  # centimetres behind the photo's front surface that still count as seen
_SLOPE_TOLERANCE = 0.25  # more of them at grazing angles
_SKIN_COSINE = (0.12, 0.42)  # cosine to the camera at which a sample starts and ends to be trusted
_HAIR_COSINE = (0.04, 0.25)  # hair is rough: its rim looks much like its middle
_EAR_COSINE = 0.3  # an ear seen from the front is a sliver: ask for more
_LARGEST_CORRECTION = 0.8  # natural log


def interior_of(matte: NDArray[np.float32], face_height: float) -> NDArray[np.bool_]:
    """Pixels that surely show the person: well inside the matte."""
    return cv2.erode((matte > 0.6).astype(np.uint8), disc(0.012 * face_height)) > 0


def extend_foreground(
    work: WorkImage, interior: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The work image with the person's colours continued over the background.

    Returns:
        ``(S, S, 3)`` float32 RGB 0..255.
    """
    inner = interior.astype(np.float32)
    soft = blur(inner, max(0.6, 0.005 * work.face_height)) * inner
    return pull_push(work.image.astype(np.float32), soft)


def complete(
    model: HeadModel,
    vertices: NDArray[np.float64],
    work: WorkImage,
    matte: NDArray[np.float32],
    foreground: NDArray[np.float32],
    appearance: Appearance,
) -> VertexAppearance:
    """Decide for every vertex what it looks like.

    Args:
        model: The head model.
        vertices: ``(V, 3)`` fine vertices, camera space, after the silhouette fit.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        foreground: ``(S, S, 3)`` float32, see :func:`extend_foreground`.
        appearance: Skin and hair of the work image.
    """
    zones, mirror = model.zones, model.mirror
    photo_xy = work.intrinsics.project(vertices)
    normals = model.topology.vertex_normals(vertices)
    cosine = facing(normals, vertices)
    hair_seen = sample_bilinear(appearance.hair, photo_xy)

    seen, visible = _visibility(model, vertices, photo_xy, cosine, work, matte, hair_seen)
    openings = _openings(model, normals, photo_xy, work)
    confidence = np.where(openings >= 0.0, openings, seen)
    visible = np.where(openings >= 0.0, openings, visible)

    outer = zones.skin & ~zones.mouth_bag
    mirror_confidence = confidence[mirror] * outer
    # A strand of hair that hangs over one cheek is not mirrored onto the other.
    strand = smoothstep(0.25, 0.6, hair_seen[mirror]) * (1.0 - smoothstep(0.3, 0.6, hair_seen))
    mirror_confidence *= np.where(zones.scalp, 1.0, 1.0 - strand)
    better = smoothstep(0.2, 0.5, cosine[mirror] - cosine) * mirror_confidence
    confidence = confidence * (1.0 - 0.8 * better * outer)

    hair = _hair_label(model, confidence, mirror_confidence, hair_seen, appearance)
    correction, fill = _colours(
        model, photo_xy, work, matte, foreground, confidence, mirror_confidence, hair, normals
    )
    return VertexAppearance(
        foreground=np.clip(foreground, 0, 255).astype(np.uint8),
        photo_xy=photo_xy.astype(np.float32),
        confidence=confidence.astype(np.float32),
        mirror_confidence=mirror_confidence.astype(np.float32),
        mirror_correction=correction.astype(np.float32),
        fill=fill.astype(np.float32),
        source_cosine=cosine.astype(np.float32),
        visible=visible.astype(np.float32),
    )


def _visibility(
    model: HeadModel,
    vertices: NDArray[np.float64],
    photo_xy: NDArray[np.float64],
    cosine: NDArray[np.float64],
    work: WorkImage,
    matte: NDArray[np.float32],
    hair_seen: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well the photo shows each vertex, and whether it shows it at all, in [0, 1]."""
    zones, topology = model.zones, model.topology
    size = len(work.image)
    depth = view_fragments(vertices, topology.faces, work.intrinsics, size).depth
    column, row = np.clip(np.round(photo_xy), 0, size - 1).astype(int).T
    tolerance = _DEPTH_TOLERANCE + _SLOPE_TOLERANCE * (1.0 - np.clip(cosine, 0.0, 1.0))
    in_front = (vertices[:, 2] < depth[row, column] + tolerance) & (cosine > 0.0)
    in_frame = ((photo_xy > 1) & (photo_xy < size - 2)).all(1)
    on_person = smoothstep(0.3, 0.8, sample_bilinear(matte, photo_xy))
    shown = in_front * in_frame * sample_bilinear(work.inside, photo_xy) * on_person

    hair_zone = hair_seen * zones.scalp
    trust = hair_zone * smoothstep(*_HAIR_COSINE, cosine)
    trust += (1.0 - hair_zone) * smoothstep(*_SKIN_COSINE, cosine)
    # The template's ears rarely lie exactly on the photo's: keep clear of their rim.
    person = (matte >= 0.5).astype(np.uint8)
    inside = cv2.distanceTransform(person, cv2.DIST_L2, 5) / work.face_height
    clear = smoothstep(0.01, 0.03, sample_bilinear(inside, photo_xy))
    ear = smoothstep(*_SKIN_COSINE, cosine - _EAR_COSINE) * clear
    seen = shown * np.where(zones.ear, ear, trust)
    seen = 0.25 * seen + 0.75 * topology.neighbour_min(seen)
    visible = shown * smoothstep(0.0, 0.08, cosine)
    for _ in range(2):
        seen = np.minimum(seen, 0.4 * seen + 0.6 * topology.neighbour_mean(seen))
    visible = np.minimum(visible, 0.5 * visible + 0.5 * topology.neighbour_mean(visible))
    return seen, visible


def _openings(
    model: HeadModel,
    normals: NDArray[np.float64],
    photo_xy: NDArray[np.float64],
    work: WorkImage,
) -> NDArray[np.float64]:
    """Confidence of what lies in the mouth and between the eyelids; -1 everywhere else.

    Eyeballs, teeth and tongue are seen exactly where the photo's lips and eyelids are open.
    """
    inside_mouth = (model.part >= Part.UPPER_TEETH) | model.zones.mouth_bag
    openings = (
        (LIPS_INNER, inside_mouth),
        (LEFT_EYE_CONTOUR, model.part == Part.LEFT_EYE),
        (RIGHT_EYE_CONTOUR, model.part == Part.RIGHT_EYE),
    )
    confidence = np.full(len(photo_xy), -1.0)
    size = len(work.image)
    in_frame = ((photo_xy > 1) & (photo_xy < size - 2)).all(1)
    for contour, vertices in openings:
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [np.round(work.landmarks[contour, :2]).astype(np.int32)], 255)
        soft = blur(mask.astype(np.float32) / 255.0, 0.01 * work.face_height)
        open_here = smoothstep(0.2, 0.7, sample_bilinear(soft, photo_xy)) * in_frame
        confidence = np.where(vertices, open_here, confidence)
    # The back of an eyeball is never seen.
    eye = (model.part == Part.LEFT_EYE) | (model.part == Part.RIGHT_EYE)
    return np.where(eye & (normals[:, 2] > 0.3), 0.0, confidence)


def _hair_label(
    model: HeadModel,
    confidence: NDArray[np.float64],
    mirror_confidence: NDArray[np.float64],
    hair_seen: NDArray[np.float32],
    appearance: Appearance,
) -> NDArray[np.float64]:
    """Hair on each vertex, in [0, 1]: seen where the photo shows it, else continued."""
    if not appearance.has_hair:
        return np.zeros(len(confidence))
    zones, topology = model.zones, model.topology
    near_scalp = zones.scalp.astype(np.float64)
    for _ in range(6):
        near_scalp = topology.neighbour_mean(near_scalp)
    zone = zones.skin & ~zones.ear & (near_scalp > 0.06) & (model.vertices[:, 1] > 79.0)
    own, mirrored = hair_seen * zone, (hair_seen * zone)[model.mirror]
    prior, prior_weight = zones.scalp.astype(np.float64), 0.08
    weight = confidence + 0.3 * mirror_confidence + prior_weight
    data = confidence * own + 0.3 * mirror_confidence * mirrored + prior_weight * prior
    label = topology.smooth_field(data / weight, weight, 0.25)
    label = 0.5 * label + 0.5 * topology.neighbour_mean(label)
    return smoothstep(0.12, 0.75, label) * zones.skin


def _colours(
    model: HeadModel,
    photo_xy: NDArray[np.float64],
    work: WorkImage,
    matte: NDArray[np.float32],
    foreground: NDArray[np.float32],
    confidence: NDArray[np.float64],
    mirror_confidence: NDArray[np.float64],
    hair: NDArray[np.float64],
    normals: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mirror correction and fill colour of each vertex, natural log, ``(V, 3)`` each."""
    zones, topology, mirror = model.zones, model.topology, model.mirror
    low = np.log(np.clip(_low_frequencies(work, matte, foreground, photo_xy, model), 3.0, 255.0))
    shading = _shading(model, low, confidence, hair, normals)[:, None]
    albedo = low - shading

    # Colours spread within skin and within hair, hardly across their border or the ear's.
    i, j = topology.edges.T
    stiffness = 0.005 + 0.995 * np.exp(-(((hair[i] - hair[j]) / 0.18) ** 2))
    stiffness = stiffness * np.where(zones.ear[i] != zones.ear[j], 0.06, 1.0)

    both = confidence * confidence[mirror]
    difference = albedo - albedo[mirror]
    matched = topology.smooth_field(difference, 2.0 * both + 1e-4, stiffness)

    own = confidence * np.where(hair > 0.3, 0.03 + 0.97 * _deep_inside(work, matte, photo_xy), 1.0)
    borrowed = 0.8 * mirror_confidence * (1.0 - confidence)
    prior = _prior_colour(model, albedo, own, hair)
    prior_weight = np.where(hair > 0.5, 0.015, 0.004)
    weight = own + borrowed + prior_weight
    data = own[:, None] * albedo + borrowed[:, None] * (albedo[mirror] + matched)
    data = (data + prior_weight[:, None] * prior) / weight[:, None]
    fill = topology.smooth_field(data, weight, 0.3 * stiffness) + shading

    correction = matched + shading - shading[mirror]
    return np.clip(correction, -_LARGEST_CORRECTION, _LARGEST_CORRECTION), fill


def _low_frequencies(
    work: WorkImage,
    matte: NDArray[np.float32],
    foreground: NDArray[np.float32],
    photo_xy: NDArray[np.float64],
    model: HeadModel,
) -> NDArray[np.float32]:
    """Blurred colour of the person at each vertex, RGB 0..255."""
    weight = interior_of(matte, work.face_height).astype(np.float32) + 1e-4
    sigma = 0.013 * work.face_height
    soft = blur(foreground * weight[..., None], sigma) / blur(weight, sigma)[..., None]
    return sample_bilinear(soft, photo_xy)


def _deep_inside(
    work: WorkImage, matte: NDArray[np.float32], photo_xy: NDArray[np.float64]
) -> NDArray[np.floating]:
    """1 well inside the person, 0 at its rim, where hair is mixed with background."""
    radius = max(2.0, 0.035 * work.face_height)
    core = cv2.erode((matte > 0.6).astype(np.float32), disc(radius))
    return smoothstep(0.2, 0.8, sample_bilinear(blur(core, 0.5 * radius), photo_xy))


def _shading(
    model: HeadModel,
    low: NDArray[np.floating],
    confidence: NDArray[np.float64],
    hair: NDArray[np.float64],
    normals: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log of the light on each vertex: linear in the normal as fitted to the skin, and occluded."""
    zones = model.zones
    weight = confidence * ((confidence > 0.5) & (hair < 0.3) & (zones.neck_weight > 0.6))
    weight = weight * zones.skin
    light = np.zeros(len(low))
    if (weight > 0).sum() > 200:
        basis = np.c_[np.ones(len(low)), normals]
        system = basis.T @ (basis * weight[:, None]) + np.diag([1e-6, 30.0, 30.0, 30.0])
        linear = np.linalg.solve(system, basis.T @ (low.mean(1) * weight))[1:]
        # A fraction of it: what was lit from one side only says little about the other.
        light = np.clip(0.4 * (normals @ linear), -0.2, 0.18)
        light -= np.average(light, weights=weight)
    occlusion = 0.35 * np.log(np.clip(model.ambient_occlusion, 0.12, 1.0))
    return light * (1.0 - 0.6 * hair) + occlusion * (1.0 - 0.5 * hair)


def _prior_colour(
    model: HeadModel,
    albedo: NDArray[np.floating],
    weight: NDArray[np.float64],
    hair: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log colour ``(V, 3)`` to fall back on far from everything that was seen."""
    zones = model.zones

    def mean(w: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.average(albedo, axis=0, weights=w + 1e-9))

    skin = mean(weight * (hair < 0.25) * (zones.neck_weight > 0.5) * zones.skin)
    sure_hair = (weight > 0.3) & (hair > 0.8) & zones.scalp
    if sure_hair.sum() > 40:
        hair_colour = np.percentile(albedo[sure_hair], 45, axis=0)
    elif (weight * (hair > 0.6)).sum() > 5.0:
        hair_colour = mean(weight * (hair > 0.6) * zones.skin)
    else:
        hair_colour = skin
    prior = hair[:, None] * hair_colour + (1.0 - hair[:, None]) * skin
    darker = np.minimum(0.0, skin - np.log([200.0, 160.0, 140.0]))  # than evenly lit light skin
    eye = (model.part == Part.LEFT_EYE) | (model.part == Part.RIGHT_EYE)
    teeth = (model.part == Part.UPPER_TEETH) | (model.part == Part.LOWER_TEETH)
    prior[zones.mouth_bag] = skin - 1.0
    prior[eye] = np.log([185.0, 180.0, 175.0]) + darker
    prior[teeth] = np.log([190.0, 180.0, 165.0]) + darker
    prior[model.part == Part.TONGUE] = skin - 0.5
    return prior
