"""What the newest frame shows of a head whose look as a whole is known already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.filters import blur, pull_push, sample_bilinear, smoothstep
from opendr_facerot.generate.foreground import interior_of
from opendr_facerot.generate.observation import depth_inside, opening_maps, openings, visibility
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import WorkImage, cut_work_image
from opendr_facerot.render.projection import facing
from opendr_facerot.render.texture import VertexAppearance
from opendr_facerot.tracking.head_motion import MovingHead

_ANALYSED_HEIGHT = 150.0  # pixels of face height: enough to tell person and background apart
_BLUR = 0.05  # face heights; colours compared between frames are means over about as much
_EDGE = 0.6  # pixels over which an outline is softened
_FADE_SECONDS = 0.08  # time constant of how much of the newest frame is shown where


@dataclass(frozen=True, eq=False)
class FrameSight:
    """What one frame shows of a head's V fine vertices.

    Attributes:
        foreground: See :class:`FramePerson`.
        xy: ``(V, 2)`` position in it.
        cosine: ``(V,)`` to the camera.
        confidence: ``(V,)`` in [0, 1], how well the frame shows the vertex.
        visible: ``(V,)`` in [0, 1], in the frame at all, however grazing.
        is_opening: ``(V,)`` bool, part of the eyes or the mouth.
        colour: ``(V, 3)`` natural log of the RGB colour, 0..255, mean over the surroundings.
    """

    foreground: NDArray[np.uint8]
    xy: NDArray[np.floating]
    cosine: NDArray[np.floating]
    confidence: NDArray[np.floating]
    visible: NDArray[np.floating]
    is_opening: NDArray[np.bool_]
    colour: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class FramePerson:
    """The person in a frame, around the face.

    Attributes:
        photo: The frame around the face, in its own pixels unless it is large.
        work: The same in the resolution of the matte.
        matte: ``(S, S)`` float32 person matte.
        foreground: ``(P, P, 3)`` uint8 RGB, ``photo`` with the person's colours continued beyond
            the outline.
    """

    photo: WorkImage
    work: WorkImage
    matte: NDArray[np.float32]
    foreground: NDArray[np.uint8]


def cut_out(
    matting: PersonMatting,
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
) -> FramePerson:
    """Cut the person with these landmarks out of a frame.

    Args:
        matting: Tells the person from the background.
        image: ``(H, W, 3)`` uint8 RGB frame.
        landmarks: ``(478, 3)`` pixels.
        intrinsics: Camera of the frame.
    """
    photo = cut_work_image(image, landmarks, intrinsics, largest_upscale=1.0)
    work = photo.reduced(_ANALYSED_HEIGHT)
    face = blur(work.face().astype(np.float32), 0.01 * work.face_height)
    matte = np.maximum(matting.matte(work.image), face) * work.inside
    interior = interior_of(matte, work.face_height)
    return FramePerson(photo, work, matte, _extended(photo.image, work.image, interior))


def _extended(
    photo: NDArray[np.uint8], image: NDArray[np.uint8], interior: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """A photo with the colours of its interior continued, at a low resolution, beyond it.

    Args:
        photo: ``(P, P, 3)`` uint8.
        image: ``(S, S, 3)`` the same, no larger.
        interior: ``(S, S)`` bool.
    """
    height, width = interior.shape
    weight = blur(interior.astype(np.float32), _EDGE) * interior
    half = (max(1, width // 2), max(1, height // 2))
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    small = pull_push(small, cv2.resize(weight, half, interpolation=cv2.INTER_AREA))
    size = photo.shape[1::-1]
    beyond = cv2.resize(np.clip(small, 0, 255).astype(np.uint8), size)
    weight = cv2.resize(weight, size)
    return np.asarray(cv2.blendLinear(photo, beyond, weight, 1.0 - weight))


def see(
    model: HeadModel, person: FramePerson, head: MovingHead, hair: NDArray[np.floating]
) -> FrameSight:
    """Look at a head in a frame.

    Args:
        model: The head model.
        person: Cut out of the frame.
        head: The head in the frame.
        hair: ``(V,)`` in [0, 1], hair on each vertex.
    """
    work = person.work
    xy = person.photo.intrinsics.project(head.vertices)
    # How well a place is seen varies slowly: on the coarse mesh it costs a quarter.
    surface, count = model.coarse, len(model.mean)
    vertices = head.vertices[:count]
    coarse_xy = work.intrinsics.project(vertices)
    normals = surface.topology.vertex_normals(vertices)
    cosine = facing(normals, vertices)
    inside = depth_inside(work, person.matte)
    seen, visible = visibility(
        surface, vertices, coarse_xy, cosine, work, person.matte, inside, hair[:count]
    )
    opened = openings(surface, normals, coarse_xy, opening_maps(work))
    is_opening = opened >= 0.0
    columns = model.subdivide(
        np.stack(
            [
                cosine,
                np.where(is_opening, opened, seen),
                np.where(is_opening, opened, visible),
                is_opening,
            ],
            axis=1,
        )
    )
    return FrameSight(
        foreground=person.foreground,
        xy=xy,
        cosine=columns[:, 0],
        confidence=columns[:, 1],
        visible=columns[:, 2],
        is_opening=columns[:, 3] == 1.0,
        colour=model.subdivide(_mean_colours(work, coarse_xy)),
    )


def _mean_colours(work: WorkImage, xy: NDArray[np.floating]) -> NDArray[np.floating]:
    """Natural log of RGB ``(N, 3)`` around positions ``(N, 2)``."""
    reduction = max(1, round(_BLUR * work.face_height))
    side = len(work.image)
    size = (max(1, side // reduction),) * 2
    small = cv2.resize(work.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    scale = size[0] / side
    return np.log(np.maximum(sample_bilinear(small, (xy + 0.5) * scale - 0.5), 3.0))


class LiveTexture:
    """Lays the newest frame over what is known of a head.

    Where a frame shows the head, it is shown at once; where frames begin or cease to show it, one
    fades into the other.

    Args:
        model: The head model.
    """

    def __init__(self, model: HeadModel) -> None:
        self._model = model
        self._confidence: NDArray[np.floating] | None = None
        self._visible: NDArray[np.floating] | None = None

    def lay_over(
        self,
        known: VertexAppearance,
        trust: NDArray[np.floating],
        sight: FrameSight,
        exposure: NDArray[np.floating],
        brightness: NDArray[np.floating],
        seconds: float,
    ) -> VertexAppearance:
        """The head as the newest frame shows it, completed with what is known.

        Args:
            known: The head's look.
            trust: ``(V,)`` in [0, 1], factor on the confidence in what a frame shows.
            sight: What the newest frame shows.
            exposure: ``(3,)`` natural log of RGB factors on the frame's colours.
            brightness: ``(3,)`` the same on the known colours.
            seconds: Since the frame before; 0 for the first.
        """
        zones, mirror = self._model.fine.zones, self._model.fine.mirror
        confidence, visible = sight.confidence * trust, sight.visible * trust
        if self._confidence is not None and self._visible is not None:
            share = np.where(sight.is_opening, 1.0, 1.0 - np.exp(-seconds / _FADE_SECONDS))
            confidence = self._confidence + share * (confidence - self._confidence)
            visible = self._visible + share * (visible - self._visible)
        self._confidence, self._visible = confidence, visible
        outer = zones.skin & ~zones.mouth_bag
        second = confidence[mirror] * outer
        better = smoothstep(0.2, 0.5, sight.cosine[mirror] - sight.cosine) * second
        return replace(
            known,
            foreground=scaled_colours(sight.foreground, exposure),
            photo_xy=sight.xy.astype(np.float32),
            confidence=(confidence * (1.0 - 0.8 * better)).astype(np.float32),
            second_xy=sight.xy[mirror].astype(np.float32),
            second_confidence=second.astype(np.float32),
            second_cosine=sight.cosine[mirror].astype(np.float32),
            second_visible=(visible[mirror] * outer).astype(np.float32),
            fill=(known.fill + brightness).astype(np.float32),
            source_cosine=sight.cosine.astype(np.float32),
            visible=visible.astype(np.float32),
        )


def scaled_colours(image: NDArray[np.uint8], log_factor: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An image ``(H, W, 3 or 4)``, its RGB times ``exp(log_factor)``, ``(3,)``."""
    levels = np.arange(256.0)[:, None]
    table = np.repeat(levels, image.shape[2], axis=1)
    table[:, :3] *= np.exp(log_factor)
    table = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]))
