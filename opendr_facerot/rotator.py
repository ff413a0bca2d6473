"""What every pipeline takes and gives: the protocol between pipelines and their users."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from opendr_facerot.errors import SettingsError
from opendr_facerot.views import View

Background: TypeAlias = Literal["plate", "transparent"] | tuple[int, int, int]
"""What lies behind the head: the photo's own background with the person removed (``"plate"``),
nothing (``"transparent"``: black, with :attr:`RotatedFace.alpha`), or an RGB colour of 0..255."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""What large networks compute in; see :attr:`RotatorSettings.precision`."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

MIN_SIZE, MAX_SIZE = 64, 1024
MIN_FOV, MAX_FOV = math.radians(5), math.radians(150)


@dataclass(frozen=True, kw_only=True)
class RotatorSettings:
    """Settings that every pipeline has; a pipeline may add its own in a subclass.

    Attributes:
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.
        weights: Folder or file with the user's model files; None for the default place. Ignored by
            pipelines whose models are part of the package.
        output_size: Side of the square output images, 64 to 1024 pixels.
        background: See :data:`Background`.
        max_faces: Rotate at most so many faces, the largest first; 0 means all.
        min_face_size: Ignore faces whose box's longer side is below this many pixels.
        min_score: Ignore detections below this score, in [0, 1].
        fov: Vertical field of view of the camera in radians; None assumes a portrait lens, for a
            photo a longer one if the face would be nearer than 1.2 m.
        precision: What large networks compute in. ``"float32"`` is exact; ``"bfloat16"`` differs
            by less than 2 of 255 steps of a colour in almost every pixel, takes half the memory,
            and is several times as fast where the device multiplies matrices in it. ``"auto"``
            takes it there and float32 elsewhere. Ignored by pipelines without such networks.

    Raises:
        SettingsError: A value is outside its range.
    """

    device: str = "auto"
    weights: Path | None = None
    output_size: int = 256
    background: Background = "plate"
    max_faces: int = 0
    min_face_size: int = 24
    min_score: float = 0.6
    fov: float | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_output_size(self.output_size)
        check_background(self.background)
        if self.max_faces < 0:
            raise SettingsError(f"max_faces is {self.max_faces}: give 0 (all) or a positive number")
        if self.min_face_size < 1:
            raise SettingsError(f"min_face_size is {self.min_face_size}: give at least 1 pixel")
        if not 0.0 <= self.min_score <= 1.0:
            raise SettingsError(f"min_score is {self.min_score}: give a number in [0, 1]")
        if self.fov is not None and not MIN_FOV <= self.fov <= MAX_FOV:
            raise SettingsError(f"fov is {self.fov:.3f} rad: give 0.09 to 2.6 rad (5° to 150°)")
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"precision is {self.precision!r}: give one of {', '.join(PRECISIONS)}"
            )


def check_output_size(size: int) -> None:
    """Raise SettingsError unless ``size`` is a side that every pipeline can render."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise SettingsError(f"output_size is {size}: give {MIN_SIZE} to {MAX_SIZE} pixels")


def check_background(background: Background) -> None:
    """Raise SettingsError unless ``background`` is one of the forms of :data:`Background`."""
    if background in ("plate", "transparent"):
        return
    if not (
        isinstance(background, tuple)
        and len(background) == 3
        and all(isinstance(c, int) and 0 <= c <= 255 for c in background)
    ):
        raise SettingsError(
            f"background is {background!r}: give 'plate', 'transparent' or an RGB triple of 0..255"
        )


def parse_background(text: str) -> Background:
    """Background of a word, where people type it: ``plate``, ``transparent`` or a colour.

    Raises:
        SettingsError: The text is none of them.
    """
    if text == "plate":
        return "plate"
    if text == "transparent":
        return "transparent"
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise SettingsError(
            f"background is {text!r}: give plate, transparent or a colour such as white or #808080"
        ) from None
    return (red, green, blue)


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face.

    Attributes:
        box: ``(4,)`` float32, left, top, right, bottom in pixels of the photo.
        score: Detection score in [0, 1].
        landmarks5: ``(5, 2)`` float32 pixels: the eye, nose tip and mouth corner points, image-left
            eye first, image-left mouth corner before the image-right one.
    """

    box: NDArray[np.float32]
    score: float
    landmarks5: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FittedFace:
    """A face reconstructed by :meth:`FaceRotator.fit`, ready to be rendered from any side.

    Attributes:
        face: The detection it comes from.
        yaw: Head yaw in the photo, radians.
        pitch: Head pitch in the photo, radians.
        roll: Head roll in the photo, radians.
        flags: Quality warnings, e.g. ``"low_resolution"``, ``"extreme_source_pose"``.
        timings: Seconds spent in each stage of the fit. Stages overlap where a pipeline works in
            several threads: their sum can be more than the fit took.
        state: The pipeline's own data; opaque to everything else.
        face_id: Name under which a :class:`FaceTracker` follows the face; None of a photo's.
        photo_index: Which of several photos of one person the detection, the angles and what lies
            behind the head are of; see :meth:`PersonRotator.fit_person`.
    """

    face: Face
    yaw: float
    pitch: float
    roll: float
    flags: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    state: Any = None
    face_id: str | None = None
    photo_index: int = 0


