"""The views that a caller asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opendr_facerot.errors import AngleError

LIMIT = math.pi / 2
"""Largest absolute yaw or pitch of a view, radians."""

_TOLERANCE = 1e-4  # 90° rounded to float32 or to four decimals still counts as 90°


@dataclass(frozen=True)
class View:
    """Head angles to render.

    Attributes:
        yaw: Radians in [-pi/2, pi/2], > 0 turns the nose to image right; None keeps the photo's.
        pitch: Radians in [-pi/2, pi/2], > 0 looks down; None keeps the photo's.

    Raises:
        AngleError: An angle is not finite or out of range.
    """

    yaw: float | None = 0.0
    pitch: float | None = 0.0

    def __post_init__(self) -> None:
        for name in ("yaw", "pitch"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))


def view_grid(
    yaw: Iterable[float | None] = (0.0,),
    pitch: Iterable[float | None] = (0.0,),
    *,
    degrees: bool = False,
) -> list[View]:
    """Every yaw with every pitch, yaw running fastest.

    Args:
        yaw: Head yaws; None keeps the photo's.
        pitch: Head pitches; None keeps the photo's.
        degrees: The angles are degrees instead of radians.

    Raises:
        AngleError: An angle is not finite or outside [-90°, 90°].
    """
    yaws = [_in_radians(a, degrees) for a in yaw]
    return [View(y, p) for p in (_in_radians(a, degrees) for a in pitch) for y in yaws]


def view_pairs(
    yaw: Sequence[float | None],
    pitch: Sequence[float | None],
    *,
    degrees: bool = False,
) -> list[View]:
    """The first yaw with the first pitch, the second with the second, and so on.

    A list of one angle goes with every angle of the other list.

    Raises:
        AngleError: An angle is not finite or outside [-90°, 90°], or the lengths do not match.
    """
    count = max(len(yaw), len(pitch))
    if len(yaw) not in (1, count) or len(pitch) not in (1, count):
        raise AngleError(
            f"{len(yaw)} yaw and {len(pitch)} pitch angles cannot be paired: give lists of one "
            "length, or a single angle for one of them, or ask for a grid"
        )
    yaws = list(yaw) * (count if len(yaw) == 1 else 1)
    pitches = list(pitch) * (count if len(pitch) == 1 else 1)
    return [
        View(_in_radians(y, degrees), _in_radians(p, degrees))
        for y, p in zip(yaws, pitches, strict=True)
    ]


def _in_radians(angle: float | None, degrees: bool) -> float | None:
    return math.radians(angle) if degrees and angle is not None else angle


def _checked(name: str, angle: float | None) -> float | None:
    if angle is None:
        return None
    angle = float(angle)
    if not math.isfinite(angle):
        raise AngleError(f"{name} is {angle}: give a number, or None to keep the photo's {name}")
    if abs(angle) > LIMIT + _TOLERANCE:
        raise AngleError(
            f"{name} {angle:.4f} rad ({math.degrees(angle):.1f}°) is outside [-90°, 90°]"
        )
    return min(max(angle, -LIMIT), LIMIT)
