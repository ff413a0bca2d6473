"""The node's work on a recording: every frame's faces, beside the frame."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.bags.errors import BagError
from opendr_facerot.bags.library import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    FACE,
    IMAGE,
    check_library,
    decoded,
    face_messages,
    type_store,
)
from opendr_facerot.bags.recording import copy_connection, messages, reading, writing
from opendr_facerot.errors import FacerotError, NoFaceError, SettingsError
from opendr_facerot.ros.images import image_from_message, vertical_fov
from opendr_facerot.ros.rotation import TurnedFace, rotate
from opendr_facerot.ros.stream import FrameStream
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import View

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos
    from rosbags.rosbag2 import Reader, Writer
    from rosbags.typesys.store import Typestore

_TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(frozen=True, kw_only=True)
class BagSettings:
    """What to do with which topics.

    Attributes:
        views: Views of each face.
        topic: Topic of raw or compressed images; None for the only one in the recording.
        camera_info: Topic of the camera's calibration; None for the one beside the images, if there
            is one. As in the node, a ``fov`` of the pipeline's settings goes before it.
        faces_topic: Topic to add.
        montage: Whether to add a topic ``montage`` beside ``faces_topic``.
        tracking: Whether to follow faces from image to image, if the pipeline can.
        every: Turn only every so-many-th image.
        max_rate: Turn at most so many images a second of recorded time; 0 means all.
        force: Replace a recording that has the name of the output.

    Raises:
        SettingsError: A value is outside its range, or a name is none of a topic.
    """

    views: Sequence[View]
    topic: str | None = None
    camera_info: str | None = None
    faces_topic: str = "/facerot/faces"
    montage: bool = False
    tracking: bool = True
    every: int = 1
    max_rate: float = 0.0
    force: bool = False

    def __post_init__(self) -> None:
        if not _TOPIC.fullmatch(self.faces_topic):
            raise SettingsError(
                f"faces_topic is {self.faces_topic!r}: give a full name such as /facerot/faces"
            )
        if self.every < 1:
            raise SettingsError(f"every is {self.every}: give 1 (all images) or a larger number")
        if not 0.0 <= self.max_rate < float("inf"):
            raise SettingsError(f"max_rate is {self.max_rate}: give 0 (no limit) or images/s")

    @property
    def montage_topic(self) -> str:
        return f"{self.faces_topic.rpartition('/')[0]}/montage"


@dataclass(frozen=True)
class Problem:
    """A frame that could not be used.

    Attributes:
        log_time: When it was recorded, nanoseconds.
        stamp: The header's stamp in nanoseconds; None if that could not be read.
        reason: What was wrong.
    """

    log_time: int
    stamp: int | None
    reason: str


@dataclass
class BagReport:
    """What was found in a recording and added to it.

    Attributes:
        topic: Topic of the images.
        camera_info: Topic of the camera's calibration, if there is one.
        copied: Messages copied.
        frames: Images on the topic; each is one of the next four.
        turned: Images with faces.
        without_face: Images in which no face was found.
        skipped: Images left out because of ``every`` or ``max_rate``.
        problems: Images that could not be used.
        faces: Faces turned.
    """

    topic: str
    camera_info: str | None
    copied: int = 0
    frames: int = 0
    turned: int = 0
    without_face: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)
    faces: int = 0


def add_faces(
    source: Path,
    target: Path,
    rotator: FaceRotator,
    settings: BagSettings,
    on_frame: Callable[[int], None] = lambda total: None,
) -> BagReport:
    """Write a recording's copy with the faces of its images, as the node publishes them.

    The recorded bytes of every message, its log time, type and QoS are copied. A message that is
    added has the header and the log time of its image and comes right after it.

    Args:
        source: A rosbag2 folder, ``.mcap`` or ``.db3`` file.
        target: The same; a name without these suffixes is that of a folder.
        rotator: The pipeline, with the settings to use.
        settings: Topics and views.
        on_frame: Called after each image with the number of all.

    Raises:
        MissingExtraError: The library ``rosbags`` is not installed.
        BagError: The source cannot be read or has no such topic, or the target cannot be written;
            there is then no target.
    """
    check_library()
    store = type_store()
    with reading(source) as reader:
        images = _image_topic(reader, settings.topic)
        info = _camera_info_topic(reader, images.topic, settings.camera_info)
        _check_free(reader, settings)
        report = BagReport(images.topic, info)
        with writing(target, source, reader, force=settings.force) as writer:
            copies = {c.id: copy_connection(writer, c, store) for c in reader.connections}
            frames = _Frames(writer, store, rotator, settings, report)
            with closing(frames):
                for connection, log_time, data in messages(reader):
                    writer.write(copies[connection.id], log_time, data)
                    report.copied += 1
                    if connection.topic == info and connection.msgtype == CAMERA_INFO:
                        frames.use_camera(data)
                    elif connection.topic == images.topic and connection.msgtype == images.msgtype:
                        frames.turn(log_time, data, images.msgtype)
                        on_frame(images.msgcount)
    return report


class _Frames:
    """Turns one image after the other and writes what comes of it."""

    def __init__(
        self,
        writer: Writer,
        store: Typestore,
        rotator: FaceRotator,
        settings: BagSettings,
        report: BagReport,
    ) -> None:
        self._writer = writer
        self._store = store
        self._rotator = rotator
        self._stream = FrameStream(rotator)
        self._rotator_settings = rotator.settings
        self._camera_fov: float | None = None
        self._settings = settings
        self._report = report
        self._next_time = 0
        self._left_out: bytes | None = None
        self._messages = face_messages(store)
        self._faces = self._announce(settings.faces_topic, FACE)
        self._montage = self._announce(settings.montage_topic, IMAGE) if settings.montage else None

    def use_camera(self, data: bytes) -> None:
        """Take the field of view of a recorded calibration; one that is damaged is left out."""
        try:
            self._camera_fov = vertical_fov(decoded(self._store, data, CAMERA_INFO))
        except FacerotError:
            return

    def turn(self, log_time: int, data: bytes, kind: str) -> None:
        """Add the faces of a recorded image."""
        report = self._report
        report.frames += 1
        if not self._is_due(log_time):
            report.skipped += 1
            self._left_out = data
            return
        skipped, self._left_out = self._left_out, None
        stamp: int | None = None
        try:
            message = decoded(self._store, data, kind)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            image = image_from_message(message)
            before = None if skipped is None else self._header(skipped, kind)
            faces = self._rotated(image, message.header, before)
            results = list(self._serialized(message.header, image, faces))
        except NoFaceError:
            report.without_face += 1
        except Exception as error:  # whatever a pipeline raises: the next frame may do better
            reason = str(error) if isinstance(error, FacerotError) else repr(error)
            report.problems.append(Problem(log_time, stamp, reason))
        else:
            report.turned += 1
            report.faces += len(faces)
            for connection, content in results:
                self._writer.write(connection, log_time, content)

    def close(self) -> None:
        """Drop what is known of the images."""
        self._stream.forget()

    def _is_due(self, log_time: int) -> bool:
        due = (self._report.frames - 1) % self._settings.every == 0 and log_time >= self._next_time
        if due and self._settings.max_rate > 0:
            self._next_time = log_time + round(1e9 / self._settings.max_rate)
        return due

    def _header(self, data: bytes, kind: str) -> Any:
        """The header of a recorded image that was left out; None of a damaged one."""
        try:
            return decoded(self._store, data, kind).header
        except FacerotError:
            return None

    def _rotated(self, image: NDArray[np.uint8], header: Any, skipped: Any) -> list[TurnedFace]:
        settings = self._rotator_settings
        settings = dataclasses.replace(settings, fov=settings.fov or self._camera_fov)
        tracking = self._settings.tracking
        fit = partial(self._stream.fit, header=header, skipped=skipped, tracking=tracking)
        rotation = rotate(
            self._rotator, image, self._settings.views, settings, time.monotonic(), fit
        )
        while True:
            try:
                next(rotation)
            except StopIteration as end:
                return list(end.value)

    def _serialized(
        self, header: Any, image: NDArray[np.uint8], faces: list[TurnedFace]
    ) -> Iterator[tuple[Connection, memoryview]]:
        for face in faces:
            message = self._messages.face(face, face.views, header)
            yield self._faces, self._store.serialize_cdr(message, FACE)
        if self._montage is not None:
            message = self._messages.montage(image, faces, header)
            yield self._montage, self._store.serialize_cdr(message, IMAGE)

    def _announce(self, topic: str, kind: str) -> Connection:
        return self._writer.add_connection(
            topic, kind, typestore=self._store, offered_qos_profiles=[_node_qos()]
        )


def _node_qos() -> Qos:
    """The QoS with which the node publishes: reliable, ten deep."""
    from rosbags import interfaces

    never = interfaces.QosTime(9223372036, 854775807)  # how ROS writes an infinite duration
    return interfaces.Qos(
        interfaces.QosHistory.KEEP_LAST,
        10,
        interfaces.QosReliability.RELIABLE,
        interfaces.QosDurability.VOLATILE,
        never,
        never,
        interfaces.QosLiveliness.AUTOMATIC,
        never,
        False,
    )


def _image_topic(reader: Reader, wanted: str | None) -> Connection:
    """The topic of images that was asked for, or the only one."""
    images = [c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED_IMAGE)]
    names = ", ".join(sorted({c.topic for c in images})) or "none"
    chosen = images if wanted is None else [c for c in images if c.topic == wanted]
    if wanted is None and len({c.topic for c in images}) > 1:
        raise BagError(
            f"the recording has several topics of images: name one with --topic: {names}"
        )
    if not chosen:
        missing = "topic of images" if wanted is None else f"topic {wanted} of images"
        raise BagError(f"the recording has no {missing}; topics of images: {names}")
    return chosen[0]


def _camera_info_topic(reader: Reader, image_topic: str, wanted: str | None) -> str | None:
    """The topic of calibrations that was asked for, or the one beside the images, if any."""
    topics = sorted({c.topic for c in reader.connections if c.msgtype == CAMERA_INFO})
    if wanted is not None:
        if wanted not in topics:
            raise BagError(
                f"the recording has no topic {wanted} of {CAMERA_INFO}; there are: "
                + (", ".join(topics) or "none")
            )
        return wanted
    # As image_transport has it: <camera>/image_raw, <camera>/image_raw/compressed.
    raw = image_topic.removesuffix("/compressed")
    beside = f"{raw.rpartition('/')[0]}/camera_info"
    return beside if beside in topics else None


def _check_free(reader: Reader, settings: BagSettings) -> None:
    """Refuse to mix what is added with what was recorded."""
    added = [settings.faces_topic, *([settings.montage_topic] if settings.montage else [])]
    for topic in added:
        if any(c.topic == topic for c in reader.connections):
            raise BagError(
                f"the recording already has a topic {topic}: name another one with --faces-topic"
            )
