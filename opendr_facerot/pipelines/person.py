"""The ``head`` pipeline on several photos of one person: one head from all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import smoothstep
from opendr_facerot.generate.detail import measure_detail
from opendr_facerot.generate.foreground import sharpen_foreground
from opendr_facerot.generate.fusion import (
    SeenHead,
    fuse,
    in_light_of,
    measure_sharpness,
    photos_agree,
)
from opendr_facerot.generate.hair_detail import continue_hair, exemplar_hair
from opendr_facerot.generate.hair_texture import measure_hair
from opendr_facerot.generate.observation import doubt_backlight, observe, person_maps
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.pipelines.head_state import HeadLook, HeadState
from opendr_facerot.pipelines.photo_layers import PhotoLayers
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.head_fit import HeadFit, fit_head
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.same_head import fit_same_head
from opendr_facerot.reconstruct.silhouette import Sight, fit_silhouettes, hide_covered_ears
from opendr_facerot.render.texture import VertexAppearance
from opendr_facerot.rotator import Face

_CROSSFADE = math.radians(8.0)  # turn over which views go from one photo to the next


@dataclass(frozen=True, eq=False)
class PersonPhoto:
    """One of the photos.

    Attributes:
        face: The detection.
        landmarks: ``(478, 3)`` attention mesh, photo pixels.
        camera: Of the photo.
        layers: The photo, taken apart.
    """

    face: Face
    landmarks: NDArray[np.floating]
    camera: Intrinsics
    layers: PhotoLayers


@dataclass(frozen=True, eq=False)
class HomePhoto:
    """The head as it is shown from about where one of the photos was taken.

    Attributes:
        side: ``(3,)`` unit vector from the head to that photo's camera, template axes.
        vertices: ``(V, 3)`` fine vertices, standing as in the primary photo, camera space.
        appearance: What they look like.
    """

    side: NDArray[np.floating]
    vertices: NDArray[np.floating]
    appearance: VertexAppearance


@dataclass(frozen=True, eq=False)
class PersonState(HeadState):
    """A head from several photos; the attributes of the base class are the primary photo's.

    Attributes:
        homes: All photos, the primary one first.
    """

    homes: tuple[HomePhoto, ...]

    def looks(self, rotation: NDArray[np.floating]) -> list[HeadLook]:
        """That of the photo from the nearest side; between two photos, both."""
        side = -rotation.T @ self.fit.seen_from[:, 2]
        turn = [math.acos(float(np.clip(side @ home.side, -1.0, 1.0))) for home in self.homes]
        order = np.argsort(turn, kind="stable")[:2]
        first, second = (self.homes[k] for k in order)
        ahead = (turn[order[1]] - turn[order[0]]) / _CROSSFADE
        share = 0.5 + 0.5 * float(smoothstep(0.0, 1.0, ahead))
        looks = [HeadLook(share, first.vertices, first.appearance)]
        if share < 1.0:
            looks.append(HeadLook(1.0 - share, second.vertices, second.appearance))
        return looks


@dataclass(frozen=True, eq=False)
class PersonHead:
    """The head of one person, standing in the primary photo.

    Attributes:
        primary: Index of the photo that the pose, the light and the surroundings are from.
        fit: The head model in that photo.
        homes: All photos, the primary one first.
        agree: The photos can show one person.
    """

    primary: int
    fit: HeadFit
    homes: tuple[HomePhoto, ...]
    agree: bool


def reconstruct_person(
    model: HeadModel, photos: Sequence[PersonPhoto], clock: Stopwatch
) -> PersonHead:
    """Reconstruct one head from several photos.

    Args:
        model: The head model.
        photos: At least two.
        clock: Counts the time for the stages of a fit.
    """
    layers = [photo.layers for photo in photos]
    with clock("fit"):
        alone = [fit_head(model, photo.landmarks, photo.camera) for photo in photos]
        sharpness = np.array([measure_sharpness(photo.photo) for photo in layers])
        sharpness /= sharpness.max()
        primary = int(np.argmax(sharpness * [_frontality(fit) for fit in alone]))
        landmarks, cameras = zip(*((p.landmarks, p.camera) for p in photos), strict=True)
        fits = fit_same_head(model, landmarks, alone, cameras, primary)
    with clock("silhouette"):
        vertices, hair_zone = _without_covered_ears(model, fits, layers, primary)
        sights = [
            Sight(v, fit.rotation, photo.work, photo.matte, photo.look)
            for v, fit, photo in zip(vertices, fits, layers, strict=True)
        ]
        vertices = fit_silhouettes(model, sights, hair_zone)
    with clock("completion"):
        heads = [
            _seen_head(model, v, photo, float(sharp), hair_zone)
            for v, photo, sharp in zip(vertices, layers, sharpness, strict=True)
        ]
        heads = in_light_of(model, heads, primary)
        agree = all(photos_agree(model, heads[primary].seen, head.seen) for head in heads)
        main = layers[primary]
        level = measure_detail(main.photo, heads[primary].texture, main.look)
        hair = measure_hair(main.photo, heads[primary].texture, main.interior, main.look)
        order = [primary, *(k for k in range(len(photos)) if k != primary)]
        fused = [
            fuse(model, heads, k, hair_zone, detail_level=level, hair_texture=hair) for k in order
        ]
        # One for all: hair that none shows does not change as a view turns from photo to photo.
        detail = fused[0].detail
        if hair is not None:
            exemplar = exemplar_hair(heads[primary].seen, fused[0].hair)
            detail = continue_hair(model, fused[0], exemplar, hair, main.photo.face_height)
        homes = tuple(
            HomePhoto(
                -fits[k].rotation.T @ fits[k].seen_from[:, 2],
                _standing_as(fits[primary], fits[k], vertices[k]),
                replace(appearance, detail=detail),
            )
            for k, appearance in zip(order, fused, strict=True)
        )
    return PersonHead(primary, fits[primary], homes, agree)


def _seen_head(
    model: HeadModel,
    vertices: NDArray[np.floating],
    photo: PhotoLayers,
    sharpness: float,
    hair_zone: NDArray[np.bool_],
) -> SeenHead:
    maps = person_maps(photo.work, photo.matte, photo.foreground, photo.interior)
    seen = observe(model, vertices, photo.work, photo.matte, maps, photo.look, hair_zone)
    seen = replace(seen, xy=photo.photo.intrinsics.project(vertices))
    texture = sharpen_foreground(photo.photo, photo.foreground, photo.interior)
    hair = measure_hair(photo.photo, texture, photo.interior, photo.look)
    seen = doubt_backlight(model, seen, hair_zone, hair)
    return SeenHead(seen, texture, sharpness)


def _standing_as(
    primary: HeadFit, fit: HeadFit, vertices: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Vertices ``(V, 3)`` in one photo, moved rigidly to where the primary photo has the head."""
    return np.asarray(
        (vertices - fit.translation) @ fit.rotation @ primary.rotation.T + primary.translation
    )


def _frontality(fit: HeadFit) -> float:
    """Cosine between the line of sight and the direction that the face looks in."""
    yaw, pitch, _ = fit.angles
    return max(math.cos(yaw) * math.cos(pitch), 1e-3)


def _without_covered_ears(
    model: HeadModel, fits: Sequence[HeadFit], layers: Sequence[PhotoLayers], primary: int
) -> tuple[list[NDArray[np.floating]], NDArray[np.bool_]]:
    """The fine vertices in each photo, ears flattened in all if covered in the primary photo."""
    vertices = [model.refine(fit.vertices) for fit in fits]
    main, photo = fits[primary], layers[primary]
    flattened, hair_zone = hide_covered_ears(
        model, vertices[primary], main.rotation, photo.work, photo.matte, photo.look
    )
    pressed = (flattened - vertices[primary]) @ main.rotation
    return [v + pressed @ fit.rotation.T for v, fit in zip(vertices, fits, strict=True)], hair_zone
