"""The slow part of following a head: full fits beside the stream, and the change to a new one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.filters import smoothstep
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.pipelines.head_state import HeadState, PhotoScenery
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.rotator import Face, FittedFace
from opendr_facerot.threads import single_threaded_blas, stand_back, undivided
from opendr_facerot.tracking.keyframe import HeadLook, head_look
from opendr_facerot.tracking.live_texture import FrameSight
from opendr_facerot.tracking.scenery import MixedScenery, PlacedScenery

REFRESH_SECONDS = 1.0
"""From the frame of a full fit to the first one that it may be used in, and to that of the next."""

_BLEND_SECONDS = 0.5  # that the change to a new full fit takes
_PERIOD = 5.0  # between full fits
_SOONEST = 1.0  # between full fits, whatever happens
_MORE_FRONTAL = np.radians(7.0)  # by which a pose must be better for a full fit at once
_LESS_FRONTAL = np.radians(10.0)  # by which it may be worse
_NEW_LIGHT = 0.35  # natural log of an exposure that calls for a full fit at once

Reconstruct = Callable[
    [NDArray[np.uint8], Face, NDArray[np.floating], Intrinsics, Stopwatch], FittedFace
]
"""The full fit of a face whose landmarks are known."""


@dataclass(frozen=True)
class HeadTools:
    """What heads are followed with.

    Attributes:
        model: The head model.
        matting: Tells the person from the background.
        reconstruct: The full fit.
        beside: Runs part of a frame's work in a second thread.
        full_fits: Makes full fits beside the stream.
    """

    model: HeadModel
    matting: PersonMatting
    reconstruct: Reconstruct
    beside: Executor
    full_fits: FullFits


@dataclass(frozen=True, eq=False)
class FollowedFrame:
    """A frame with a head that is followed.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        face: The face in it.
        landmarks: ``(478, 3)`` pixels.
        camera: Of the frame.
        time: When it was taken, seconds.
    """

    image: NDArray[np.uint8]
    face: Face
    landmarks: NDArray[np.floating]
    camera: Intrinsics
    time: float


class FullFits:
    """Full fits beside the stream: one after the other, begun in frames that lie well apart.

    Heads that came together are due together; their fits at once would slow the stream down for
    as many times as long.

    Args:
        reconstruct: The full fit.
        real_time: Whether a late fit is used when it is ready, instead of being waited for.

    Attributes:
        real_time: See above.
    """

    def __init__(self, reconstruct: Reconstruct, *, real_time: bool) -> None:
        self.real_time = real_time
        self._reconstruct = reconstruct
        self._thread = ThreadPoolExecutor(
            1, "facerot refresh", initializer=stand_back if real_time else None
        )
        self._newest: Future[FittedFace] | None = None
        self._next_time = -np.inf

    def begin(self, frame: FollowedFrame) -> Future[FittedFace] | None:
        """Begin the full fit of a head in a frame; None while it is the turn of another one."""
        late = self._newest is not None and not self._newest.done()
        if frame.time < self._next_time or (self.real_time and late):
            return None
        self._next_time = frame.time + REFRESH_SECONDS
        self._newest = self._thread.submit(_fit, self._reconstruct, frame)
        return self._newest

    def close(self) -> None:
        """Wait for a fit that runs, and make no other."""
        self._thread.shutdown(cancel_futures=True)


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A full fit in use.

    Attributes:
        look: Of the head.
        scenery: Around it.
        time: When its frame was taken, seconds.
        turned: Angle of the head in it away from the camera, radians.
        exposure: ``(3,)`` of its frame, natural log.
        flags: Quality warnings.
    """

    look: HeadLook
    scenery: PlacedScenery
    time: float
    turned: float
    exposure: NDArray[np.floating]
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Begun:
    """A full fit that runs."""

    fitted: Future[FittedFace]
    sight: FrameSight
    time: float
    exposure: NDArray[np.floating]


