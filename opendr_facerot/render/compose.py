"""Laying a turned head over the photo's layers or a colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import to_uint8
from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import inlined, kernel
from opendr_facerot.render.plate import Plate


def place(
    image: NDArray[np.uint8], scale: float, offset: NDArray[np.float64], size: int
) -> NDArray[np.uint8]:
    """Resample an image: output = scale * input + offset, ``(size, size, C)``."""
    matrix = np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])
    if scale < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    )


def place_layers(
    plate: Plate, scale: float, offset: NDArray[np.float64], size: int
) -> tuple[NDArray[np.uint8], ...]:
    """All layers resampled: output = scale * work + offset.

    Views that are finer than the plate get the photo's own detail wherever the plate shows the
    photo as it is.

    Returns:
        The plate's ``behind``, ``collar``, ``person`` and ``hair``, and :func:`place_photo`, each
        ``(size, size, C)`` uint8.
    """
    layers = plate.behind, plate.collar, plate.person, plate.hair
    placed = [place(layer, scale, offset, size) for layer in layers]
    photo = place_photo(plate, scale, offset, size)
    if scale <= 1.0:
        return (*placed, photo)
    soft = place(plate.image, scale, offset, size)
    for layer, image in zip(layers, placed, strict=True):
        same = np.empty(layer.shape[:2], np.uint8)
        _mark_equal(layer, plate.image, same)
        _add_detail(photo, soft, place(same, scale, offset, size), image)
    return (*placed, photo)


def place_photo(
    plate: Plate, scale: float, offset: NDArray[np.float64], size: int
) -> NDArray[np.uint8]:
    """The photo itself, resampled once: output = scale * work + offset.

    Returns:
        ``(size, size, 4)`` uint8 RGBA, transparent where there is no photo.
    """
    photo = plate.photo
    whole = np.full((*photo.shape[:2], 1), 255, np.uint8)
    zoom, shift = scale * plate.photo_scale, scale * plate.photo_offset + offset
    matrix = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]]])
    if zoom < 0.7:
        photo = cv2.GaussianBlur(photo, (0, 0), 0.4 / zoom)
    kernel = cv2.INTER_LINEAR if zoom < 0.7 else cv2.INTER_CUBIC
    colours = cv2.warpAffine(
        photo, matrix, (size, size), flags=kernel, borderMode=cv2.BORDER_REPLICATE
    )
    return np.dstack([colours, cv2.warpAffine(whole, matrix, (size, size))])


def show_photo(
    head: NDArray[np.float32], photo: NDArray[np.uint8], matte: NDArray[np.uint8], share: float
) -> NDArray[np.float32]:
    """Blend a premultiplied head towards the photo's colours where the photo shows the person.

    Args:
        head: ``(N, N, 4)`` float32, premultiplied RGB of 0..255 and alpha of 0..1.
        photo: ``(N, N, 4)`` uint8 RGBA.
        matte: ``(N, N)`` uint8, the person in it.
        share: In [0, 1].

    Returns:
        ``(N, N, 4)`` float32 of the same alpha.
    """
    alpha = head[..., 3:]
    weight = np.minimum(photo[..., 3:], matte[..., None]) * np.float32(share / 255.0)
    colours = head[..., :3] + weight * (photo[..., :3] * alpha - head[..., :3])
    return np.concatenate([colours, alpha], axis=2)


def towards_photo(
    image: NDArray[np.uint8], photo: NDArray[np.uint8], share: float
) -> NDArray[np.uint8]:
    """Blend an image ``(N, N, 3)`` towards a photo ``(N, N, 4)`` RGBA by a share in [0, 1]."""
    weight = photo[..., 3:] * np.float32(share / 255.0)
    return to_uint8(image + weight * (photo[..., :3] - image.astype(np.float32)))


def lay_over(
    front: NDArray[np.float32], behind: NDArray[np.uint8], opacity: float = 1.0
) -> NDArray[np.float32]:
    """Lay a premultiplied image over an RGBA image that is not, seen at an opacity.

    Args:
        front: ``(N, N, 4)`` float32, premultiplied RGB of 0..255 and alpha of 0..1.
        behind: ``(N, N, 4)`` uint8 RGBA.
        opacity: Factor in [0, 1] on the alpha of ``behind``.

    Returns:
        ``(N, N, 4)`` float32, premultiplied.
    """
    image = np.empty_like(front)
    scale = np.float32(opacity / 255.0)

    def work(first: int, last: int) -> None:
        _lay_over(front[first:last], behind[first:last], scale, image[first:last])

    run_bands(work, len(image))
    return image


def behind_face(collar: NDArray[np.uint8], face: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A collar without what a face hides of it.

    Args:
        collar: ``(N, N, 4)`` uint8 RGBA.
        face: ``(K, 2)`` pixels, points on the face; their convex hull is hidden.

    Returns:
        ``(N, N, 4)`` uint8 RGBA.
    """
    bits = 4  # of a pixel's fraction
    points = np.round(np.clip(face, -1e4, 1e4) * (1 << bits)).astype(np.int32)
    alpha = np.ascontiguousarray(collar[..., 3])
    cv2.fillConvexPoly(alpha, cv2.convexHull(points), 0, cv2.LINE_AA, bits)
    hidden = collar.copy()
    hidden[..., 3] = alpha
    return hidden


