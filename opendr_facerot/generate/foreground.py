"""The colours of a person continued over the background, at two resolutions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, disc, pull_push, to_uint8
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.kernels import kernel


def interior_of(matte: NDArray[np.float32], face_height: float) -> NDArray[np.bool_]:
    """Pixels that surely show the person: well inside the matte."""
    return cv2.erode((matte > 0.6).astype(np.uint8), disc(0.016 * face_height)) > 0


def extend_foreground(work: WorkImage, interior: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The work image with the person's colours continued over the background.

    Returns:
        ``(S, S, 3)`` float32 RGB 0..255.
    """
    return pull_push(work.image.astype(np.float32), _soft(interior, work.face_height))


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
    texture = cv2.resize(to_uint8(foreground), size)
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


def _soft(interior: NDArray[np.bool_], face_height: float) -> NDArray[np.float32]:
    inner = interior.astype(np.float32)
    return blur(inner, max(0.6, 0.005 * face_height)) * inner
