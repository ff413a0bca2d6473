"""Faces that keep their names while they are in view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

MEMORY = 1.0
"""Seconds for which a face that is out of sight keeps its name."""

_VELOCITY_SHARE = 0.4  # of a new velocity in the smoothed one
_LARGEST_PREDICTION = 0.5  # seconds of steady motion that are believed

StateT = TypeVar("StateT")


class Track(Generic[StateT]):
    """One face: its name, where it was, and how it moves.

    Args:
        face_id: Its name.
        box: ``(4,)`` left, top, right, bottom, pixels.
        stamp: When it was there, seconds.
        state: What the user of tracks knows about it.

    Attributes:
        face_id: Its name.
        box: ``(4,)`` where it was last seen.
        seen: When, seconds.
        state: What the user of tracks knows about it.
    """

    def __init__(
        self, face_id: str, box: NDArray[np.floating], stamp: float, state: StateT
    ) -> None:
        self.face_id = face_id
        self.box = np.asarray(box, np.float64)
        self.seen = stamp
        self.state = state
        self._velocity = np.zeros(4)

    def observe(self, box: NDArray[np.floating], stamp: float) -> None:
        """Take note of where the face is now."""
        new = np.asarray(box, np.float64)
        if stamp > self.seen:
            velocity = (new - self.box) / (stamp - self.seen)
            self._velocity += _VELOCITY_SHARE * (velocity - self._velocity)
        self.box, self.seen = new, stamp

    def place(self, box: NDArray[np.floating], stamp: float) -> None:
        """Take note of where the face is after it was out of sight, however it got there."""
        self.box, self.seen = np.asarray(box, np.float64), stamp
        self._velocity = np.zeros(4)

    def predicted(self, stamp: float) -> NDArray[np.float64]:
        """``(4,)`` where the face should be if it moves on steadily for a while."""
        seconds = min(max(stamp - self.seen, 0.0), _LARGEST_PREDICTION)
        return np.asarray(self.box + seconds * self._velocity)


class TrackBook(Generic[StateT]):
    """The faces in view, those that have just been lost, and the names given so far.

    Attributes:
        visible: In view, in the order in which they came.
        lost: Out of sight for at most :data:`MEMORY` seconds.
    """

    def __init__(self) -> None:
        self.visible: list[Track[StateT]] = []
        self.lost: list[Track[StateT]] = []
        self._named = 0

    def __iter__(self) -> Iterator[Track[StateT]]:
        """The faces in view, then those that are lost."""
        return iter([*self.visible, *self.lost])

    def begin(self, box: NDArray[np.floating], stamp: float, state: StateT) -> Track[StateT]:
        """A face that was not there before."""
        track = Track(f"track{self._named}", box, stamp, state)
        self._named += 1
        self.visible.append(track)
        return track

    def lose(self, track: Track[StateT]) -> None:
        """A face is out of sight."""
        self.visible.remove(track)
        self.lost.append(track)

    def find_again(self, track: Track[StateT], box: NDArray[np.floating], stamp: float) -> None:
        """A face that was lost is back."""
        self.lost.remove(track)
        track.place(box, stamp)
        self.visible.append(track)

    def forget(self, stamp: float) -> None:
        """Drop the faces that have been out of sight for too long."""
        self.lost = [track for track in self.lost if stamp - track.seen <= MEMORY]

    def clear(self) -> None:
        """Drop all faces; their names are not given again."""
        self.visible.clear()
        self.lost.clear()
