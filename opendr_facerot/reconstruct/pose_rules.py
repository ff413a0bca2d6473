"""Which head pose a view asks for.

Angles follow :mod:`opendr_facerot.geometry`. The roll always stays that of the photo.
"""

from __future__ import annotations

import math
from enum import Enum

from opendr_facerot.randomness import RandomSource, draw_integer
from opendr_facerot.reconstruct.face_parameters import HeadPose

_YAW_NOISE = 0.342, 0.965
_PITCH_NOISE = 0.5
_MAX_NOISY_YAW, _MAX_NOISY_PITCH = 1.2, 1.0


class PoseRule(Enum):
    """What happens to the angle that a view does not ask for, and to the sign of the pitch."""

    OPENDR = "opendr"
    """Yaw and pitch are replaced each on its own; what is not asked for stays the photo's."""

    ROTATE_AND_RENDER = "rotate_and_render"
    """The pitch takes the photo's sign whatever is asked for; without a request it stays, but a
    face that looks up is levelled. Without any request the face is turned to the front."""


def view_angles(
    photo: HeadPose,
    yaw: float | None,
    pitch: float | None,
    *,
    rule: PoseRule = PoseRule.OPENDR,
    round_radians: bool = False,
) -> tuple[float, float]:
    """Yaw and pitch of a view, radians.

    Args:
        photo: Head pose in the photo.
        yaw: Requested yaw, radians; None for no request.
        pitch: Requested pitch, radians; None for no request.
        rule: Whose rule.
        round_radians: Round requests to two decimals, as Rotate-and-Render and OpenDR do with
            angles given in degrees: 10° becomes 0.17 rad, which is 9.74°.
    """
    if round_radians:
        yaw, pitch = (None if angle is None else round(angle, 2) for angle in (yaw, pitch))
    if rule is PoseRule.OPENDR:
        return photo.yaw if yaw is None else yaw, photo.pitch if pitch is None else pitch
    if yaw is None:
        yaw = 0.0 if pitch is None else photo.yaw
    if pitch is None:
        return yaw, max(photo.pitch, 0.0)
    return yaw, abs(pitch) if photo.pitch >= 0.0 else -abs(pitch)


def training_angles(photo: HeadPose, source: RandomSource) -> tuple[float, float]:
    """Random yaw and pitch of a training view, radians.

    One view in five is frontal; the others are turned by 0.342 to 0.965 rad to either side and
    nod by up to 0.5 rad, at most 1.0.
    """
    yaw, pitch = view_angles(photo, None, None, rule=PoseRule.ROTATE_AND_RENDER)
    if draw_integer(source, 0, 5) == 0:
        return yaw, pitch
    low, high = _YAW_NOISE
    to_left = draw_integer(source, 0, 2) == 0
    yaw += source.uniform(-high, -low) if to_left else source.uniform(low, high)
    pitch += source.uniform(-_PITCH_NOISE, _PITCH_NOISE)
    return _clipped(yaw, _MAX_NOISY_YAW), _clipped(pitch, _MAX_NOISY_PITCH)


def _clipped(angle: float, limit: float) -> float:
    return math.copysign(min(abs(angle), limit), angle)