class LookKeeper:
    """Keeps the look of one head up to date.

    A full fit is made of a frame that shows the head more frontally than the one in use, or in
    another light, and otherwise every few seconds. It is used from a fixed time after its frame on.
    If it is not ready then, it is waited for, so that the result depends on the stamps alone; in
    real time, it is used from the first later frame at which it is ready.

    Args:
        tools: What heads are followed with.
        first: The full fit of the first frame.
        sight: What that frame shows.
        time: When it was taken, seconds.
    """

    def __init__(self, tools: HeadTools, first: FittedFace, sight: FrameSight, time: float) -> None:
        self._tools = tools
        self._place: HeadState = first.state
        self._detail = self._place.appearance.detail
        self._begun: _Begun | None = None
        self._newer: Keyframe | None = None
        self._newer_from = 0.0
        self._tried = time
        self._key = self._keyframe(first, sight, time, np.zeros(3))

    def look(self, time: float) -> HeadLook:
        """The look at a time, in the middle of a change a mixture."""
        if self._newer is None:
            return self._key.look
        return self._key.look.towards(self._newer.look, self._share(time))

    @property
    def flags(self) -> tuple[str, ...]:
        """Quality warnings of the newest full fit in use."""
        return (self._newer or self._key).flags

    def scenery(self, time: float, exposure: NDArray[np.floating]) -> MixedScenery:
        """The surroundings at a time, shown at an exposure."""
        if self._newer is None:
            return MixedScenery([(self._key.scenery, 1.0)], exposure)
        share = self._share(time)
        parts = [(self._key.scenery, 1.0 - share), (self._newer.scenery, share)]
        return MixedScenery(parts, exposure)

    def advance(self, time: float) -> None:
        """Take over what is due at the time of the next frame."""
        if self._newer is not None and time - self._newer_from >= _BLEND_SECONDS:
            self._key, self._newer = self._newer, None
        begun = self._begun
        if begun is None or time - begun.time < REFRESH_SECONDS:
            return
        if self._tools.full_fits.real_time and not begun.fitted.done():
            return
        self._begun = None
        fitted = begun.fitted.result()
        self._newer = self._keyframe(fitted, begun.sight, begun.time, begun.exposure)
        self._newer_from = time

    def offer(
        self,
        frame: FollowedFrame,
        sight: FrameSight,
        angles: tuple[float, float, float],
        exposure: NDArray[np.floating],
    ) -> None:
        """Begin a full fit of the newest frame if that is worth while.

        Args:
            frame: The frame.
            sight: What it shows.
            angles: Of the head in it, radians.
            exposure: ``(3,)`` of the frame, natural log.
        """
        if self._begun is not None or self._newer is not None:
            return
        key = self._key
        better = key.turned - _away(angles)
        new_light = float(np.abs(exposure - key.exposure).max()) > _NEW_LIGHT
        due = frame.time - key.time >= _PERIOD and better >= -_LESS_FRONTAL
        if not (due or better > _MORE_FRONTAL or new_light):
            return
        if frame.time - self._tried < _SOONEST:
            return
        fitted = self._tools.full_fits.begin(frame)
        if fitted is not None:
            self._tried = frame.time
            self._begun = _Begun(fitted, sight, frame.time, exposure)

    def _share(self, time: float) -> float:
        return float(smoothstep(0.0, _BLEND_SECONDS, time - self._newer_from))

    def _keyframe(
        self, fitted: FittedFace, sight: FrameSight, time: float, exposure: NDArray[np.floating]
    ) -> Keyframe:
        state: HeadState = fitted.state
        # Hair that is not seen is made up once: made up again, it would flicker.
        state = replace(state, appearance=replace(state.appearance, detail=self._detail))
        scenery, place = state.scenery, self._place.scenery
        assert isinstance(scenery, PhotoScenery)
        assert isinstance(place, PhotoScenery)
        return Keyframe(
            look=head_look(self._tools.model, state, sight, exposure),
            scenery=PlacedScenery(scenery, state.pivot, place, self._place.pivot, exposure),
            time=time,
            turned=_away((fitted.yaw, fitted.pitch, fitted.roll)),
            exposure=exposure,
            flags=fitted.flags,
        )


def _fit(reconstruct: Reconstruct, frame: FollowedFrame) -> FittedFace:
    with single_threaded_blas(), undivided():
        return reconstruct(frame.image, frame.face, frame.landmarks, frame.camera, Stopwatch())


def _away(angles: tuple[float, float, float]) -> float:
    """Angle between the direction that a face looks in and that to the camera, radians."""
    yaw, pitch, _ = angles
    return float(np.arccos(np.clip(np.cos(yaw) * np.cos(pitch), -1.0, 1.0)))
