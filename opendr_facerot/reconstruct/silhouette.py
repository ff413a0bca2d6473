"""Pulling the outline of a fitted head onto the outline of the person in the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import sample_bilinear
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.head_model import HeadModel, Part
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.projection import facing, view_fragments

_PASSES = 2
_SEARCH = (-3.0, 7.0)  # centimetres inwards and outwards
_SEARCH_STEPS = 160
_INWARD_LIMIT, _HAIR_LIMIT, _BALD_LIMIT = -2.5, 4.5, 2.0
_SKIN_MARGIN = 0.12  # stay this far inside the matte: its edge pixels are mixed with background
_SCALP_MARGIN = 0.05
_HAIR_SHARE = 0.45  # hair on the way out for the surface to follow it
_TEMPLE_BAND, _EAR_BAND, _NECK_BAND = (84.0, 90.0), (79.0, 84.0), (74.0, 79.0)  # template heights
_COVERED_MEAN, _COVERED_LEAST = 1.7, 0.7  # centimetres of hair beside both ears, and beside each
_LONG_HAIR = 1.5  # centimetres of hair beside the neck


def hide_covered_ears(
    model: HeadModel,
    vertices: NDArray[np.floating],
    rotation: NDArray[np.floating],
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Flatten the ears if hair hangs over them.

    An ear is covered where hair stands out from the head beside it, not where it merely looks dark.

    Args:
        model: The head model.
        vertices: ``(V, 3)`` fine vertices, camera space (centimetres).
        rotation: ``(3, 3)`` from template axes to camera axes.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        appearance: Skin and hair of the work image.

    Returns:
        The vertices, and the zone ``(V,)`` bool where hair grows or hangs: the scalp, covered ears,
        and the sides and back of the neck below long hair.
    """
    if not appearance.has_hair:
        return vertices, model.fine.zones.scalp
    surface, zones = model.fine, model.fine.zones
    x, y, z = surface.vertices.T
    pixels_per_cm = work.intrinsics.focal / vertices[:, 2].mean()
    outline = _outline(model, vertices, work, pixels_per_cm)
    cosine = facing(surface.topology.vertex_normals(vertices), vertices)
    ears = [(zones.ear & (side * x > 0) & (cosine > 0.1)).sum() for side in (-1.0, 1.0)]

    def hair_beside(side: float, lowest: float, highest: float) -> float:
        """Median thickness in centimetres of the hair beside the head between two heights."""
        index = np.flatnonzero(outline & (side * x > 0) & (y > lowest) & (y <= highest))
        if not len(index):
            return 0.0
        away = side * rotation[:2, 0] / np.linalg.norm(rotation[:2, 0])
        direction = np.broadcast_to(away * pixels_per_cm, (len(index), 2))
        pixels = work.intrinsics.project(vertices[index])
        distance, hair_share, _ = _march(pixels, direction, matte, appearance.hair)
        return float(np.median(np.where(hair_share > 0.5, np.maximum(distance, 0.0), 0.0)))

    # The side that is turned away shows the back of the head beside it: take the other's word.
    sides = [-1.0, 1.0]
    if min(ears) < 0.35 * max(ears):
        sides = [sides[int(np.argmax(ears))]]
    scores = [hair_beside(s, *_EAR_BAND) + 0.25 * hair_beside(s, *_TEMPLE_BAND) for s in sides]
    if not (np.mean(scores) > _COVERED_MEAN and min(scores) > _COVERED_LEAST):
        return vertices, zones.scalp
    zone = zones.scalp | zones.ear_surround
    if np.mean([hair_beside(s, *_NECK_BAND) for s in sides]) > _LONG_HAIR:
        zone = zone | ((y > 69.0) & (y < 80.0) & (z < 6.5) & zones.skin & ~zones.mouth_bag)
    return model.flatten_ears(vertices), zone


