"""One appearance of a head from several photos of it.

All photos are first brought to the light of one. Views are then made from the photo that was taken
from nearly the same side, their home. Beside it the shader takes one other sample per pixel (see
:mod:`opendr_facerot.render.texture`): for each half of the head that is another photo, or the
mirrored other half in any of them, whichever adds most. What neither shows continues the colours of
both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.filters import blur, pull_push, smoothstep
from opendr_facerot.generate.completion import StandIn, complete_observed, mirrored, own_confidence
from opendr_facerot.generate.hair_texture import HairTexture
from opendr_facerot.generate.observation import Observation
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.texture import VertexAppearance

_FINE, _COARSE = 0.004, 0.016  # face heights: details that blur removes first, and that it keeps
_ADVANTAGE = (0.0, 0.25)
"""Cosine times sharpness by which another photo must see a vertex better to take its place."""
_MIRROR_ADVANTAGE = (0.2, 0.5)
_MIRROR_WORTH = 0.6  # of a mirrored sample against a true one
_SHARED = 0.25  # square of the confidences' product from which a colour is compared
_FEWEST_SHARED = 50  # vertices to measure an exposure on
_LARGEST_LIGHT = 0.5  # natural log, beside the exposure
_LIGHT_STIFFNESS = 30.0
_LARGEST_DIFFERENCE, _LEAST_ALIKE = 0.13, 0.7  # between photos of one person
_GAIN_GRID = 8  # pixels of a texture in which its recolouring is constant
_ON_HEAD = (0.8, 1.0)  # neck weight from which colours are compared
_NO_LIGHT = 0.01  # weight of "only the exposure differs" far from where both photos see the head


@dataclass(frozen=True, eq=False)
class SeenHead:
    """A head in one of several photos.

    Attributes:
        seen: What the photo shows of it.
        texture: ``(S, S, 3)`` uint8 RGB, the person's colours; ``seen.xy`` lies in it.
        sharpness: Relative to that of the sharpest photo, in (0, 1].
    """

    seen: Observation
    texture: NDArray[np.uint8]
    sharpness: float


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A possible second sample of every vertex: a photo, as it is or mirrored."""

    photo: int
    mirrored: bool
    stand_in: StandIn
    gain: NDArray[np.floating]

    @property
    def worth(self) -> float:
        return _MIRROR_WORTH if self.mirrored else 1.0


def measure_sharpness(work: WorkImage) -> float:
    """Contrast of the finest against that of larger details of the face, > 0.

    In a work image every face has one size: a photo of few pixels is as blurred as one out of
    focus. Only photos of one person are comparable; noise counts as detail.
    """
    luma = np.log(np.clip(work.image.astype(np.float32).mean(2), 8.0, 255.0))
    face = np.zeros(luma.shape, np.uint8)
    cv2.fillPoly(face, [np.round(work.landmarks[FACE_OVAL, :2]).astype(np.int32)], 1)
    soft, softer = (blur(luma, scale * work.face_height) for scale in (_FINE, _COARSE))
    fine, coarse = (luma - soft)[face > 0], (soft - softer)[face > 0]
    return float(np.abs(fine).mean() / max(float(np.abs(coarse).mean()), 1e-6)) + 1e-6


def in_light_of(model: HeadModel, photos: Sequence[SeenHead], primary: int) -> list[SeenHead]:
    """The photos as exposure, white balance and light of the primary one would have made them."""
    main = photos[primary].seen
    return [
        photo if k == primary else _recoloured(photo, _colour_difference(model, main, photo.seen))
        for k, photo in enumerate(photos)
    ]


def photos_agree(model: HeadModel, one: Observation, other: Observation) -> bool:
    """Whether two photos can show one person: brows, eyes, nose and beard lie on each other.

    Compared is what both see well of the face, in one light: the mean difference of the log colours
    and the correlation of what is left of them without their smooth part. Photos of a person and a
    painting of another can pass, and so can relatives.

    Args:
        model: The head model.
        one: What one photo shows.
        other: What the other shows, in the light of the one.
    """
    surface, n = model.coarse, len(model.coarse.vertices)
    both = np.minimum(one.confidence, other.confidence)[:n]
    _, y, z = surface.vertices.T
    face = surface.zones.skin & ~surface.zones.mouth_bag & (y > 73.0) & (y < 91.0) & (z > 9.0)
    face &= both > 0.6
    if face.sum() < _FEWEST_SHARED:
        return True
    difference = float(np.abs(one.colour - other.colour)[:n][face].mean())
    weight = np.where(both > 0.3, both, 0.0) + 1e-4
    luma = np.stack([one.colour[:n].mean(1), other.colour[:n].mean(1)], axis=1)
    pattern = (luma - surface.topology.smooth_field(luma, weight, 12.0))[face]
    alike = float(np.corrcoef(pattern.T)[0, 1])
    return difference < _LARGEST_DIFFERENCE or alike > _LEAST_ALIKE


