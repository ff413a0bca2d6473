"""What an evaluation finds: numbers per view, views per subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["posed", "photo", "sequence"]


@dataclass(frozen=True)
class ViewScore:
    """Numbers of one view; None where a number does not exist, e.g. for want of a true view.

    Attributes:
        yaw: Of the view, radians: the head's for a photo, the orbit's for a posed folder.
        pitch: As ``yaw``.
        asked: Yaw and pitch of the head that the pipeline was asked for, radians.
        found: Yaw and pitch of the head estimated from the view, radians.
        found_true: Yaw and pitch of the head estimated from the true view, radians.
        identity_source: Cosine of the identity embeddings of the view and the photo.
        identity_true: Cosine of those of the view and the true view.
        identity_ceiling: Cosine of those of the true view and the photo.
        psnr_head: dB, over the true head where the view has a head too.
        psnr_face: dB, the same within the outline of the face.
        ssim_head: In [-1, 1], where ``psnr_head`` is taken.
        ssim_face: In [-1, 1], where ``psnr_face`` is taken.
        holes: Share of the true head's pixels where the view has no head.
        leak: Share of the head's pixels that show the background of the photo.
        seen: Share of the head's pixels that come from the photo; the others are filled in.
        misalignment: Median distance of the landmarks of view and true view, pixels of the latter.
        temporal_input: Grey levels by which the face changes from frame to frame of a sequence.
        temporal_view: Grey levels by which the view of it does.
        failure: Why the view or its numbers are missing; None where they are not.
    """

    yaw: float
    pitch: float
    asked: tuple[float, float] | None = None
    found: tuple[float, float] | None = None
    found_true: tuple[float, float] | None = None
    identity_source: float | None = None
    identity_true: float | None = None
    identity_ceiling: float | None = None
    psnr_head: float | None = None
    psnr_face: float | None = None
    ssim_head: float | None = None
    ssim_face: float | None = None
    holes: float | None = None
    leak: float | None = None
    seen: float | None = None
    misalignment: float | None = None
    temporal_input: float | None = None
    temporal_view: float | None = None
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class ViewPictures:
    """What a view was scored on.

    Attributes:
        yaw: As in the score.
        pitch: As in the score.
        ours: ``(H, W, 3)`` uint8 RGB, the synthesised view.
        true: ``(H, W, 3)`` uint8 RGB, the true view; None if there is none.
        mask: ``(H, W)`` bool, the head; None without a true view.
    """

    yaw: float
    pitch: float
    ours: NDArray[np.uint8]
    true: NDArray[np.uint8] | None = None
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Subject:
    """All that is known of one photo, posed folder or sequence.

    Attributes:
        name: Of its file or folder, for a variation of a photo followed by what was done to it.
        kind: Which of them it is.
        angles: Yaw, pitch and roll estimated from the photo (the first frame), radians; None
            without a face.
        flags: Quality warnings of the pipeline.
        views: Their scores, in the order asked for.
        failure: Why there are no views; None where there are.
    """

    name: str
    kind: Kind
    angles: tuple[float, float, float] | None = None
    flags: tuple[str, ...] = ()
    views: tuple[ViewScore, ...] = ()
    failure: str | None = None
