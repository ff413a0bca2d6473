"""The image that one face is analysed and sampled in: a square around it, at a fixed scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.mesh_topology import FACE_OVAL
from opendr_facerot.geometry import Intrinsics

FACE_HEIGHT = 300.0
"""Pixels from landmark 10 (top of the forehead) to 152 (chin) in a work image."""

_SIDE = 3.1  # face heights: hair, neck and shoulders fit in
_CENTRE_Y = 0.47  # of the side: where the middle of the face lies
LARGEST_UPSCALE = 2.5
"""Work pixels per photo pixel that a photo is enlarged to at most."""

FOREHEAD, CHIN = 10, 152
"""Landmarks of the attention mesh that the face height is measured between."""


@dataclass(frozen=True, eq=False)
class WorkImage:
    """A square cut around one face.

    Attributes:
        image: ``(S, S, 3)`` uint8 RGB; beyond the photo's border its edge pixels are repeated.
        inside: ``(S, S)`` float32, 1 inside the photo, 0 beyond.
        scale: Work pixels per photo pixel.
        offset: ``(2,)``: work = scale * photo + offset.
        landmarks: ``(478, 3)`` float64 attention mesh in work pixels.
        intrinsics: Camera of the work image.
        face_height: Work pixels from the top of the forehead to the chin.
        photo: ``(h, w, 3)`` uint8 RGB, the part of the photo that the square covers.
        photo_offset: ``(2,)``: work = scale * photo + photo_offset.
    """

    image: NDArray[np.uint8]
    inside: NDArray[np.float32]
    scale: float
    offset: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    intrinsics: Intrinsics
    face_height: float
    photo: NDArray[np.uint8]
    photo_offset: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        """``(2,)`` work pixels: the middle of the face."""
        return (self.landmarks[FOREHEAD, :2] + self.landmarks[CHIN, :2]) / 2.0

    def face(self) -> NDArray[np.bool_]:
        """``(S, S)`` bool, the face: what the landmarks' oval encloses."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(self.landmarks[FACE_OVAL, :2]).astype(np.int32)], 1)
        return mask > 0

    def reduced(self, face_height: float) -> WorkImage:
        """The same image with a face of at most this height in pixels."""
        if self.face_height <= face_height:
            return self
        size = len(self.image)
        side = round(size * face_height / self.face_height)
        factor = side / size
        shift = 0.5 * (factor - 1.0)  # pixel centres are at integers
        landmarks = factor * self.landmarks
        landmarks[:, :2] += shift
        return replace(
            self,
            image=cv2.resize(self.image, (side, side), interpolation=cv2.INTER_AREA),
            inside=cv2.resize(self.inside, (side, side), interpolation=cv2.INTER_AREA),
            scale=factor * self.scale,
            offset=factor * self.offset + shift,
            landmarks=landmarks,
            intrinsics=self.intrinsics.scaled(factor, shift, shift),
            face_height=factor * self.face_height,
            photo_offset=factor * self.photo_offset + shift,
        )

    def along_face(
        self, side: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Face coordinates of every pixel, in face heights.

        Args:
            side: Side S of the map if it is not the image's: pixels are larger then, or smaller.

        Returns:
            ``height`` ``(S, S)`` float32, 0 at the chin and 1 at the top of the forehead, measured
            along the face's own axis; ``lateral`` ``(S, S)`` float32 >= 0, the distance from it.
        """
        size = len(self.image)
        side = size if side is None else side
        top, chin = self.landmarks[FOREHEAD, :2], self.landmarks[CHIN, :2]
        axis = (top - chin) / self.face_height**2
        place = (np.arange(side) + 0.5) * (size / side) - 0.5
        x, y = ((place - chin[c])[:, None] * axis for c in (0, 1))
        height = np.add.outer(y[:, 1].astype(np.float32), x[:, 0].astype(np.float32))
        lateral = np.subtract.outer(y[:, 0].astype(np.float32), x[:, 1].astype(np.float32))
        return height, np.abs(lateral, out=lateral)


def cut_work_image(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
    largest_upscale: float = LARGEST_UPSCALE,
) -> WorkImage:
    """Cut the work image of the face with these landmarks.

    Args:
        image: ``(H, W, 3)`` uint8 RGB photo.
        landmarks: ``(478, 3)`` attention mesh, photo pixels.
        intrinsics: Camera of the photo.
        largest_upscale: Work pixels per photo pixel at most. At 1 they are the photo's own, unless
            it has to be reduced.
    """
    points = np.asarray(landmarks, np.float64)
    top, chin = points[FOREHEAD, :2], points[CHIN, :2]
    height = float(np.linalg.norm(top - chin))
    scale = min(FACE_HEIGHT / height, largest_upscale)
    side = round(_SIDE * height * scale)
    offset = np.array([side / 2, side * _CENTRE_Y]) - scale * (top + chin) / 2
    # The square begins with a whole pixel of the photo: a resize is ten times as fast as a warp.
    start = np.round(0.5 - (offset + 0.5) / scale).astype(int)
    offset = scale * (0.5 - start) - 0.5
    size = np.array(image.shape[1::-1])
    # Only the part of the photo that the square covers, and a margin for the filters below.
    first = np.clip(np.floor(-offset / scale) - 8, 0, size - 1).astype(int)
    last = np.clip(np.ceil((side - offset) / scale) + 8, first + 1, size).astype(int)
    photo = image[first[1] : last[1], first[0] : last[0]].copy()
    shift = offset + scale * first
    source = photo
    if scale < 0.6:  # linear interpolation takes point samples: reducing needs a low-pass first
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / scale)
    kernel = cv2.INTER_LINEAR if scale < 1.0 else cv2.INTER_CUBIC
    covered = _from(source, start - first, math.ceil(side / scale) + 1)
    work = cv2.resize(covered, None, fx=scale, fy=scale, interpolation=kernel)
    height_covered, width_covered = (
        _covered(source.shape[k], scale, shift[1 - k], side) for k in (0, 1)
    )
    scaled = points * scale
    scaled[:, :2] += offset
    return WorkImage(
        image=np.ascontiguousarray(work[:side, :side]),
        inside=np.multiply.outer(height_covered, width_covered),
        scale=scale,
        offset=offset,
        landmarks=scaled,
        intrinsics=intrinsics.scaled(scale, *offset),
        face_height=height * scale,
        photo=photo,
        photo_offset=shift,
    )


def _from(image: NDArray[np.uint8], start: NDArray[np.integer], count: int) -> NDArray[np.uint8]:
    """``(count, count, 3)`` pixels from ``start`` = (x, y) on, the edges repeated beyond."""
    size = np.array(image.shape[1::-1])
    first = np.clip(start, 0, size - 1)
    last = np.clip(start + count, first + 1, size)
    before = np.clip(-start, 0, count)
    left, top = before.tolist()
    right, bottom = np.maximum(count - before - (last - first), 0).tolist()
    part = image[first[1] : last[1], first[0] : last[0]]
    padded = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(padded[:count, :count])


def _covered(count: int, scale: float, shift: float, side: int) -> NDArray[np.float32]:
    """How far each of ``side`` work pixels along one axis, and its neighbours, show the photo.

    Args:
        count: Pixels of the photo along the axis.
        scale: Work pixels per photo pixel.
        shift: work = scale * photo + shift.
        side: Work pixels.

    Returns:
        ``(side,)`` float32 in [0, 1]: the photo's share in linear interpolation at its border.
    """
    place = (np.arange(-1, side + 1) - shift) / scale
    share = np.clip(np.minimum(place + 1.0, count - place), 0.0, 1.0).astype(np.float32)
    share[[0, -1]] = share[[1, -2]]  # nothing is known beyond the work image
    return np.minimum(np.minimum(share[:-2], share[1:-1]), share[2:])
