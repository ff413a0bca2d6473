"""Frames of the node's image topic, and the one whose faces are known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from opendr_facerot.ros.images import ImageMessage
from opendr_facerot.rotator import FittedFace, RotatorSettings

_STILL_LATEST = 2.0
"""Seconds before the latest frame in which faces may have been fitted to stand for those in it."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of the node's image topic.

    Attributes:
        message: As it came.
        arrived: When it came, on the clock of :func:`time.monotonic`.
        wanted: Whether anybody wants its faces, so that it is to be worked on.
        predecessor: Header of the frame before it; None of the first.
    """

    message: ImageMessage
    arrived: float
    wanted: bool
    predecessor: Header | None


@dataclass(frozen=True, eq=False)
class FittedFrame:
    """The frame worked on last, if it shows faces.

    Attributes:
        frame: The frame.
        image: ``(H, W, 3)`` uint8 RGB, its pixels.
        faces: Fitted in it, the largest first.
        settings: Of the fit.
    """

    frame: Frame
    image: NDArray[np.uint8]
    faces: list[FittedFace]
    settings: RotatorSettings

    def stands_for(self, latest: Frame, wanted: RotatorSettings) -> bool:
        """Whether a request for the latest frame can be answered with these faces.

        Args:
            latest: The latest frame.
            wanted: Settings of the request.
        """
        if not latest.wanted or latest.arrived - self.frame.arrived > _STILL_LATEST:
            return False
        limit = self.settings.max_faces
        if dataclasses.replace(wanted, max_faces=limit) != self.settings:
            return False
        return limit == 0 or len(self.faces) < limit or 0 < wanted.max_faces <= limit