@dataclass(frozen=True, eq=False)
class Sight:
    """A head as one photo shows it.

    Attributes:
        vertices: ``(V, 3)`` fine vertices, camera space (centimetres).
        rotation: ``(3, 3)`` from template axes to camera axes.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        appearance: Skin and hair of the work image.
    """

    vertices: NDArray[np.floating]
    rotation: NDArray[np.floating]
    work: WorkImage
    matte: NDArray[np.float32]
    appearance: Appearance


def fit_silhouette(
    model: HeadModel,
    vertices: NDArray[np.floating],
    rotation: NDArray[np.floating],
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
    hair_zone: NDArray[np.bool_],
) -> NDArray[np.floating]:
    """Move the outline of the head onto the matte's contour.

    Vertices on the outline look along their outward direction for the contour. The hair zone
    follows it out where there is hair on the way, everything else is only ever pulled in, so that
    no background pixel lands on skin. The offsets are spread over the mesh as a smooth field.

    Args:
        model: The head model.
        vertices: ``(V, 3)`` fine vertices, camera space (centimetres).
        rotation: ``(3, 3)`` from template axes to camera axes.
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        appearance: Skin and hair of the work image.
        hair_zone: ``(V,)`` bool, see :func:`hide_covered_ears`.

    Returns:
        ``(V, 3)`` moved vertices.
    """
    sight = Sight(vertices, rotation, work, matte, appearance)
    return fit_silhouettes(model, [sight], hair_zone)[0]


def fit_silhouettes(
    model: HeadModel, sights: Sequence[Sight], hair_zone: NDArray[np.bool_]
) -> list[NDArray[np.floating]]:
    """Move the outline of one head onto the contours of several photos' mattes.

    Args:
        model: The head model.
        sights: The head in each photo.
        hair_zone: ``(V,)`` bool, see :func:`hide_covered_ears`.

    Returns:
        The ``(V, 3)`` vertices in each photo, all moved by one field of offsets.
    """
    # The offsets are smooth: finding them on the coarse mesh is as good, and far cheaper.
    surface = model.coarse
    count = len(surface.vertices)
    edge_part = surface.part[surface.topology.edges[:, 0]]
    stiffness = np.where(edge_part == Part.SKIN, 1.5, 1.0)
    total = np.zeros(count)
    for _ in range(_PASSES):
        found = [_outline_offsets(model, sight, total, hair_zone[:count]) for sight in sights]
        weight = np.sum([w for _, w in found], axis=0)
        data = np.sum([d * w for d, w in found], axis=0) / np.maximum(weight, 1e-12)
        if not data.any():
            break
        total += surface.topology.smooth_field(data, weight, stiffness)
    lift = model.fine.outward * model.subdivide(total)[:, None]
    return [sight.vertices + lift @ sight.rotation.T for sight in sights]


