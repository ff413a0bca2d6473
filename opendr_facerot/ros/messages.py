"""Requests, results and errors between ROS messages and the package's own types."""

from __future__ import annotations

import math
from typing import TypeAlias

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import RegionOfInterest

from opendr_facerot.errors import AngleError, FacerotError, ImageError, NoFaceError
from opendr_facerot.ros.errors import BusyError, NoImageError, NotActiveError
from opendr_facerot.ros.face_messages import FaceMessages
from opendr_facerot.ros.images import image_message
from opendr_facerot.ros.rotation import MAX_VIEWS
from opendr_facerot.views import View, view_grid, view_pairs
from opendr_facerot_interfaces import msg
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.srv import RotateFace

Request: TypeAlias = RotateFace.Request | RotateFaceSet.Goal
Answer: TypeAlias = RotateFace.Response | RotateFaceSet.Result

_MESSAGES = FaceMessages(
    msg.RotatedFaceArray, msg.RotatedFace, RegionOfInterest, Duration, image_message
)
face_message = _MESSAGES.face
view_message = _MESSAGES.view
montage_message = _MESSAGES.montage
region_of_interest = _MESSAGES.region_of_interest

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
            cannot be paired, or there are more than :data:`rotation.MAX_VIEWS` views.
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