def over_plate(
    head: NDArray[np.float32], behind: NDArray[np.uint8], collar: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Lay a premultiplied head ``(N, N, 4)`` between a background and a collar."""
    image = np.empty(behind.shape, np.uint8)

    def work(first: int, last: int) -> None:
        _over_plate(head[first:last], behind[first:last], collar[first:last], image[first:last])

    run_bands(work, len(image))
    return image


def over_colour(head: NDArray[np.float32], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Lay a premultiplied head ``(N, N, 4)`` over an RGB colour."""
    image = np.empty((*head.shape[:2], 3), np.uint8)
    below = np.array(colour, np.float32)

    def work(first: int, last: int) -> None:
        _over_colour(head[first:last], below, image[first:last])

    run_bands(work, len(image))
    return image


def straight_alpha(head: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB that is not premultiplied, and alpha, of a premultiplied head ``(N, N, 4)``."""
    colour, alpha = np.empty((*head.shape[:2], 3), np.uint8), np.empty(head.shape[:2], np.uint8)

    def work(first: int, last: int) -> None:
        _straight_alpha(head[first:last], colour[first:last], alpha[first:last])

    run_bands(work, len(colour))
    return colour, alpha


# Kernels: float32, as NumPy would compute it.


@inlined
def _rounded(value):  # type: ignore[no-untyped-def]
    return np.uint8(min(max(value + np.float32(0.5), np.float32(0.0)), np.float32(255.0)))


@kernel
def _lay_over(front, behind, scale, image):  # type: ignore[no-untyped-def]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            alpha = np.float32(behind[row, column, 3]) * scale
            free = np.float32(1.0) - front[row, column, 3]
            for c in range(3):
                layer = np.float32(behind[row, column, c]) * alpha
                image[row, column, c] = front[row, column, c] + layer * free
            image[row, column, 3] = front[row, column, 3] + alpha * free


@kernel
def _over_plate(head, behind, collar, image):  # type: ignore[no-untyped-def]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if head[row, column, 3] == np.float32(0.0) and collar[row, column, 3] == 0:
                for c in range(3):
                    image[row, column, c] = behind[row, column, c]
                continue
            free = np.float32(1.0) - head[row, column, 3]
            alpha = np.float32(collar[row, column, 3]) / np.float32(255.0)
            for c in range(3):
                value = head[row, column, c] + np.float32(behind[row, column, c]) * free
                value = value * (np.float32(1.0) - alpha)
                value += np.float32(collar[row, column, c]) * alpha
                image[row, column, c] = _rounded(value)


@kernel
def _over_colour(head, below, image):  # type: ignore[no-untyped-def]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            free = np.float32(1.0) - head[row, column, 3]
            for c in range(3):
                image[row, column, c] = _rounded(head[row, column, c] + below[c] * free)


@kernel
def _straight_alpha(head, colour, alpha):  # type: ignore[no-untyped-def]
    for row in range(colour.shape[0]):
        for column in range(colour.shape[1]):
            opacity = head[row, column, 3]
            alpha[row, column] = _rounded(np.float32(255.0) * opacity)
            for c in range(3):
                value = np.float32(0.0)
                if opacity > np.float32(0.0):
                    value = head[row, column, c] / max(opacity, np.float32(1e-6))
                colour[row, column, c] = _rounded(value)


@kernel
def _mark_equal(layer, image, same):  # type: ignore[no-untyped-def]
    """255 where the colours differ by 1 at most, else 0."""
    for row in range(same.shape[0]):
        for column in range(same.shape[1]):
            most = 0
            for c in range(3):
                most = max(most, abs(np.int32(layer[row, column, c]) - image[row, column, c]))
            same[row, column] = 255 if most <= 1 else 0


@kernel
def _add_detail(photo, soft, share, image):  # type: ignore[no-untyped-def]
    """Add to an image, in place, a share, 0..255, of what a photo has and its soft copy has not."""
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if share[row, column] and photo[row, column, 3] == 255:
                opacity = np.float32(share[row, column]) * np.float32(1.0 / 255.0)
                for c in range(3):
                    detail = np.float32(photo[row, column, c]) - np.float32(soft[row, column, c])
                    value = np.float32(image[row, column, c]) + opacity * detail
                    image[row, column, c] = _rounded(value)