def _recoloured(photo: SeenHead, gain: NDArray[np.floating]) -> SeenHead:
    """The photo, multiplied by the exponential of a field given at the vertices ``(V, 3)``."""
    seen, size = photo.seen, len(photo.texture)
    side = -(-size // _GAIN_GRID)
    grid = np.zeros((side, side, 4), np.float32)
    cell = np.clip(seen.xy / _GAIN_GRID, 0, side - 1).astype(int)
    shown = seen.visible > 0.5
    np.add.at(grid, (cell[shown, 1], cell[shown, 0]), np.c_[gain, np.ones(len(gain))][shown])
    count = grid[..., 3:]
    field = pull_push(grid[..., :3] / np.maximum(count, 1.0), np.minimum(count[..., 0], 1.0))
    field = cv2.resize(blur(field, 1.0), (side * _GAIN_GRID, side * _GAIN_GRID))[:size, :size]
    texture = np.clip(photo.texture * np.exp(field) + 0.5, 0.0, 255.0).astype(np.uint8)
    return replace(photo, seen=replace(seen, colour=seen.colour + gain), texture=texture)


def fuse(
    model: HeadModel,
    photos: Sequence[SeenHead],
    home: int,
    hair_zone: NDArray[np.bool_],
    *,
    detail_level: NDArray[np.float32],
    hair_texture: HairTexture | None,
) -> VertexAppearance:
    """Decide for every vertex what it looks like from what several photos show of it.

    Args:
        model: The head model.
        photos: The head in each photo, in one light.
        home: Index of the photo that comes first: the one from nearly where the views are seen.
        hair_zone: ``(V,)`` bool, where hair grows or hangs.
        detail_level: See :func:`opendr_facerot.generate.detail.measure_detail`.
        hair_texture: Of the hair on the head, if there is any.
    """
    atlas, tops = _stacked([photo.texture for photo in photos])
    placed = [
        replace(photo, seen=replace(photo.seen, xy=photo.seen.xy + [0.0, top]))
        for photo, top in zip(photos, tops, strict=True)
    ]
    main = placed[home]
    candidates = _candidates(model, placed, home, hair_zone)
    chosen = _best_of_each_half(model, candidates, main)
    stand_in, gain = _combined(model, candidates, chosen)
    appearance = complete_observed(
        model,
        main.seen,
        stand_in,
        hair_zone,
        foreground=atlas,
        detail_level=detail_level,
        hair_texture=hair_texture,
    )
    correction = appearance.second_correction + gain
    return replace(appearance, second_correction=correction.astype(np.float32))


def _stacked(
    images: Sequence[NDArray[np.uint8]],
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The images one below the other, and the row at which each begins."""
    heights = [len(image) for image in images]
    tops = np.cumsum([0, *heights[:-1]])
    atlas = np.zeros((sum(heights), max(image.shape[1] for image in images), 3), np.uint8)
    for image, top in zip(images, tops, strict=True):
        atlas[top : top + len(image), : image.shape[1]] = image
    return atlas, tops


def _candidates(
    model: HeadModel, photos: Sequence[SeenHead], home: int, hair_zone: NDArray[np.bool_]
) -> list[_Candidate]:
    """Every photo but the home one, and the mirror image of every photo."""
    main, zones = photos[home], model.fine.zones
    itself = np.arange(len(model.fine.vertices))
    ours = main.sharpness * main.seen.cosine
    found = []
    for k, photo in enumerate(photos):
        other = mirrored(model, main.seen, photo.seen, hair_zone)
        theirs = photo.sharpness * other.seen.cosine
        precedence = 0.8 * smoothstep(*_MIRROR_ADVANTAGE, theirs - ours)
        found.append(_matched(model, main.seen, k, True, replace(other, precedence=precedence)))
        if k != home:
            # A mouth or eye may be open in one photo and not in another.
            outer, seen = zones.skin & ~zones.mouth_bag, photo.seen
            seen = replace(seen, confidence=seen.confidence * outer, visible=seen.visible * outer)
            precedence = smoothstep(*_ADVANTAGE, photo.sharpness * seen.cosine - ours)
            direct = StandIn(itself, seen, precedence)
            found.append(_matched(model, main.seen, k, False, direct))
    return found


def _matched(
    model: HeadModel, main: Observation, photo: int, is_mirrored: bool, stand_in: StandIn
) -> _Candidate:
    """The candidate, its colours brought to those of the primary photo."""
    seen = stand_in.seen
    gain = _colour_difference(model, main, seen)
    stand_in = replace(stand_in, seen=replace(seen, colour=seen.colour + gain), matched=True)
    return _Candidate(photo, is_mirrored, stand_in, gain)


def _colour_difference(
    model: HeadModel, main: Observation, photo: Observation
) -> NDArray[np.floating]:
    """Log factor ``(V, 3)`` that brings a photo's colours to those of the primary one.

    What exposure, white balance and light make differ is smooth over the head, whatever its colour:
    it is continued from where both photos see the head well.
    """
    n = len(model.coarse.vertices)
    both = (main.confidence * main.deep_inside * photo.confidence * photo.deep_inside)[:n] ** 2
    # Collars and shoulders are not the same in any two photos, and mattes end there.
    both *= smoothstep(*_ON_HEAD, model.coarse.zones.neck_weight)
    difference = (main.colour - photo.colour)[:n]
    sure = both > _SHARED
    if sure.sum() < _FEWEST_SHARED:
        mean, other = (
            np.average(seen.colour, axis=0, weights=seen.confidence + 1e-9)
            for seen in (main, photo)
        )
        return np.tile(mean - other, (len(main.colour), 1))
    exposure = np.median(difference[sure], axis=0)
    light = np.clip(difference - exposure, -_LARGEST_LIGHT, _LARGEST_LIGHT)
    weight = both + _NO_LIGHT
    data = (both / weight)[:, None] * light
    return exposure + model.subdivide(
        model.coarse.topology.smooth_field(data, weight, _LIGHT_STIFFNESS)
    )


def _best_of_each_half(
    model: HeadModel, candidates: Sequence[_Candidate], main: SeenHead
) -> NDArray[np.intp]:
    """Index ``(V,)`` of the candidate that each vertex takes: one for each half of the head."""
    x, area = model.fine.vertices[:, 0], _vertex_area(model)
    middle = model.fine.mirror == np.arange(len(x))
    shown = np.stack(
        [
            area
            * c.worth
            * c.stand_in.seen.confidence
            * (1.0 - own_confidence(main.seen, c.stand_in))
            for c in candidates
        ]
    )
    totals = {side: shown[:, (side * x > 0.0) & ~middle].sum(axis=1) for side in (-1, 1)}
    # The middle goes with the half that gains more.
    first = max(totals, key=lambda side: float(totals[side].max()))
    mine, other = (int(np.argmax(totals[side])) for side in (first, -first))
    return np.where((first * x > 0.0) | middle, mine, other)


def _vertex_area(model: HeadModel) -> NDArray[np.floating]:
    """A third of the area of the triangles around each vertex ``(V,)``, on the outer surface."""
    zones, faces = model.fine.zones, model.fine.topology.faces
    a, b, c = (model.fine.vertices[faces[:, k]] for k in range(3))
    double = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    area = np.bincount(faces.ravel(), np.repeat(double / 6.0, 3), len(model.fine.vertices))
    return area * (zones.skin & ~zones.mouth_bag) * zones.neck_weight


def _combined(
    model: HeadModel, candidates: Sequence[_Candidate], chosen: NDArray[np.intp]
) -> tuple[StandIn, NDArray[np.floating]]:
    """Each vertex's chosen stand-in, and the exposure gain ``(V, 3)`` that goes with it."""
    rows = np.arange(len(chosen))

    def pick(values: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.asarray(np.stack(list(values))[chosen, rows])

    seen = Observation(
        *(
            pick(getattr(c.stand_in.seen, field.name) for c in candidates)
            for field in fields(Observation)
        )
    )
    vertex = pick(c.stand_in.vertex for c in candidates)
    precedence = pick(c.stand_in.precedence for c in candidates)
    gain = pick(c.gain for c in candidates)

    # A triangle whose corners lie in different photos would show everything between the two.
    # On the plane of symmetry, where vertices are their own mirror vertices, a photo goes on.
    faces = model.fine.topology.faces
    photo, is_mirrored = (
        np.array(values)[chosen][faces]
        for values in zip(*((c.photo, c.mirrored) for c in candidates), strict=True)
    )
    middle = (model.fine.mirror == rows)[faces]
    torn = (photo != photo[:, :1]).any(axis=1)
    torn |= (is_mirrored & ~middle).any(axis=1) & (~is_mirrored & ~middle).any(axis=1)
    whole = np.ones(len(rows))
    whole[np.unique(faces[torn])] = 0.0
    seen = replace(seen, confidence=seen.confidence * whole, visible=seen.visible * whole)
    return StandIn(vertex, seen, precedence, matched=True), gain
