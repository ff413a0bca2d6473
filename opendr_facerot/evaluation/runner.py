"""Evaluation of what a command line names: photos, folders of photos, posed folders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.errors import FacerotError, ImageError
from opendr_facerot.evaluation.identity import IdentityNet
from opendr_facerot.evaluation.photos import evaluate_photo
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.posed import evaluate_posed, is_posed, read_posed
from opendr_facerot.evaluation.scores import Subject, ViewPictures, ViewScore
from opendr_facerot.imaging import read_image
from opendr_facerot.rotator import FaceRotator, FittedFace
from opendr_facerot.views import view_grid

_PHOTO_YAWS = tuple(math.radians(degrees) for degrees in range(-60, 61, 15))
_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_SAME_ANGLE = 1e-6  # radians

_Found = tuple[FittedFace, list[ViewScore], list[ViewPictures]]


class Evaluation:
    """Nets and pipeline, loaded once, and the views that are asked of every subject.

    Args:
        rotator: The pipeline.
        yaws: Radians; None for -60° to 60° of photos and for all of a posed folder.
        pitches: Radians, of posed folders too.
        source: Yaw and pitch, radians, of the picture of a posed folder that views are made from.

    Raises:
        WeightsError: A net is missing.
    """

    def __init__(
        self,
        rotator: FaceRotator,
        *,
        yaws: Sequence[float] | None = None,
        pitches: Sequence[float] = (0.0,),
        source: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._rotator = rotator
        self._observer, self._identity = FaceObserver(), IdentityNet()
        self._matting = PersonMatting()
        self._yaws, self._pitches, self._source = yaws, pitches, source
        self._photo_views = view_grid(_PHOTO_YAWS if yaws is None else yaws, pitches)

    def run(
        self, paths: Iterable[Path]
    ) -> Iterator[tuple[Subject, NDArray[np.uint8] | None, list[ViewPictures]]]:
        """Evaluate one subject after the other; what goes wrong with one does not end the run.

        Yields:
            The subject, the photo its views were made from, and the views; None and no views of a
            subject that failed.
        """
        for path in _subjects(paths):
            posed = is_posed(path)
            name = path.resolve().name if posed else path.stem
            try:
                photo, (fitted, scores, pictures) = (
                    self._folder(path) if posed else self._file(path)
                )
            except FacerotError as error:
                yield Subject(name, posed, failure=str(error)), None, []
            except Exception as error:  # a fault of the pipeline is a result too
                yield Subject(name, posed, failure=f"{type(error).__name__}: {error}"), None, []
            else:
                angles = (fitted.yaw, fitted.pitch, fitted.roll)
                yield Subject(name, posed, angles, fitted.flags, tuple(scores)), photo, pictures

    def _file(self, path: Path) -> tuple[NDArray[np.uint8], _Found]:
        photo = read_image(path)
        return photo, evaluate_photo(
            self._rotator, self._observer, self._identity, self._matting, photo, self._photo_views
        )

    def _folder(self, path: Path) -> tuple[NDArray[np.uint8], _Found]:
        views = read_posed(path)
        at_source = [
            view
            for view in views
            if _among(view.yaw, self._source[:1]) and _among(view.pitch, self._source[1:])
        ]
        if not at_source:
            yaw, pitch = (math.degrees(angle) for angle in self._source)
            raise ImageError(f"{path} has no picture at yaw {yaw:g}°, pitch {pitch:g}°")
        source = at_source[0]
        asked = [
            view
            for view in views
            if view is source
            or (_among(view.pitch, self._pitches))
            and (self._yaws is None or _among(view.yaw, self._yaws))
        ]
        found = evaluate_posed(self._rotator, self._observer, self._identity, asked, source)
        return source.image, found


def _among(angle: float, angles: Iterable[float]) -> bool:
    return any(abs(angle - other) < _SAME_ANGLE for other in angles)


def _subjects(paths: Iterable[Path]) -> Iterator[Path]:
    """Photos and posed folders; a folder that is not posed stands for the photos in it."""
    for path in paths:
        if path.is_dir() and not is_posed(path):
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        else:
            yield path
