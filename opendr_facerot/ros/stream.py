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
        real_time: See :meth:`opendr_facerot.rotator.TrackingRotator.track`.
    """

    def __init__(self, rotator: FaceRotator, *, real_time: bool = False) -> None:
        self._rotator = rotator
        self._real_time = real_time
        self._tracker: FaceTracker | None = None

    def fit(
        self,
        image: NDArray[np.uint8],
        header: Any,
        skipped: Any = None,
        *,
        tracking: bool,
    ) -> list[FittedFace]:
        """The faces of the next frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            header: The frame's ``std_msgs/msg/Header``; time is that of its stamps.
            skipped: Header of the newest frame since the last one that was skipped; None if none
                was.
            tracking: Whether to follow faces, if the pipeline can.

        Raises:
            FacerotError: As :meth:`opendr_facerot.FaceRotator.fit`.
        """
        rotator = self._rotator
        if not tracking or not isinstance(rotator, TrackingRotator):
            self.forget()
            return rotator.fit(image)
        if self._tracker is None:
            self._tracker = rotator.track(real_time=self._real_time)
        return self._tracker.fit(
            image, _seconds(header), None if skipped is None else _seconds(skipped)
        )

    def forget(self) -> None:
        """Drop what is known of earlier frames."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()


def _seconds(header: Any) -> float:
    return float(header.stamp.sec + 1e-9 * header.stamp.nanosec)
