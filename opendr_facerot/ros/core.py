"""The node's work without the node: frames and requests in, turned faces out."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from opendr_facerot.errors import ImageError, NoFaceError
from opendr_facerot.loading import load
from opendr_facerot.ros.allocator import return_freed_memory
from opendr_facerot.ros.errors import BusyError, NoImageError, NotActiveError
from opendr_facerot.ros.frames import FittedFrame, Frame
from opendr_facerot.ros.images import ImageMessage, image_from_message, is_empty
from opendr_facerot.ros.messages import Request, face_message, requested_views
from opendr_facerot.ros.parameters import NodeParameters
from opendr_facerot.ros.rotation import Progress, Rotation, TurnedFace, rotate
from opendr_facerot.ros.statistics import Count, Statistics, Timing
from opendr_facerot.ros.stream import FrameStream
from opendr_facerot.ros.worker import Steps, Worker
from opendr_facerot.rotator import FaceRotator, RotatorSettings
from opendr_facerot.views import View
from opendr_facerot_interfaces.msg import RotatedFaceArray

QUEUE_SIZE = 4
"""Most requests, and most sets of views, that are unfinished at a time."""

FrameListener: TypeAlias = Callable[
    [Header, NDArray[np.uint8], list[TurnedFace], NodeParameters], None
]
"""Takes a frame's header and pixels, the faces found in it with all their views, and the parameters
that were in force when it was taken up."""

Rotated: TypeAlias = list[RotatedFaceArray]

_Source: TypeAlias = Callable[[], tuple[Header, Rotation]]
"""Called when the turn of a request has come: the header of its image, and the work on it."""


class SetObserver(Protocol):
    """Follows a set of views from the worker's thread."""

    def is_cancelled(self) -> bool:
        """Whether the set is to end before its next view."""
        ...

    def report(self, progress: Progress, newest: RotatedFaceArray) -> None:
        """Take note of one more view; ``newest`` has the face with only that view."""
        ...


