"""Tracking for the ``head`` pipeline."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.errors import NoFaceError
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.imaging import check_image
from opendr_facerot.pipelines.no_face import no_face_text
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.rotator import Face, FittedFace, RotatorSettings
from opendr_facerot.threads import single_threaded_blas
from opendr_facerot.tracking.face_finder import FaceFinder
from opendr_facerot.tracking.followed_head import FollowedHead
from opendr_facerot.tracking.refresh import FollowedFrame, FullFits, HeadTools, Reconstruct


class HeadTracker:
    """Follows heads; see :class:`opendr_facerot.rotator.FaceTracker`.

    Args:
        finder: Finds the faces of each frame.
        model: The head model.
        matting: Tells people from the background.
        reconstruct: The full fit of a face.
        settings: Gives the settings in force.
        camera: Gives the camera of an image of a width and height.
        real_time: See :meth:`opendr_facerot.rotator.TrackingRotator.track`.
    """

    def __init__(
        self,
        finder: FaceFinder,
        model: HeadModel,
        matting: PersonMatting,
        reconstruct: Reconstruct,
        settings: Callable[[], RotatorSettings],
        camera: Callable[[int, int], Intrinsics],
        *,
        real_time: bool,
    ) -> None:
        self._finder = finder
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="facerot frame")
        self._full_fits = FullFits(reconstruct, real_time=real_time)
        self._tools = HeadTools(model, matting, reconstruct, self._beside, self._full_fits)
        self._settings = settings
        self._camera_of = camera
        self._camera: Intrinsics | None = None
        self._heads: dict[str, FollowedHead] = {}

    def fit(
        self, image: NDArray[np.uint8], stamp: float, skipped: float | None = None
    ) -> list[FittedFace]:
        """Reconstruct the faces of the next frame; see :meth:`FaceTracker.fit`."""
        check_image(image)
        clock = Stopwatch()
        settings = self._settings()
        height, width = image.shape[:2]
        camera = self._camera_of(width, height)
        if camera != self._camera:
            self._heads.clear()
            self._camera = camera
        with clock("landmarks"):
            tracks = self._finder.find(
                image,
                stamp,
                skipped,
                min_score=settings.min_score,
                min_size=settings.min_face_size,
            )
        faces = [(track, track.state.face(width, height)) for track in tracks]
        faces = [(track, face) for track, face in faces if _is_wanted(face, settings)]
        faces.sort(key=lambda pair: -_area(pair[1]))
        del faces[settings.max_faces or len(faces) :]
        known = {track.face_id for track in self._finder.tracks}
        self._heads = {name: head for name, head in self._heads.items() if name in known}
        if not faces:
            raise NoFaceError(no_face_text(image, settings))
        fitted = []
        with single_threaded_blas():
            for track, face in faces:
                frame = FollowedFrame(image, face, track.state.points, camera, self._finder.time)
                own_clock = Stopwatch(clock.seconds)
                head = self._heads.get(track.face_id)
                if head is None:
                    head = FollowedHead(self._tools, frame, own_clock)
                    self._heads[track.face_id] = head
                else:
                    head.follow(frame, own_clock)
                fitted.append(replace(head.result, face_id=track.face_id))
        return fitted

    def close(self) -> None:
        """Forget all faces; see :meth:`FaceTracker.close`."""
        self._full_fits.close()
        self._beside.shutdown(cancel_futures=True)
        self._finder.tracks.clear()
        self._heads.clear()


def _is_wanted(face: Face, settings: RotatorSettings) -> bool:
    return (
        face.score >= settings.min_score
        and float((face.box[2:] - face.box[:2]).max()) >= settings.min_face_size
    )


def _area(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).prod())
