"""Geometry, and the conventions that the whole package follows.

Images
    ``(H, W, 3)`` uint8 RGB. Pixel centres lie at integer coordinates, x to the right, y down.
    Batches lead: ``(B, H, W, 3)``.
Model space
    x to image right, y up, z towards the camera. Model units inside a head model (centimetres for
    the ``head`` pipeline), metres in ROS.
Camera space
    x to image right, y down, z away from the camera (OpenCV). ``MODEL_TO_CAMERA`` flips between
    the two: it is its own inverse.
Angles
    Radians. Names without a suffix are radians, names ending in ``_deg`` are degrees and exist
    only where people type.
    yaw > 0 turns the nose to image right, pitch > 0 looks down, roll > 0 turns counter-clockwise on
    the screen. ``R = Rz(roll) @ Ry(yaw) @ Rx(pitch)`` acts on column vectors in model space.
    A view's angles are those of the head, not offsets: (0, 0) is frontal.
"""

from opendr_facerot.geometry.alignment import SimilarityTransform, fit_similarity
from opendr_facerot.geometry.cameras import MODEL_TO_CAMERA, Intrinsics, look_at
from opendr_facerot.geometry.rotations import euler_from_rotation, rotation_from_euler

__all__ = [
    "MODEL_TO_CAMERA",
    "Intrinsics",
    "SimilarityTransform",
    "euler_from_rotation",
    "fit_similarity",
    "look_at",
    "rotation_from_euler",
]