def _outline_offsets(
    model: HeadModel,
    sight: Sight,
    lift: NDArray[np.floating],
    hair_zone: NDArray[np.bool_],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """How far one photo asks the head to be moved outwards.

    Args:
        model: The head model.
        sight: The head in the photo.
        lift: ``(n,)`` how far its coarse vertices are moved outwards already, centimetres.
        hair_zone: ``(n,)`` bool.

    Returns:
        Offsets ``(n,)`` of the coarse vertices, centimetres, and their weights ``(n,)``.
    """
    work, surface, zones = sight.work, model.coarse, model.coarse.zones
    count = len(lift)
    turned = model.fine.outward @ sight.rotation.T
    fine = sight.vertices + turned * model.subdivide(lift)[:, None]
    vertices, outward = fine[:count], turned[:count]
    on_screen = np.linalg.norm(outward[:, :2], axis=1)
    pixels_per_cm = work.intrinsics.focal / fine[:, 2].mean()
    outline = _outline(model, fine, work, pixels_per_cm)[:count]
    index = np.flatnonzero(outline & (on_screen > 0.45))
    data, weight = np.zeros(len(vertices)), np.zeros(len(vertices))
    if not len(index):
        return data, weight
    pixels = work.intrinsics.project(vertices[index])
    direction = outward[index, :2] / on_screen[index, None] * pixels_per_cm
    distance, hair_share, found = _march(pixels, direction, sight.matte, sight.appearance.hair)
    distance = distance / on_screen[index]

    hairy = hair_zone[index]
    offset = np.clip(distance - _SKIN_MARGIN, _INWARD_LIMIT, 0.0)
    if sight.appearance.has_hair:
        follow = hairy & (hair_share > _HAIR_SHARE)
        offset = np.where(follow, np.clip(distance, _INWARD_LIMIT, _HAIR_LIMIT), offset)
    else:
        bald = np.clip(distance - _SCALP_MARGIN, _INWARD_LIMIT, _BALD_LIMIT)
        offset = np.where(hairy, bald, offset)

    data[index] = offset
    weight[index] = np.where(found | (offset <= 0.0), 1.0, 0.15)
    normals = surface.topology.vertex_normals(vertices)
    front = zones.skin & ~hair_zone & (zones.neck_weight > 0.5)
    front &= (facing(normals, vertices) > 0.55) & (weight == 0.0)
    weight += 0.3 * front  # the landmarks already fixed the inner face
    weight += 2.0 * (surface.part != Part.SKIN) + 3.0 * zones.mouth_bag
    weight += 0.05 * (zones.neck_weight < 0.3)
    return data, weight


def _outline(
    model: HeadModel, vertices: NDArray[np.floating], work: WorkImage, pixels_per_cm: float
) -> NDArray[np.bool_]:
    """Vertices ``(V,)`` of the head and upper neck that project onto its picture's border."""
    size = len(work.image)
    covered = view_fragments(vertices, model.outline_faces, work.intrinsics, size).face_index >= 0
    depth = cv2.distanceTransform(covered.view(np.uint8), cv2.DIST_L2, 5)
    pixels = work.intrinsics.project(vertices)
    x, y = pixels.T
    outline = sample_bilinear(depth, pixels) < max(1.0, 0.16 * pixels_per_cm)
    outline &= (x > 2) & (y > 2) & (x < size - 3) & (y < size - 3)
    return outline & model.outline_vertices


def _march(
    start: NDArray[np.floating],
    direction: NDArray[np.floating],
    matte: NDArray[np.float32],
    hair: NDArray[np.float32],
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Distance from each point to the matte's contour along its direction.

    Args:
        start: ``(N, 2)`` pixels.
        direction: ``(N, 2)`` pixels per centimetre.
        matte: ``(S, S)`` person matte.
        hair: ``(S, S)`` probability of hair.

    Returns:
        ``distance`` ``(N,)`` centimetres, negative inwards; ``hair_share`` ``(N,)`` mean
        probability of hair on the way out; ``found`` ``(N,)``: the contour lies in the range.
    """
    steps = np.linspace(*_SEARCH, _SEARCH_STEPS)
    here = int(np.searchsorted(steps, 0.0))
    count = len(start)
    points = (start[:, None] + direction[:, None] * steps[None, :, None]).reshape(-1, 2)
    person = sample_bilinear(matte, points).reshape(count, -1) > 0.5
    hair_on_ray = sample_bilinear(hair, points).reshape(count, -1)

    left = ~person[:, here:]
    first_out = here + np.where(left.any(1), left.argmax(1), left.shape[1] - 1)
    inner = person[:, :here]
    last_in = np.where(inner.any(1), here - 1 - inner[:, ::-1].argmax(1), 0)
    starts_inside = person[:, here]
    distance = np.where(starts_inside, steps[first_out], steps[last_in])
    found = np.where(starts_inside, left.any(1), inner.any(1))

    cumulative = np.cumsum(np.pad(hair_on_ray, ((0, 0), (1, 0))), axis=1)
    stop = np.maximum(first_out, here + 1)
    rows = np.arange(count)
    hair_share = (cumulative[rows, stop] - cumulative[rows, here]) / (stop - here)
    return distance, hair_share, found
