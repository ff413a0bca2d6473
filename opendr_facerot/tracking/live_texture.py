"""What the newest frame shows of a head whose look as a whole is known already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.filters import sample_bilinear, smoothstep
from opendr_facerot.generate.completion import (
    extend_foreground,
    interior_of,
    openings,
    visibility,
)
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.reconstruct.work_image import WorkImage, cut_work_image
from opendr_facerot.render.projection import facing
from opendr_facerot.render.texture import VertexAppearance
from opendr_facerot.tracking.head_motion import MovingHead

_BLUR = 0.05  # face heights; colours compared between frames are means over about as much
_FADE_SECONDS = 0.08  # time constant of how much of the newest frame is shown where


@dataclass(frozen=True, eq=False)
class FrameSight:
    """What one frame shows of a head's V fine vertices.

    Attributes:
        work: The frame around the face, in its own pixels.
        foreground: ``(S, S, 3)`` uint8 RGB, the person's colours continued beyond the outline.
        xy: ``(V, 2)`` position in it.
        cosine: ``(V,)`` to the camera.
        confidence: ``(V,)`` in [0, 1], how well the frame shows the vertex.
        visible: ``(V,)`` in [0, 1], in the frame at all, however grazing.
        is_opening: ``(V,)`` bool, part of the eyes or the mouth.
        colour: ``(V, 3)`` natural log of the RGB colour, 0..255, mean over the surroundings.
    """

    work: WorkImage
    foreground: NDArray[np.uint8]
    xy: NDArray[np.floating]
    cosine: NDArray[np.floating]
    confidence: NDArray[np.floating]
    visible: NDArray[np.floating]
    is_opening: NDArray[np.bool_]
    colour: NDArray[np.floating]


def see(
    model: HeadModel,
    matting: PersonMatting,
    image: NDArray[np.uint8],
    intrinsics: Intrinsics,
    head: MovingHead,
    hair: NDArray[np.floating],
) -> FrameSight:
    """Look at a head in a frame.

    Args:
        model: The head model.
        matting: Tells the person from the background.
        image: ``(H, W, 3)`` uint8 RGB frame.
        intrinsics: Camera of the frame.
        head: The head in the frame.
        hair: ``(V,)`` in [0, 1], hair on each vertex.
    """
    work = cut_work_image(image, head.landmarks, intrinsics, largest_upscale=1.0)
    matte = matting.matte(work.image) * work.inside
    interior = interior_of(matte, work.face_height)
    foreground = np.clip(extend_foreground(work, interior), 0, 255).astype(np.uint8)
    xy = work.intrinsics.project(head.vertices)
    normals = model.fine.topology.vertex_normals(head.vertices)
    cosine = facing(normals, head.vertices)
    seen, visible = visibility(model.fine, head.vertices, xy, cosine, work, matte, hair)
    opened = openings(model.fine, normals, xy, work)
    is_opening = opened >= 0.0
    return FrameSight(
        work=work,
        foreground=foreground,
        xy=xy,
        cosine=cosine,
        confidence=np.where(is_opening, opened, seen),
        visible=np.where(is_opening, opened, visible),
        is_opening=is_opening,
        colour=_mean_colours(foreground, xy, work.face_height),
    )


def _mean_colours(
    foreground: NDArray[np.uint8], xy: NDArray[np.floating], face_height: float
) -> NDArray[np.floating]:
    reduction = max(1, round(_BLUR * face_height))
    height, width = foreground.shape[:2]
    size = (max(1, width // reduction), max(1, height // reduction))
    small = cv2.resize(foreground, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    scale = np.array(size) / [width, height]
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
        second = confidence[mirror] * (zones.skin & ~zones.mouth_bag)
        better = smoothstep(0.2, 0.5, sight.cosine[mirror] - sight.cosine) * second
        return replace(
            known,
            foreground=scaled_colours(sight.foreground, exposure),
            photo_xy=sight.xy.astype(np.float32),
            confidence=(confidence * (1.0 - 0.8 * better)).astype(np.float32),
            second_xy=sight.xy[mirror].astype(np.float32),
            second_confidence=second.astype(np.float32),
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
