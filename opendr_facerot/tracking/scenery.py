"""What surrounds a head that is followed: as photographed a while ago, in one place for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.pipelines.head_state import PhotoScenery, ViewFrame, photo_frame
from opendr_facerot.tracking.live_texture import scaled_colours

_LAYERS = ("behind", "collar", "person", "hair")


class PlacedScenery:
    """The surroundings in one frame, put where the head of another frame is.

    Args:
        scenery: The surroundings.
        pivot: ``(3,)`` point that the head turns about, camera space of the same frame.
        place: Surroundings of the head that defines the camera of views.
        place_pivot: ``(3,)`` the point that its head turns about.
        exposure: ``(3,)`` natural log of the RGB exposure of ``scenery``.
    """

    def __init__(
        self,
        scenery: PhotoScenery,
        pivot: NDArray[np.floating],
        place: PhotoScenery,
        place_pivot: NDArray[np.floating],
        exposure: NDArray[np.floating],
    ) -> None:
        self.exposure = exposure
        self._scenery, self._pivot = scenery, pivot
        self._place, self._place_pivot = place, place_pivot
        self._frame: ViewFrame | None = None

    def frame(self, size: int) -> ViewFrame:
        """The frame of views of a size; see :class:`Scenery`."""
        if self._frame is None or self._frame.size != size:
            placed = self._place.frame(size)
            camera, own = placed.camera, self._scenery.work.intrinsics
            scale = (camera.focal / self._place_pivot[2]) / (own.focal / self._pivot[2])
            offset = camera.project(self._place_pivot) - scale * own.project(self._pivot)
            frame = photo_frame(self._scenery.plate, own, float(scale), offset, size)
            # What the photo shows of the head itself is old: the head moves.
            nothing = np.zeros_like(frame.photo)
            self._frame = replace(frame, camera=camera, photo=nothing)
        return self._frame


class MixedScenery:
    """One or two surroundings, blended, at an exposure. Keeps the frame of the latest size.

    Args:
        parts: Surroundings and their shares, which add up to 1.
        exposure: ``(3,)`` natural log of the RGB exposure to show them at.
    """

    def __init__(
        self, parts: Sequence[tuple[PlacedScenery, float]], exposure: NDArray[np.floating]
    ) -> None:
        self._parts = parts
        self._exposure = exposure
        self._frame: ViewFrame | None = None

    def frame(self, size: int) -> ViewFrame:
        """The frame of views of a size; see :class:`Scenery`."""
        if self._frame is None or self._frame.size != size:
            self._frame = self._mixed(size)
        return self._frame

    def _mixed(self, size: int) -> ViewFrame:
        mixed: dict[str, Any] = {}
        frames = [part.frame(size) for part, _ in self._parts]
        for name in _LAYERS:
            layers = [
                scaled_colours(getattr(frame, name), self._exposure - part.exposure)
                for frame, (part, _) in zip(frames, self._parts, strict=True)
            ]
            if len(layers) == 2:
                (_, first), (_, second) = self._parts
                layers = [np.asarray(cv2.addWeighted(layers[0], first, layers[1], second, 0.0))]
            (mixed[name],) = layers
        return replace(frames[-1], **mixed)
