"""What about a photo makes the views of a face worse: told from the photo, before any view."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.work_image import WorkImage

LOW_RESOLUTION = 60.0
"""Pixels of face height in the photo below which a face is flagged ``low_resolution``."""
EXTREME_POSE = math.radians(40.0)
"""Yaw or pitch in the photo above which a face is flagged ``extreme_source_pose``."""

_TURNED = math.radians(20.0)
_SOFT_OUTLINE = 0.2  # area of the matte that is neither person nor background, over the person's
_FACE_OFF_PERSON = 0.05  # share of the face that the matte takes for background
_CROWD = 0.2  # square face heights of person where only somebody else can be
_ALIKE = 6.0  # squared distance of the hair's colour and texture from the skin's


def quality_flags(
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
    yaw: float,
    pitch: float,
) -> tuple[str, ...]:
    """Names of what makes the views less sure than those of an ordinary portrait.

    Args:
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        appearance: Skin and hair of the work image.
        yaw: Of the head in the photo, radians.
        pitch: Of the head in the photo, radians.

    Returns:
        Some of ``low_resolution`` (the face is less than 60 pixels high), ``turned_source_pose``
        (turned by more than 20°), ``extreme_source_pose`` (by more than 40°), ``cut_by_frame``,
        ``crowded`` (other people or raised arms beside the head), ``uncertain_outline`` (person
        and background are hard to tell apart) and ``hair_like_skin`` (so are hair and skin).
    """
    turned = max(abs(yaw), abs(pitch))
    height, lateral = work.along_face()
    inside = work.inside > 0.9
    face = work.face() & inside
    near = (height > 0.0) & (height < 1.7) & (lateral < 1.0) & inside
    soft = ((matte > 0.1) & (matte < 0.9) & near).sum() / max(1, ((matte >= 0.9) & near).sum())
    missed = ((matte < 0.5) & face).sum() / max(1, face.sum())
    beside = (matte > 0.5) & (height > 0.25) & (height < 1.2) & (lateral > 0.85) & inside
    hair = (appearance.hair > 0.6) & near & (height > 0.55) & (lateral < 0.75)
    column, row = np.clip(np.round(work.landmarks[:, :2]), 0, len(matte) - 1).astype(int).T
    found = {
        "low_resolution": work.face_height / work.scale < LOW_RESOLUTION,
        "turned_source_pose": _TURNED < turned <= EXTREME_POSE,
        "extreme_source_pose": turned > EXTREME_POSE,
        "cut_by_frame": (work.inside[row, column] < 0.5).any(),
        # A head that is turned away has its own back there.
        "crowded": turned < _TURNED and beside.sum() > _CROWD * work.face_height**2,
        "uncertain_outline": soft > _SOFT_OUTLINE or missed > _FACE_OFF_PERSON,
        "hair_like_skin": hair.sum() > 100
        and float(np.median(appearance.skin_distance[hair])) < _ALIKE,
    }
    return tuple(name for name, present in found.items() if present)
