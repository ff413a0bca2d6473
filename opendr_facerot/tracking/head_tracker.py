"""Tracking for the ``head`` pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import NoFaceError
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.imaging import check_image
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.rotator import Face, FittedFace, RotatorSettings
from opendr_facerot.threads import single_threaded_blas
from opendr_facerot.tracking.face_finder import FaceFinder

Reconstruct = Callable[
    [NDArray[np.uint8], Face, NDArray[np.float32], Intrinsics, Stopwatch], FittedFace
]
"""The full fit of a face whose landmarks are known."""


class HeadTracker:
    """Follows heads; see :class:`opendr_facerot.rotator.FaceTracker`.

    Args:
        finder: Finds the faces of each frame.
        reconstruct: The full fit of a face.
        settings: Gives the settings in force.
        camera: Gives the camera of an image of a width and height.
    """

    def __init__(
        self,
        finder: FaceFinder,
        reconstruct: Reconstruct,
        settings: Callable[[], RotatorSettings],
        camera: Callable[[int, int], Intrinsics],
    ) -> None:
        self._finder = finder
        self._reconstruct = reconstruct
        self._settings = settings
        self._camera = camera

    def fit(self, image: NDArray[np.uint8], stamp: float) -> list[FittedFace]:
        """Reconstruct the faces of the next frame; see :meth:`FaceTracker.fit`."""
        check_image(image)
        clock = Stopwatch()
        settings = self._settings()
        height, width = image.shape[:2]
        camera = self._camera(width, height)
        with clock("detect"):
            tracks = self._finder.find(
                image, stamp, min_score=settings.min_score, min_size=settings.min_face_size
            )
        faces = [(track, track.state.face(width, height)) for track in tracks]
        faces = [(track, face) for track, face in faces if _is_wanted(face, settings)]
        faces.sort(key=lambda pair: -_area(pair[1]))
        if not faces:
            raise NoFaceError(
                f"no face found in the {width}x{height} frame at a score of at least "
                f"{settings.min_score:g} and a size of at least {settings.min_face_size} pixels: "
                "lower min_score or min_face_size, or show a face from the front"
            )
        with single_threaded_blas():
            return [
                replace(
                    self._reconstruct(
                        image, face, track.state.points, camera, Stopwatch(dict(clock.seconds))
                    ),
                    face_id=track.face_id,
                )
                for track, face in faces[: settings.max_faces or None]
            ]

    def close(self) -> None:
        """Forget all faces."""
        self._finder.tracks.clear()


def _is_wanted(face: Face, settings: RotatorSettings) -> bool:
    return (
        face.score >= settings.min_score
        and float((face.box[2:] - face.box[:2]).max()) >= settings.min_face_size
    )


def _area(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).prod())