@dataclass(frozen=True, eq=False)
class RotatedFace:
    """One rendered view.

    Attributes:
        view: The angles that were asked for.
        yaw: Applied head yaw, radians.
        pitch: Applied head pitch, radians.
        roll: Applied head roll, radians.
        seen_fraction: Share of the head's pixels, in [0, 1], whose colour comes from the photo.
        image: ``(H, W, 3)`` uint8 RGB, H = W = the output size.
        alpha: ``(H, W)`` uint8 coverage of the head; None unless the background is transparent.
            The image's colours are then not premultiplied.
    """

    view: View
    yaw: float
    pitch: float
    roll: float
    seen_fraction: float
    image: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None


@runtime_checkable
class FaceRotator(Protocol):
    """A pipeline from photo to rotated views.

    A class that implements it and is named in the entry-point group ``opendr_facerot.pipelines``
    is found by :func:`opendr_facerot.load`, the command line and the ROS node. It is constructed
    with one instance of its ``Settings`` class. Calls are serialised by the pipeline where its
    parts are not thread-safe.

    Attributes:
        Settings: The pipeline's settings class, :class:`RotatorSettings` or a subclass.
        settings: Settings in force; replaceable between calls, except device, weights and
            precision.
        device: The device in use, ``"cpu"`` or ``"cuda:<index>"``.
    """

    Settings: type[RotatorSettings]
    settings: RotatorSettings

    @property
    def device(self) -> str: ...

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        """Find and reconstruct the faces of a photo: all work that does not depend on the view.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.

        Returns:
            At least one face, the largest first.

        Raises:
            ImageError: The image has the wrong shape, type or size.
            NoFaceError: There is no face in it.
        """
        ...

    def render(self, face: FittedFace, views: Iterable[View]) -> Iterator[RotatedFace]:
        """Render a fitted face from each view, one at a time as they are asked for."""
        ...

    def close(self) -> None:
        """Free models and threads; the rotator cannot be used afterwards."""
        ...


class FaceTracker(Protocol):
    """Follows the faces of one stream of frames; see :meth:`TrackingRotator.track`."""

    def fit(
        self, image: NDArray[np.uint8], stamp: float, skipped: float | None = None
    ) -> list[FittedFace]:
        """Reconstruct the faces of the next frame; they keep their names while they are in view.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            stamp: When the frame was taken, seconds.
            skipped: Where frames since the last one were skipped, the stamp of the newest of them:
                the stream went on, though nobody looked. None if none were.

        Returns:
            At least one face, the largest first, for the rotator's ``render``.

        Raises:
            ImageError: The image has the wrong shape, type or size.
            NoFaceError: There is no face in it.
        """
        ...

    def close(self) -> None:
        """End what runs in the background; the tracker cannot be used afterwards."""
        ...


@runtime_checkable
class TrackingRotator(FaceRotator, Protocol):
    """A pipeline that can also follow faces through a stream, faster and steadier than ``fit``."""

    def track(self, *, real_time: bool = False) -> FaceTracker:
        """A tracker for one stream. It uses the :attr:`settings` that are in force at each call.

        Args:
            real_time: False if its results are to depend on the frames and their stamps alone, not
                on how fast they come: work beside the stream is then waited for when it is late.
                True if no frame is to be held up by it: what is late is used when it is ready.
        """
        ...


@runtime_checkable
class PersonRotator(FaceRotator, Protocol):
    """A pipeline that can also make one head from several photos of the same person."""

    def fit_person(self, images: Sequence[NDArray[np.uint8]]) -> FittedFace:
        """Reconstruct one person from several photos, from the largest face of each.

        The photo that is most frontal and sharp gives the light, the background, and the angles
        that "keep the photo's" refers to; the others show what it does not see well.

        Args:
            images: At least one ``(H, W, 3)`` uint8 RGB photo. One photo is as in :meth:`fit`.

        Returns:
            The face. Its flags contain ``"photos_disagree"`` if the photos, laid over each other,
            look like different people. Absence of the flag does not prove that they are one.

        Raises:
            ImageError: There are no images, or one has the wrong shape, type or size.
            NoFaceError: There is no face in one of them; its ``photo_index`` says which.
        """
        ...
