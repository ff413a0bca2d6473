"""The node's messages as its clients see them: requests to write, views to read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from opendr_facerot.ros.images import image_from_message
from opendr_facerot.ros.messages import Request
from opendr_facerot.rotator import RotatedFace
from opendr_facerot.views import View
from opendr_facerot_interfaces import msg

_MOST_DECIMALS = 9  # of an angle in degrees; more than float32 holds


def set_views(request: Request, views: Sequence[View]) -> None:
    """Ask for views, in their order."""
    request.yaw = [math.nan if view.yaw is None else view.yaw for view in views]
    request.pitch = [math.nan if view.pitch is None else view.pitch for view in views]
    request.grid = False


def rotated_face(message: msg.RotatedFace) -> RotatedFace:
    """One view.

    Angles that were asked for come back as the degrees with the fewest decimals that the message's
    float32 radians can have been made of: -30, not -30.0000007.

    Raises:
        ImageError: The image is not as the node sends it.
    """
    return RotatedFace(
        View(_angle(message.yaw), _angle(message.pitch)),
        float(message.applied_yaw),
        float(message.applied_pitch),
        float(message.applied_roll),
        float(message.seen_fraction),
        image_from_message(message.image),
        _alpha(message.image),
    )


def _angle(radians: float) -> float | None:
    if math.isnan(radians):
        return None
    for decimals in range(_MOST_DECIMALS):
        angle = math.radians(round(math.degrees(radians), decimals))
        if np.float32(angle) == np.float32(radians):
            return angle
    return radians


def _alpha(image: Image) -> NDArray[np.uint8] | None:
    """The coverage of an image whose size and step have been checked."""
    if image.encoding != "rgba8":
        return None
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    return rows[:, 3 : 4 * image.width : 4]
