"""Where each face of a stream is: its landmarks, frame by frame, under one name.

The landmarks of a frame show where to look for them in the next one; the detector, which is slower,
looks for new faces now and then, and where one was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.attention_mesh import MESH_CONFIDENCE, AttentionMesh
from opendr_facerot.detect.mesh_topology import FACE_POINT_COUNT
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.rotator import Face
from opendr_facerot.tracking.association import match_boxes, overlap
from opendr_facerot.tracking.tracks import MEMORY, Track, TrackBook

DETECTION_PERIOD = 0.4
"""Seconds between two looks for new faces."""

_LONGEST_SKIP = 5.0  # seconds of frames skipped, after which places say nothing any more
_SEARCH_PERIOD = 0.15  # seconds between two looks for a face that was lost

_NOMINAL_SECONDS = 1.0 / 30.0  # between frames whose stamps do not say
_SAME_FACE = 0.5  # intersection over union of two tracks that follow one face
_LOST_PENALTY = 0.3  # cost at which a face that is out of sight is preferred to one in view
_UNSEEN_LOOKS = 3  # looks of the detector at which a face that it does not see is given up
_POINTS5 = (468, 473, 4, 61, 291)  # of the mesh: irises, nose tip, mouth corners


@dataclass(eq=False)
class FoundFace:
    """A face that is followed.

    Attributes:
        points: ``(478, 3)`` landmarks in the newest frame.
        score: Of the detector, when it last saw the face.
        margin: ``(4,)`` the detector's box less that of the landmarks, in sides of the latter.
        unseen: Looks since the detector last saw the face.
    """

    points: NDArray[np.float32]
    score: float
    margin: NDArray[np.float64]
    unseen: int = 0

    @property
    def box(self) -> NDArray[np.float64]:
        """``(4,)`` left, top, right, bottom in pixels, as the detector would draw it."""
        low, high = _extent(self.points)
        return np.concatenate([low, high]) + self.margin * float((high - low).max())

    def face(self, width: int, height: int) -> Face:
        """The face as a detection in an image of that size."""
        box = self.box.clip(0, [width - 1, height - 1] * 2)
        points5 = self.points[list(_POINTS5), :2]
        return Face(box.astype(np.float32), self.score, points5.astype(np.float32))


class FaceFinder:
    """Follows all faces of one stream.

    Args:
        detector: Finds faces.
        mesh: Finds their landmarks.

    Attributes:
        tracks: The faces by name.
        time: Of the newest frame, seconds, on a clock that always runs on.
    """

    def __init__(self, detector: FaceDetector, mesh: AttentionMesh) -> None:
        self.tracks: TrackBook[FoundFace] = TrackBook()
        self.time = 0.0
        self._detector = detector
        self._mesh = mesh
        self._shape: tuple[int, ...] = ()
        self._stamp = 0.0  # of the newest frame
        self._looked = -np.inf

    def find(
        self,
        image: NDArray[np.uint8],
        stamp: float,
        skipped: float | None = None,
        *,
        min_score: float,
        min_size: float,
    ) -> list[Track[FoundFace]]:
        """Find the faces of the next frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            stamp: When it was taken, seconds. Where stamps stand still, a usual frame rate is
                assumed; where they jump back, or the images' size changes, all faces are new.
            skipped: Stamp of the newest frame since the last one that was skipped, if any was.
            min_score: Lowest score of a new face, in [0, 1].
            min_size: Smallest longer side of a new face's box, pixels.

        Returns:
            The faces in view.
        """
        self._advance(image.shape, stamp, skipped)
        tracks, now = self.tracks, self.time
        for track in tuple(tracks.visible):
            mesh = self._mesh.follow(image, track.state.points)
            track.state.points = mesh.points
            if mesh.confidence < MESH_CONFIDENCE:
                tracks.lose(track)
                self._looked = -np.inf
        self._part_collided()
        for track in tracks.visible:
            track.observe(track.state.box, now)
        period = _SEARCH_PERIOD if tracks.lost else DETECTION_PERIOD
        if not tracks.visible or now - self._looked >= period - 1e-6:
            self._looked = now
            self._look(image, min_score, min_size)
        tracks.forget(now)
        return list(tracks.visible)

    def _advance(self, shape: tuple[int, ...], stamp: float, skipped: float | None) -> None:
        first = not self._shape
        seconds = stamp - self._stamp
        gap = seconds if skipped is None else stamp - max(self._stamp, skipped)
        if not first and (shape != self._shape or gap < 0.0):
            self.tracks.clear()
            self._looked = -np.inf
            seconds = 0.0
        seconds = 0.0 if first else (seconds or _NOMINAL_SECONDS)
        self._shape, self._stamp = shape, stamp
        self.time += seconds
        # Nothing is known of the time between: who is there now may be another.
        if gap > MEMORY or seconds > _LONGEST_SKIP:
            self.tracks.clear()

    def _part_collided(self) -> None:
        """Where one face hides another, both tracks follow the one in front: give up the other.

        That is the one that is farther from where it was going to be.
        """
        tracks = self.tracks
        k = 0
        while k < len(tracks.visible):
            one = tracks.visible[k]
            k += 1
            for other in tracks.visible[k:]:
                if overlap(one.state.box, other.state.box) > _SAME_FACE:
                    strayed = max((one, other), key=self._astray)
                    tracks.lose(strayed)
                    if strayed is one:
                        k -= 1
                        break

    def _astray(self, track: Track[FoundFace]) -> float:
        """How far a face is from where it was going to be, in its sides."""
        box = track.state.box
        away = np.abs(box - track.predicted(self.time)).max()
        return float(away / max((box[2:] - box[:2]).max(), 1.0))

    def _look(self, image: NDArray[np.uint8], min_score: float, min_size: float) -> None:
        """Run the detector, and match what it finds with the faces that are known."""
        tracks, now = self.tracks, self.time
        found = self._detector.detect(image, min_score=min_score, min_size=min_size)
        known = list(tracks)
        penalty = np.repeat([0.0, _LOST_PENALTY], [len(tracks.visible), len(tracks.lost)])
        pairs = match_boxes(
            np.array([track.predicted(now) for track in known]).reshape(-1, 4),
            np.array([face.box for face in found]).reshape(-1, 4),
            penalty,
        )
        matched = {k: known[i] for i, k in pairs}
        for track in tuple(tracks.visible):
            track.state.unseen += 1
        for k, face in enumerate(found):
            same = matched.get(k)
            if same is not None and same in tracks.visible:
                self._confirm(same.state, face)
                continue
            mesh = self._mesh.landmarks(image, face)
            if mesh.confidence < MESH_CONFIDENCE:
                continue
            state = FoundFace(mesh.points, face.score, np.zeros(4))
            self._confirm(state, face)
            if same is None:
                tracks.begin(face.box, now, state)
            else:
                same.state = state
                tracks.find_again(same, face.box, now)
        for track in tuple(tracks.visible):
            if track.state.unseen >= _UNSEEN_LOOKS:
                tracks.lose(track)

    def _confirm(self, state: FoundFace, face: Face) -> None:
        """The detector sees a face that is followed."""
        low, high = _extent(state.points)
        state.margin = (face.box - np.concatenate([low, high])) / float((high - low).max())
        state.score, state.unseen = face.score, 0


def _extent(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest x and y of the points on the face."""
    face = points[:FACE_POINT_COUNT, :2].astype(np.float64)
    return face.min(0), face.max(0)
