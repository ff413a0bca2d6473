"""One head that is followed: shape and texture every frame, its look as a whole now and then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.pipelines.head_state import HeadState
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.rotator import FittedFace
from opendr_facerot.tracking.head_motion import HeadMotion, MovingHead
from opendr_facerot.tracking.keyframe import HeadLook, relative_exposure, relief_of
from opendr_facerot.tracking.live_texture import FrameSight, LiveTexture, cut_out, see
from opendr_facerot.tracking.one_euro import OneEuroFilter, OneEuroSettings
from opendr_facerot.tracking.refresh import FollowedFrame, HeadTools, LookKeeper

_EXPOSURE = OneEuroSettings(min_cutoff=0.3, beta=1.0)  # natural log


class FollowedHead:
    """Follows one head from a full fit on.

    Views are made in one place for good, that of the first frame: the head is put there in its
    newest shape and with its newest texture, so that a view from a fixed angle moves only as the
    face does.

    Args:
        tools: What the head is followed with.
        frame: The first frame, of which a full fit is made.
        clock: Counts the time of each of its stages.
    """

    def __init__(self, tools: HeadTools, frame: FollowedFrame, clock: Stopwatch) -> None:
        self._tools = tools
        self._texture = LiveTexture(tools.model)
        self._exposure = OneEuroFilter(_EXPOSURE)
        self._measured: NDArray[np.floating] = np.zeros(3)
        first = tools.reconstruct(frame.image, frame.face, frame.landmarks, frame.camera, clock)
        state: HeadState = first.state
        self._place = state
        relief = relief_of(tools.model, state)
        self._motion = HeadMotion(tools.model, state.fit)
        points = self._motion.smoothed(frame.landmarks, 0.0)
        head = self._motion.follow(points, frame.camera, 0.0, state.fit.identity, relief)
        person = cut_out(tools.matting, frame.image, points, frame.camera)
        sight = see(tools.model, person, head, state.appearance.hair)
        self._time = frame.time
        self._looks = LookKeeper(tools, first, sight, frame.time)
        look = self._looks.look(frame.time)
        self._result = self._fitted(frame, look, head, sight, 0.0, clock)

    @property
    def result(self) -> FittedFace:
        """The head in the newest frame."""
        return self._result

    def follow(self, frame: FollowedFrame, clock: Stopwatch) -> None:
        """Go on to a later frame.

        Args:
            frame: The frame.
            clock: Counts the time of each stage.
        """
        tools = self._tools
        seconds, self._time = frame.time - self._time, frame.time
        self._looks.advance(frame.time)
        look = self._looks.look(frame.time)
        points = self._motion.smoothed(frame.landmarks, seconds)
        person = tools.beside.submit(cut_out, tools.matting, frame.image, points, frame.camera)
        with clock("fit"):
            head = self._motion.follow(points, frame.camera, seconds, look.identity, look.relief)
        with clock("matte"):
            cut = person.result()
        with clock("texture"):
            sight = see(tools.model, cut, head, look.appearance.hair)
        self._result = self._fitted(frame, look, head, sight, seconds, clock)

    def _fitted(
        self,
        frame: FollowedFrame,
        look: HeadLook,
        head: MovingHead,
        sight: FrameSight,
        seconds: float,
        clock: Stopwatch,
    ) -> FittedFace:
        with clock("completion"):
            exposure = self._smooth_exposure(look, sight, seconds)
            appearance = self._texture.lay_over(
                look.appearance, look.trust, sight, exposure - self._measured, exposure, seconds
            )
            scenery = self._looks.scenery(frame.time, exposure)
        place = self._place
        yaw, pitch, roll = angles = head.parameters.angles
        self._looks.offer(frame, sight, angles, self._measured)
        return FittedFace(
            face=frame.face,
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            flags=self._looks.flags,
            timings=clock.seconds,
            state=HeadState(
                fit=place.fit,
                vertices=head.shape @ place.fit.rotation.T + place.fit.translation,
                pivot=place.pivot,
                appearance=appearance,
                scenery=scenery,
            ),
        )

    def _smooth_exposure(
        self, look: HeadLook, sight: FrameSight, seconds: float
    ) -> NDArray[np.floating]:
        """The exposure ``(3,)`` to show the head at, natural log against the first frame's."""
        measured = relative_exposure(look, sight)
        if measured is not None:
            self._measured = measured
        return self._exposure(self._measured, seconds)
