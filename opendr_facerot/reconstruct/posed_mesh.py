"""The face model in the photo: as the photo shows it, and turned.

All in float32, in the published tool's order of operations: a vertex takes the colour of the
photo's nearest pixel, so an error in the last bit can give it another colour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import rotation_from_euler
from opendr_facerot.reconstruct.face_parameters import (
    CROP_SIZE,
    FaceParameters,
    HeadPose,
    PixelConvention,
)


def photo_vertices(
    vertices: NDArray[np.float32],
    parameters: FaceParameters,
    convention: PixelConvention = PixelConvention.TDDFA,
) -> NDArray[np.float32]:
    """Vertices of the head as the photo shows it; the arguments are those of turned_vertices."""
    return _in_photo(vertices, parameters.camera[:, :3], parameters, convention)


def turned_vertices(
    vertices: NDArray[np.float32],
    parameters: FaceParameters,
    yaw: float,
    pitch: float,
    convention: PixelConvention = PixelConvention.TDDFA,
) -> NDArray[np.float32]:
    """Vertices of the turned head; its roll, scale and position stay those of the photo.

    Args:
        vertices: ``(N, 3)`` in model units.
        parameters: The face in the photo.
        yaw: Radians.
        pitch: Radians.
        convention: The convention that the parameters were estimated with.

    Returns:
        ``(N, 3)`` float32: x and y in pixels of the photo; z in pixels too, larger is nearer.
    """
    return _in_photo(vertices, turned_camera(parameters.pose, yaw, pitch), parameters, convention)


def turned_camera(photo: HeadPose, yaw: float, pitch: float) -> NDArray[np.float64]:
    """The ``(3, 3)`` scaled rotation, model units to crop pixels, that shows the turned head."""
    rotation = rotation_from_euler(yaw, pitch, photo.roll).astype(np.float32)
    return photo.scale * rotation.astype(np.float64)


def _in_photo(
    vertices: NDArray[np.float32],
    camera: NDArray[np.float64],
    parameters: FaceParameters,
    convention: PixelConvention,
) -> NDArray[np.float32]:
    x, y, z = vertices.T
    left, top, right, bottom = parameters.roi
    scales = (right - left) / CROP_SIZE, (bottom - top) / CROP_SIZE
    scale_x, scale_y, scale_z = (np.float32(s) for s in (*scales, sum(scales) / 2))
    # Sums of products spelt out: a matrix product may fuse and reorder them.
    px, py, pz = (
        row[0] * x + row[1] * y + row[2] * z + offset
        for row, offset in zip(
            camera.astype(np.float32), parameters.camera[:, 3].astype(np.float32), strict=True
        )
    )
    if convention is PixelConvention.TDDFA:
        py = np.float32(CROP_SIZE + 1) - py
    else:
        px, py, pz = px - np.float32(1), np.float32(CROP_SIZE) - py, pz - np.float32(1)
    image_x = px * scale_x + np.float32(left)
    image_y = py * scale_y + np.float32(top)
    return np.stack([image_x, image_y, pz * scale_z], axis=1)
