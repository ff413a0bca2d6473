"""The background of a photo, continued to where the person is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, disc, pull_push, smoothstep
from opendr_facerot.reconstruct.work_image import CHIN, WorkImage

_MARGIN = 0.014  # face heights around the matte that still show the person
_MIRRORED = (0.4, 0.2)  # face heights inside the outline up to which the outside goes on
_AROUND_HEAD = 1.2  # face heights to either side of the chin
_BELOW_CHIN = 0.2  # face heights below it; what is farther down is never uncovered
_FADE = 0.2  # face heights


def fill_background(work: WorkImage, matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """The work image without the person: blurred, but sharp next to what is known around the head.

    Args:
        work: The work image.
        matte: ``(S, S)`` float32 person matte.

    Returns:
        ``(S, S, 3)`` float32 RGB 0..255, the image itself outside the person.
    """
    image = work.image.astype(np.float32)
    person = cv2.dilate((matte > 0.05).astype(np.uint8), disc(_MARGIN * work.face_height)) > 0
    known = ((~person) & (work.inside > 0.9)).astype(np.float32)
    # What is made up is smooth, or taken from elsewhere: a quarter of the pixels will do for it.
    size = len(image)
    small, share = (
        cv2.resize(whole, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
        for whole in (image, known)
    )
    outside = (share > 0.999).astype(np.float32)
    if outside.sum() < 50:
        return np.full_like(image, 128.0)
    filled = pull_push(small, outside)
    smooth = blur(filled, 0.014 * work.face_height)
    away = blur(1.0 - outside, 0.012 * work.face_height)
    filled = np.asarray(cv2.blendLinear(filled, smooth, 1.0 - away, away))
    background = cv2.resize(filled, (size, size))
    cv2.copyTo(image, known.astype(np.uint8), background)
    _mirror_outside(work, known, outside, background)
    return np.asarray(background)


def _mirror_outside(
    work: WorkImage,
    known: NDArray[np.float32],
    outside: NDArray[np.float32],
    background: NDArray[np.float32],
) -> None:
    """Continue what lies around a head inside its outline, as its mirror image, in place.

    Turned heads uncover little more than the rim of where the head was. A blur beside what is sharp
    would show there as the head's ghost.

    Args:
        work: The work image.
        known: ``(S, S)`` float32, 1 outside the person and 0 inside.
        outside: ``(S // 2, S // 2)`` float32, the same for larger pixels, 0 on the outline.
        background: ``(S, S, 3)`` float32 RGB to change.
    """
    scale, face_height = len(known) / len(outside), work.face_height * len(outside) / len(known)
    reach = np.multiply(face_height, [(-_AROUND_HEAD, -np.inf), (_AROUND_HEAD, _BELOW_CHIN)])
    chin = work.landmarks[CHIN, :2] / scale
    (left, top), (right, bottom) = np.clip(chin + reach, 0, len(outside)).astype(int)
    around = outside[top:bottom, left:right]
    if not around.any():
        return
    depth, label = cv2.distanceTransformWithLabels(
        (around == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.indices(around.shape, np.float32)
    nearest = np.flatnonzero(around)[label - 1]  # labels count what is outside in this order
    x, y = (_mirrored(place, nearest, depth, 0.01 * face_height) for place in (columns, rows))
    there = cv2.remap(around, x, y, cv2.INTER_LINEAR)
    share = smoothstep(0.8, 1.0, blur(there, 0.02 * face_height))
    share *= smoothstep(*_MIRRORED, depth / face_height)
    to_border = np.minimum(np.minimum(columns, columns[:, ::-1]), rows[::-1])
    share *= smoothstep(0.0, _FADE, to_border / face_height)

    (left, right), (top, bottom) = (
        [round(scale * end) for end in ends] for ends in ((left, right), (top, bottom))
    )
    box = np.s_[top:bottom, left:right]
    size = background[box].shape[1::-1]
    maps = (scale * (x + 0.5) - 0.5, scale * (y + 0.5) - 0.5, share)
    x, y, share = (cv2.resize(part.astype(np.float32), size) for part in maps)
    share *= 1.0 - known[box]
    mirrored = cv2.remap(background[box], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    background[box] = cv2.blendLinear(background[box], mirrored, 1.0 - share, share)


def _mirrored(
    place: NDArray[np.float32],
    nearest: NDArray[np.integer],
    depth: NDArray[np.float32],
    sigma: float,
) -> NDArray[np.float32]:
    """One coordinate ``(h, w)`` of the mirror image of each pixel, given that of the pixels.

    Args:
        place: ``(h, w)`` the coordinate of each pixel.
        nearest: ``(h, w)`` index of the nearest pixel outside.
        depth: ``(h, w)`` distance to it.
        sigma: Of the blur that the outline's steps need, pixels.
    """
    outside = place.ravel()[nearest]
    # The outline is not in the middle of that pixel but, on average, a pixel from it.
    outline = outside + (place - outside) / np.maximum(depth, 1.0)
    return blur(2.0 * outline - place, sigma)
