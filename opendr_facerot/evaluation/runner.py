"""Evaluation of what a command line names: photos, folders of photos, posed folders, sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.errors import FacerotError, ImageError
from opendr_facerot.evaluation.identity import IdentityNet
from opendr_facerot.evaluation.photos import evaluate_photo
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.posed import evaluate_posed, is_posed, read_posed
from opendr_facerot.evaluation.scores import Kind, Subject, ViewPictures
from opendr_facerot.evaluation.sequences import evaluate_sequence
from opendr_facerot.evaluation.variations import variations
from opendr_facerot.imaging import IMAGE_SUFFIXES, read_image
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import view_grid

_PHOTO_YAWS = tuple(math.radians(degrees) for degrees in range(-60, 61, 15))
_SAME_ANGLE = 1e-6  # radians


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A subject with the pictures that it was scored on.

    Attributes:
        subject: The scores.
        photo: ``(H, W, 3)`` uint8 RGB, what the views were made from; None if that failed.
        pictures: The views; none of a sequence.
    """

    subject: Subject
    photo: NDArray[np.uint8] | None = None
    pictures: list[ViewPictures] = field(default_factory=list)


class Evaluation:
    """Nets and pipeline, loaded once, and the views that are asked of every subject.

    What goes wrong with one subject is its result, and does not end the run.

    Args:
        rotator: The pipeline.
        yaws: Radians; None for -60° to 60° of photos and for all of a posed folder.
        pitches: Radians, of posed folders too.
        source: Yaw and pitch, radians, of the picture of a posed folder that views are made from.
        posed_fov: Vertical field of view, radians, of the camera of posed folders; None for that of
            the pipeline's settings.

    Raises:
        WeightsError: A net is missing.
        AngleError: A yaw or pitch is outside [-90°, 90°].
    """

    def __init__(
        self,
        rotator: FaceRotator,
        *,
        yaws: Sequence[float] | None = None,
        pitches: Sequence[float] = (0.0,),
        source: tuple[float, float] = (0.0, 0.0),
        posed_fov: float | None = None,
    ) -> None:
        self._rotator = rotator
        self._observer, self._identity = FaceObserver(), IdentityNet()
        self._matting = PersonMatting()
        self._yaws, self._pitches, self._source = yaws, pitches, source
        self._posed_fov = posed_fov
        self._views = view_grid(_PHOTO_YAWS if yaws is None else yaws, pitches)

    def run(self, paths: Iterable[Path], *, vary: bool = False) -> Iterator[Evaluated]:
        """Evaluate photos, folders of photos and posed folders, one after the other.

        Args:
            paths: Files and folders; a folder that is not posed stands for the photos in it.
            vary: Also evaluate the variations of each photo.
        """
        for path in paths:
            if is_posed(path):
                yield _guarded(path.resolve().name, "posed", partial(self._posed, path))
                continue
            for file in pictures_of(path) if path.is_dir() else [path]:
                first = _guarded(file.stem, "photo", partial(self._photo, file.stem, file))
                yield first
                if vary and first.photo is not None:
                    yield from self._variations(file.stem, first.photo)

    def sequence(self, folder: Path) -> Evaluated:
        """Evaluate the pictures of a folder, sorted by name, as the frames of a video."""
        return _guarded(folder.resolve().name, "sequence", partial(self._frames, folder))

    def _photo(self, name: str, image: Path | NDArray[np.uint8]) -> Evaluated:
        photo = read_image(image) if isinstance(image, Path) else image
        fitted, scores, pictures = evaluate_photo(
            self._rotator, self._observer, self._identity, self._matting, photo, self._views
        )
        angles = (fitted.yaw, fitted.pitch, fitted.roll)
        subject = Subject(name, "photo", angles, fitted.flags, tuple(scores))
        return Evaluated(subject, photo, pictures)

    def _variations(self, name: str, photo: NDArray[np.uint8]) -> Iterator[Evaluated]:
        found = self._observer.observe(photo)
        if found is None:
            failure = "no face is found to vary"
            yield Evaluated(Subject(f"{name} (varied)", "photo", failure=failure))
            return
        for what, image in variations(photo, found.face).items():
            full = f"{name} ({what})"
            yield _guarded(full, "photo", partial(self._photo, full, image))

    def _posed(self, folder: Path) -> Evaluated:
        views = read_posed(folder)
        at_source = [
            view
            for view in views
            if _among(view.yaw, self._source[:1]) and _among(view.pitch, self._source[1:])
        ]
        if not at_source:
            yaw, pitch = (math.degrees(angle) for angle in self._source)
            raise ImageError(f"{folder} has no picture at yaw {yaw:g}°, pitch {pitch:g}°")
        source = at_source[0]
        asked = [
            view
            for view in views
            if view is source
            or (
                _among(view.pitch, self._pitches)
                and (self._yaws is None or _among(view.yaw, self._yaws))
            )
        ]
        fitted, scores, pictures = evaluate_posed(
            self._rotator, self._observer, self._identity, asked, source, self._posed_fov
        )
        angles = (fitted.yaw, fitted.pitch, fitted.roll)
        name = folder.resolve().name
        subject = Subject(name, "posed", angles, fitted.flags, tuple(scores))
        return Evaluated(subject, source.image, pictures)

    def _frames(self, folder: Path) -> Evaluated:
        frames = [read_image(path) for path in pictures_of(folder)]
        fitted, scores = evaluate_sequence(self._rotator, self._observer, frames, self._views)
        angles = (fitted.yaw, fitted.pitch, fitted.roll)
        name = folder.resolve().name
        subject = Subject(name, "sequence", angles, fitted.flags, tuple(scores))
        return Evaluated(subject, frames[0])


def pictures_of(folder: Path) -> list[Path]:
    """Image files in a folder, sorted by name.

    Raises:
        ImageError: The folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise ImageError(f"cannot read {folder}: {error.strerror or error}") from error


def _guarded(name: str, kind: Kind, evaluate: Callable[[], Evaluated]) -> Evaluated:
    try:
        return evaluate()
    except FacerotError as error:
        return Evaluated(Subject(name, kind, failure=str(error)))
    except Exception as error:  # a fault of the pipeline is a result too
        return Evaluated(Subject(name, kind, failure=f"{type(error).__name__}: {error}"))


def _among(angle: float, angles: Iterable[float]) -> bool:
    return any(abs(angle - other) < _SAME_ANGLE for other in angles)
