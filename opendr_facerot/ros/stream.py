"""The faces of one camera's frames, followed from frame to frame where the pipeline can do so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.rotator import FaceRotator, FaceTracker, FittedFace, TrackingRotator


class FrameStream:
    """Fits the frames of one camera; not thread-safe.

    Args:
        rotator: The pipeline.
    """

    def __init__(self, rotator: FaceRotator) -> None:
        self._rotator = rotator
        self._tracker: FaceTracker | None = None

    def fit(self, image: NDArray[np.uint8], header: Any, *, tracking: bool) -> list[FittedFace]:
        """The faces of the next frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            header: The frame's ``std_msgs/msg/Header``; time is that of its stamps.
            tracking: Whether to follow faces, if the pipeline can.

        Raises:
            FacerotError: As :meth:`opendr_facerot.FaceRotator.fit`.
        """
        rotator = self._rotator
        if not tracking or not isinstance(rotator, TrackingRotator):
            self.forget()
            return rotator.fit(image)
        if self._tracker is None:
            self._tracker = rotator.track()
        return self._tracker.fit(image, header.stamp.sec + 1e-9 * header.stamp.nanosec)

    def forget(self) -> None:
        """Drop what is known of earlier frames."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()