class FaceTurner:
    """Turns the faces of frames and of requests with one pipeline, in one thread.

    Args:
        parameters: The first :attr:`parameters`; :meth:`use` changes them.
        on_faces: Called in the worker's thread for each frame in which there are faces.
        on_error: Called in the worker's thread for each frame that cannot be turned.

    Attributes:
        parameters: In force from the next frame or request, those of the pipeline and its device,
            weights and precision from the next :meth:`load`.
        camera_fov: Vertical field of view of the camera in radians, if it is known.
        enabled: Whether frames and requests are taken while active.
        statistics: Counters and latencies.
        worker: Does the work.
    """

    def __init__(
        self,
        parameters: NodeParameters,
        on_faces: FrameListener,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.camera_fov: float | None = None
        self.enabled = True
        self.statistics = Statistics()
        self._on_faces = on_faces
        self._on_error = on_error
        self._gate = threading.Lock()  # nothing enters while what is inside is being dropped
        self._active = False
        self._latest: Frame | None = None
        self._begun: Header | None = None  # of the frame begun last
        self._fitted: FittedFrame | None = None
        self._rotator: FaceRotator | None = None
        self._stream: FrameStream | None = None
        self._loaded: tuple[object, ...] = ()
        self.worker: Worker[Frame] = Worker(self._frame_steps, QUEUE_SIZE, self._count_frames)
        self.use(parameters)

    @property
    def device(self) -> str:
        """Device in use; empty while no pipeline is loaded."""
        rotator = self._rotator
        return "" if rotator is None else rotator.device

    def use(self, parameters: NodeParameters) -> None:
        """Change the :attr:`parameters`."""
        self.parameters = parameters
        self.worker.limit_rate(parameters.max_rate)

    def load(self) -> Future[None]:
        """Load the pipeline that the parameters name, unless it is loaded already."""
        return self.worker.call(self._load)

    def release(self) -> Future[None]:
        """Free the pipeline and its memory."""
        return self.worker.call(self._free)

    def start(self) -> None:
        """Take frames and requests; the pipeline is loaded."""
        with self._gate:
            self._active = True

    def halt(self) -> None:
        """Take nothing more, and drop what there is."""
        with self._gate:
            self._active = False
            self.camera_fov = None
            self._drop_work("the node is no longer active")

    def enable(self, enabled: bool) -> None:
        """Take frames and requests while active, or take nothing more and drop what there is."""
        with self._gate:
            self.enabled = enabled
            if not enabled:
                self._drop_work("the node was disabled")

    def close(self, timeout: float) -> bool:
        """End the thread; returns whether it has ended within ``timeout`` seconds."""
        self.halt()
        self.release()
        return self.worker.stop(timeout)

    def take_frame(self, message: ImageMessage, wanted: bool) -> None:
        """Keep a frame for requests, and turn its faces if anybody wants them."""
        with self._gate:
            if not self._active or not self.enabled:
                self.statistics.count(Count.UNWANTED)
                return
            before = self._latest
            header = None if before is None else before.message.header
            frame = self._latest = Frame(message, time.monotonic(), wanted, header)
            if wanted:
                self.worker.offer_frame(frame)
            else:
                self.statistics.count(Count.UNWANTED)

    def submit(self, request: Request) -> Future[Rotated]:
        """Queue a request.

        Raises:
            NotActiveError: Nothing is taken at present.
            AngleError: The angles are unusable.
            NoImageError: The request is for the latest frame, and there is none.
            BusyError: Too many requests are waiting.
        """
        with self._gate:
            return self._admit(self.worker.submit, _finished(self._prepare(request)))

    def submit_set(self, request: Request, observer: SetObserver) -> Future[Rotated]:
        """Queue a set of views; if it is cancelled, its result is what was done until then.

        Raises:
            FacerotError: As :meth:`submit`.
        """
        with self._gate:
            steps = _observed(self._prepare(request), observer)
            return self._admit(self.worker.submit_set, steps)

    def _drop_work(self, reason: str) -> None:
        self._latest = None
        self.worker.abandon(NotActiveError(reason))
        with suppress(NotActiveError):  # the worker has stopped, and forgotten all
            self.worker.call(self._forget_faces)

    def _load(self) -> None:
        wanted = self.parameters.rotator
        identity = (self.parameters.pipeline, wanted.device, wanted.weights, wanted.precision)
        if self._rotator is None or identity != self._loaded:
            self._release()
            settings = {f.name: getattr(wanted, f.name) for f in dataclasses.fields(wanted)}
            self._rotator = load(self.parameters.pipeline, **settings)
            self._stream = FrameStream(self._rotator, real_time=True)
            self._loaded = identity

    def _free(self) -> None:
        self._release()
        gc.collect()
        return_freed_memory()

    def _release(self) -> None:
        self._forget_faces()
        rotator, self._rotator, self._stream = self._rotator, None, None
        if rotator is not None:
            rotator.close()

    def _forget_faces(self) -> None:
        self._fitted = None
        if self._stream is not None:
            self._stream.forget()

    def _prepare(self, request: Request) -> _Source:
        self.statistics.count(Count.REQUESTS)
        if not self._active or self._rotator is None:
            raise NotActiveError("the node is not active: activate it first")
        if not self.enabled:
            raise NotActiveError("the node is disabled: enable it first")
        views = requested_views(request)
        rotator, fov, most = self._rotator, self.parameters.rotator.fov, int(request.max_faces)
        if not is_empty(request.image):
            settings = self._settings(rotator, fov, most)
            return partial(_of_image, request.image, rotator, views, settings)
        if self._latest is None:
            raise NoImageError(
                "the request's image is empty and no frame has arrived yet: send an image, or "
                "publish one on the node's image topic"
            )
        settings = self._settings(rotator, fov or self.camera_fov, most)
        return partial(self._of_latest, self._latest, rotator, views, settings)

    def _of_latest(
        self,
        known: Frame,
        rotator: FaceRotator,
        views: Sequence[View],
        settings: RotatorSettings,
    ) -> tuple[Header, Rotation]:
        """The latest frame there is by now; one whose faces are fitted already, if it is recent."""
        latest, fitted = self._latest or known, self._fitted
        if fitted is None or not fitted.stands_for(latest, settings):
            return _of_image(latest.message, rotator, views, settings)
        faces = fitted.faces[: settings.max_faces or None]
        started = time.monotonic()
        rotation = rotate(rotator, fitted.image, views, settings, started, lambda image: faces)
        return fitted.frame.message.header, rotation

    def _admit(
        self, submit: Callable[[Steps[Rotated]], Future[Rotated]], steps: Steps[Rotated]
    ) -> Future[Rotated]:
        try:
            return submit(steps)
        except BusyError:
            self.statistics.count(Count.REFUSED)
            raise

    def _settings(self, rotator: FaceRotator, fov: float | None, max_faces: int) -> RotatorSettings:
        wanted = self.parameters.rotator
        return dataclasses.replace(
            rotator.settings,
            output_size=wanted.output_size,
            background=wanted.background,
            max_faces=max_faces,
            min_face_size=wanted.min_face_size,
            min_score=wanted.min_score,
            fov=fov,
        )

    def _frame_steps(self, frame: Frame) -> Steps[None]:
        try:
            yield from self._turn_frame(frame)
        except NoFaceError:
            self.statistics.count(Count.PROCESSED, Count.NO_FACE)
        except ImageError as error:
            self._record(error, Count.REJECTED)
        except GeneratorExit:
            raise
        except BaseException as error:  # of a pipeline, which may raise anything
            self._record(error, Count.FAILED)

    def _turn_frame(self, frame: Frame) -> Steps[None]:
        started = time.monotonic()
        message, begun = frame.message, self._begun
        skipped = None if frame.predecessor is begun else frame.predecessor
        self._begun, self._fitted = message.header, None
        parameters, rotator, stream = self.parameters, self._rotator, self._stream
        if rotator is None or stream is None:
            raise NotActiveError("no pipeline is loaded")
        image = image_from_message(message)
        fov = parameters.rotator.fov or self.camera_fov
        settings = self._settings(rotator, fov, parameters.rotator.max_faces)
        fit = partial(
            stream.fit, header=message.header, skipped=skipped, tracking=parameters.tracking
        )
        faces = yield from rotate(rotator, image, parameters.views, settings, started, fit)
        self._fitted = FittedFrame(frame, image, [face.fitted for face in faces], settings)
        self._on_faces(message.header, image, faces, parameters)
        self.statistics.measure(Timing.LATENCY, time.monotonic() - started)
        self.statistics.record_stages(faces[0].fitted.timings)
        self.statistics.count(Count.PROCESSED, *[Count.FACES] * len(faces))

    def _count_frames(self, received: int, dropped: int) -> None:
        self.statistics.count(*[Count.RECEIVED] * received, *[Count.DROPPED] * dropped)

    def _record(self, error: BaseException, *what: Count) -> None:
        self.statistics.record_error(error)
        self.statistics.count(*what)
        self._on_error(error)


def _of_image(
    message: ImageMessage, rotator: FaceRotator, views: Sequence[View], settings: RotatorSettings
) -> tuple[Header, Rotation]:
    """An image by itself."""
    started = time.monotonic()
    image = image_from_message(message)
    return message.header, rotate(rotator, image, views, settings, started)


def _finished(source: _Source) -> Steps[Rotated]:
    header, rotation = source()
    faces = yield from rotation
    return [face_message(face, face.views, header) for face in faces]


def _observed(source: _Source, observer: SetObserver) -> Steps[Rotated]:
    faces: dict[int, TurnedFace] = {}
    if observer.is_cancelled():
        return []
    header, rotation = source()
    for progress in rotation:
        face = faces.setdefault(progress.face.index, progress.face)
        observer.report(progress, face_message(face, face.views[-1:], header))
        if observer.is_cancelled():
            break
        yield progress
    return [face_message(face, face.views, header) for face in faces.values()]
