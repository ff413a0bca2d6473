"""Moving photos and meshes onto the face template, and meshes into the renderer's coordinates.

Pixels have integer centres, x to the right and y down. Meshes are ``(N, 3)``; their z, larger =
nearer, is in a unit of its own and never scaled with x and y.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.errors import ImageError
from opendr_facerot.generate.aligned_crop import ARCFACE_TEMPLATE


def face_template(image_size: int) -> NDArray[np.float32]:
    """``(5, 2)`` pixels: eyes, nose tip, mouth corners, image-left first, in a square image.

    ArcFace's template with more room around the face; in float32, as the published tool has it.
    """
    room = np.array([50.0, 60.0], np.float32)
    in_400_px = ARCFACE_TEMPLATE.astype(np.float32) * np.float32(290.0) / np.float32(112.0) + room
    return np.asarray(in_400_px / np.float32(400.0) * np.float32(image_size))


def template_transform(points5: ArrayLike, image_size: int) -> NDArray[np.floating]:
    """Similarity ``(2, 3)`` that moves five ``(5, 2)`` pixels onto the template.

    Like :func:`opendr_facerot.geometry.fit_similarity` but computed, as the published tool does, in
    the precision of the points: of float32 points the result is float32.

    Raises:
        ImageError: The points are not finite, or all coincide.
    """
    points = np.asarray(points5)
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() == 0.0:
        raise ImageError(
            f"the five face points {points.round(1).tolist()} define no face: "
            "give five different points"
        )
    template = face_template(image_size)
    points_mean, template_mean = points.mean(axis=0), template.mean(axis=0)
    centred = points - points_mean
    u, singular, vt = np.linalg.svd((template - template_mean).T @ centred / len(points))
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))], u.dtype)
    scale = (singular * signs).sum() / (centred**2).mean(axis=0).sum()
    matrix = scale * ((u * signs) @ vt)
    return np.column_stack([matrix, template_mean - matrix @ points_mean])


def apply_transform(
    transform: NDArray[np.floating], vertices: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Move x and y of ``(N, 3)`` vertices by a ``(2, 3)`` transform, in float32; z stays."""
    x, y, z = vertices.T
    # Spelt out, for a matrix product may fuse and reorder the sums.
    moved = [row[0] * x + row[1] * y + row[2] for row in transform.astype(np.float32)]
    return np.stack([*moved, z], axis=1)


def face_crop(
    image: NDArray[np.uint8], landmarks5: ArrayLike, image_size: int = 256
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The photo moved onto the template.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        landmarks5: ``(5, 2)`` pixels, in the template's order.
        image_size: Side S of the crop.

    Returns:
        The crop ``(S, S, 3)`` float32 in [0, 1], multiples of 1/255, black outside the photo; and
        the transform ``(2, 3)`` float32 from photo to crop.

    Raises:
        ImageError: The landmarks define no face.
    """
    transform = template_transform(landmarks5, image_size)
    crop = _warped(image, transform, image_size)
    return crop / np.float32(255.0), transform.astype(np.float32)


def aligned_mesh(
    vertices: NDArray[np.float32], alignment_vertices: NDArray[np.integer], image_size: int
) -> NDArray[np.float32]:
    """A mesh whose five alignment vertices lie on the template, as well as a similarity can.

    So every view has its face upright, in the middle and of the same size; seen from the side,
    where the eyes are close together, the face comes out smaller.

    Args:
        vertices: ``(N, 3)`` in any pixels.
        alignment_vertices: ``(5,)`` vertex indices, in the template's order.
        image_size: Side of the image that the result is for.
    """
    points = vertices[alignment_vertices, :2]
    return apply_transform(template_transform(points, image_size), vertices)


def normalised_coordinates(vertices: NDArray[np.float32], image_size: int) -> NDArray[np.float32]:
    """Normalised device coordinates ``(N, 3)`` of a mesh in the pixels of a square image.

    Depth becomes -1 (nearest) to 1 (farthest vertex). The renderer's pixel centres lie half a pixel
    further right and up, so pictures come out shifted by half a pixel to the left and down; the
    generator was trained on such pictures.
    """
    size = np.float32(image_size)
    half = np.float32(image_size / 2)
    one = np.float32(1.0)
    x, y, z = vertices.T
    depth = (z - z.min()) / (z.max() - z.min()) * np.float32(2.0) - one
    return np.stack([x / half - one, (size - y - one) / half - one, -depth], axis=1)


def _warped(
    image: NDArray[np.uint8], transform: NDArray[np.floating], size: int
) -> NDArray[np.float32]:
    """The image moved by a ``(2, 3)`` transform: bilinear, rounded to whole numbers, 0 outside.

    The arithmetic is that of OpenCV 5's ``warpAffine``. OpenCV 4's rounds positions to 1/32 pixel,
    so that the crop, and every picture made from it, would depend on the installed version.
    """
    inverse = cv2.invertAffineTransform(transform).astype(np.float32)
    steps = np.arange(size, dtype=np.float32)
    by_row = steps[:, None] * inverse[:, 1, None, None] + inverse[:, 2, None, None]
    by_column = steps.astype(np.float64) * inverse[:, 0, None, None]  # exact, so fused with the sum
    position = (by_column + by_row).astype(np.float32)
    low = np.floor(position)
    right, down = (position - low)[..., None]
    x, y = low.astype(np.intp)

    def pixels(column: NDArray[np.intp], row: NDArray[np.intp]) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        values = image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return np.where(inside[..., None], values, 0).astype(np.float32)

    upper, lower = pixels(x, y), pixels(x, y + 1)
    upper += right * (pixels(x + 1, y) - upper)
    lower += right * (pixels(x + 1, y + 1) - lower)
    return np.rint(upper + down * (lower - upper))
