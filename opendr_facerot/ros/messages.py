"""Requests, results and errors between ROS messages and the package's own types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from builtin_interfaces.msg import Duration
from numpy.typing import NDArray
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from opendr_facerot.errors import AngleError, FacerotError, ImageError, NoFaceError
from opendr_facerot.ros.errors import BusyError, NoImageError, NotActiveError
from opendr_facerot.ros.images import image_message
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot.rotator import RotatedFace
from opendr_facerot.views import View, view_grid, view_pairs
from opendr_facerot_interfaces import msg
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.srv import RotateFace

Request: TypeAlias = RotateFace.Request | RotateFaceSet.Goal
Answer: TypeAlias = RotateFace.Response | RotateFaceSet.Result

MAX_VIEWS = 1000
"""Most views of one request, whose pictures are all in memory before the answer is sent."""

_ERROR_CODES: tuple[tuple[type[FacerotError], int], ...] = (
    (NoImageError, RotateFace.Response.NO_IMAGE),
    (ImageError, RotateFace.Response.BAD_IMAGE),
    (AngleError, RotateFace.Response.BAD_ANGLES),
    (NoFaceError, RotateFace.Response.NO_FACE),
    (BusyError, RotateFace.Response.BUSY),
    (NotActiveError, RotateFace.Response.NOT_ACTIVE),
)


def requested_views(request: Request) -> list[View]:
    """The views of a request.

    Raises:
        AngleError: An angle is infinite or outside [-pi/2, pi/2], a list is empty, the lists
            cannot be paired, or there are more than :data:`MAX_VIEWS` views.
    """
    for name, angles in (("yaw", request.yaw), ("pitch", request.pitch)):
        if len(angles) == 0:
            raise AngleError(
                f"the list of {name} angles is empty: give radians, 0 being frontal, or NaN to "
                f"keep the photo's {name}"
            )
    lengths = len(request.yaw), len(request.pitch)
    count = lengths[0] * lengths[1] if request.grid else max(lengths)
    if count > MAX_VIEWS:
        raise AngleError(f"{count} views are asked for: at most {MAX_VIEWS} can be in one request")
    choose = view_grid if request.grid else view_pairs
    return choose(*([_angle_from_field(a) for a in b] for b in (request.yaw, request.pitch)))


def face_message(
    face: TurnedFace, views: Sequence[RotatedFace], header: Header
) -> msg.RotatedFaceArray:
    """A face with some of its views; ``header`` is the source image's."""
    fitted = face.fitted
    return msg.RotatedFaceArray(
        header=header,
        face_id=face_id(face),
        roi=region_of_interest(fitted.face.box, face.image_size),
        detection_score=float(fitted.face.score),
        source_yaw=float(fitted.yaw),
        source_pitch=float(fitted.pitch),
        source_roll=float(fitted.roll),
        views=[view_message(view, header) for view in views],
        flags=list(fitted.flags),
        processing_time=_duration(face.seconds),
    )


def view_message(rotated: RotatedFace, header: Header) -> msg.RotatedFace:
    """One view; its image is rgba8 if the background is transparent, else rgb8."""
    alpha = rotated.alpha
    pixels = rotated.image if alpha is None else np.dstack([rotated.image, alpha])
    return msg.RotatedFace(
        yaw=_angle_to_field(rotated.view.yaw),
        pitch=_angle_to_field(rotated.view.pitch),
        applied_yaw=float(rotated.yaw),
        applied_pitch=float(rotated.pitch),
        applied_roll=float(rotated.roll),
        seen_fraction=float(rotated.seen_fraction),
        image=image_message(pixels, header),
    )


def region_of_interest(box: NDArray[np.float32], image_size: tuple[int, int]) -> RegionOfInterest:
    """The pixels that a box of left, top, right, bottom touches in an image of width, height."""
    width, height = image_size
    left, right = (min(max(edge, 0), width) for edge in (math.floor(box[0]), math.ceil(box[2])))
    top, bottom = (min(max(edge, 0), height) for edge in (math.floor(box[1]), math.ceil(box[3])))
    return RegionOfInterest(
        x_offset=left, y_offset=top, width=max(right - left, 0), height=max(bottom - top, 0)
    )


def face_id(face: TurnedFace) -> str:
    """Name of a face among those of its image."""
    return f"face{face.index}"


def set_error(answer: Answer, error: BaseException) -> None:
    """Say in an answer why there is no result."""
    answer.success = False
    answer.error_code = error_code(error)
    answer.message = str(error) or type(error).__name__


def error_code(error: BaseException) -> int:
    """The constant of RotateFace for an error; INTERNAL for those that a request cannot cause."""
    for kind, code in _ERROR_CODES:
        if isinstance(error, kind):
            return code
    return int(RotateFace.Response.INTERNAL)


def _angle_from_field(angle: float) -> float | None:
    return None if math.isnan(angle) else float(angle)


def _angle_to_field(angle: float | None) -> float:
    return math.nan if angle is None else float(angle)


def _duration(seconds: float) -> Duration:
    nanoseconds = round(seconds * 1e9)
    return Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
