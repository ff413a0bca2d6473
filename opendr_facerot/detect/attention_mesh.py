"""Dense face landmarks with MediaPipe's attention mesh.

Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", CVPR Workshop
on Computer Vision for AR/VR, 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect import mesh_topology as topology
from opendr_facerot.detect.sessions import inference_session
from opendr_facerot.geometry import SimilarityTransform
from opendr_facerot.imaging import check_image
from opendr_facerot.rotator import Face

_INPUT = 192
_CROP_PER_BOX = 1.5  # sides of the crop and of the box around the landmarks
_CROP_PER_DETECTION = 1.32  # sides of the crop and of the detector's box, which is larger
_TOWARDS_FEATURES = 0.6  # from that box's centre to the height of the eyes' and mouth's middle
_PASSES = 3  # the first starts from the detection, the others from the landmarks before
_SETTLED = 0.03  # of the crop's side by which a pass may still move a corner of the next one's
_CORNERS = np.array([[0.0, 0.0], [_INPUT, 0.0], [0.0, _INPUT], [_INPUT, _INPUT]])
_MAX_SUPERSAMPLING = 6
_LOST_TRACK = 0.15  # of its crop's side that a face may have moved and still be well inside it
MESH_CONFIDENCE = 0.5
"""Below this confidence the net says that there is no face."""


@dataclass(frozen=True, eq=False)
class MeshLandmarks:
    """The attention mesh of one face.

    Attributes:
        points: ``(478, 3)`` float32: x and y in pixels of the image, z on the same scale, smaller
            = nearer to the camera, about 0 in the middle of the head. Which point is what:
            :mod:`opendr_facerot.detect.mesh_topology`.
        confidence: That there is a face, in [0, 1].
    """

    points: NDArray[np.float32]
    confidence: float


class AttentionMesh:
    """The landmark net. Thread-safe.

    Raises:
        WeightsError: The packaged model file is missing or damaged.
    """

    def __init__(self) -> None:
        self._session = inference_session("face_mesh_attention.onnx")

    def landmarks(self, image: NDArray[np.uint8], face: Face) -> MeshLandmarks:
        """Find the mesh of a detected face.

        The net sees an upright square cut around the face, first by the detection, then by its
        own landmarks.

        Args:
            image: ``(H, W, 3)`` uint8 RGB; what lies outside it is taken as black.
            face: Where the face is, from :class:`~opendr_facerot.detect.yunet.FaceDetector`.

        Raises:
            ImageError: The image has the wrong shape, type or size.
        """
        check_image(image)
        crop = _detected_crop(face)
        for done in range(1, _PASSES + 1):
            mesh = self._in_crop(image, crop)
            around = _crop_around(mesh.points)
            apart = np.abs(around.apply(_CORNERS) - crop.apply(_CORNERS)).max()
            if done > 1 and apart < _SETTLED * _INPUT * crop.scale:
                break
            crop = around
        return mesh

    def follow(self, image: NDArray[np.uint8], previous: NDArray[np.floating]) -> MeshLandmarks:
        """Find the mesh of a face again, in the next frame of a stream.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            previous: ``(478, 3)`` points in the frame before.

        Raises:
            ImageError: The image has the wrong shape, type or size.
        """
        check_image(image)
        crop = _crop_around(previous)
        for _ in range(_PASSES):
            mesh = self._in_crop(image, crop)
            around = _crop_around(mesh.points)
            middle = np.full(2, _INPUT / 2)
            moved = float(np.linalg.norm(around.apply(middle) - crop.apply(middle)))
            if moved < _LOST_TRACK * _INPUT * crop.scale:
                break
            crop = around
        return mesh

    def _in_crop(self, image: NDArray[np.uint8], crop: SimilarityTransform) -> MeshLandmarks:
        pixels = cv2.dnn.blobFromImage(_resample(image, crop), 1.0 / 255.0)
        outputs = self._session.run(None, {"image": pixels})
        mesh, lips, right_eye, left_eye, right_iris, left_iris, flag = (o.ravel() for o in outputs)
        points = np.zeros((topology.POINT_COUNT, 3))
        points[: topology.FACE_POINT_COUNT] = mesh.reshape(-1, 3)
        for indices, refined in (
            (topology.REFINED_LIPS, lips),
            (topology.REFINED_RIGHT_EYE, right_eye),
            (topology.REFINED_LEFT_EYE, left_eye),
            (topology.RIGHT_IRIS, right_iris),
            (topology.LEFT_IRIS, left_iris),
        ):
            points[indices, :2] = refined.reshape(-1, 2)
        # The net gives no depth of the irises: they lie in the openings of the eyes.
        points[topology.RIGHT_IRIS, 2] = points[topology.RIGHT_EYE_CONTOUR, 2].mean()
        points[topology.LEFT_IRIS, 2] = points[topology.LEFT_EYE_CONTOUR, 2].mean()
        in_image = np.column_stack([crop.apply(points[:, :2]), crop.scale * points[:, 2]])
        confidence = 1.0 / (1.0 + math.exp(-float(flag[0])))
        return MeshLandmarks(in_image.astype(np.float32), confidence)


def _direction(start: NDArray[np.floating], end: NDArray[np.floating]) -> float:
    """Angle of the line between two points, radians clockwise on the screen from the x axis."""
    return math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))


def _rotation(angle: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def _upright_crop(roll: float, centre: NDArray[np.floating], side: float) -> SimilarityTransform:
    """From the crop's coordinates, [0, 192] from edge to edge, to the image's pixels.

    Args:
        roll: Radians clockwise on the screen.
        centre: ``(2,)`` pixels.
        side: Pixels.
    """
    rotation = _rotation(roll)
    scale = side / _INPUT
    middle = np.full(2, _INPUT / 2)
    return SimilarityTransform(scale, rotation, centre - scale * rotation @ middle)


def _detected_crop(face: Face) -> SimilarityTransform:
    """The crop for a detected face, about the one that its landmarks will ask for."""
    right_eye, left_eye, _, right_mouth, left_mouth = face.landmarks5.astype(np.float64)
    corners = face.box.astype(np.float64).reshape(2, 2)
    roll, centre = _direction(right_eye, left_eye), corners.mean(0)
    rotation = _rotation(roll)
    features = (right_eye + left_eye + right_mouth + left_mouth) / 4
    down = (rotation.T @ (features - centre))[1]
    side = _CROP_PER_DETECTION * float((corners[1] - corners[0]).max())
    return _upright_crop(roll, centre + _TOWARDS_FEATURES * down * rotation[:, 1], side)


def _crop_around(points: NDArray[np.floating]) -> SimilarityTransform:
    """The crop for landmarks ``(478, 3)`` that are already known."""
    face = points[: topology.FACE_POINT_COUNT, :2].astype(np.float64)
    roll = _direction(face[topology.RIGHT_EYE_OUTER], face[topology.LEFT_EYE_OUTER])
    rotation = _rotation(roll)
    upright = face @ rotation
    low, high = upright.min(0), upright.max(0)
    side = _CROP_PER_BOX * float((high - low).max())
    return _upright_crop(roll, rotation @ ((low + high) / 2), side)


def _resample(image: NDArray[np.uint8], crop: SimilarityTransform) -> NDArray[np.uint8]:
    """The crop ``(192, 192, 3)``, averaged over the pixels of the image that fall on each pixel."""
    factor = min(max(1, round(crop.scale)), _MAX_SUPERSAMPLING)
    step = SimilarityTransform(1.0 / factor, np.eye(2), np.full(2, 0.5 / factor))
    matrix = np.hstack(
        [
            crop.scale * step.scale * crop.rotation,
            crop.apply(step.translation)[:, None],
        ]
    )
    size = (_INPUT * factor, _INPUT * factor)
    fine = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.resize(fine, (_INPUT, _INPUT), interpolation=cv2.INTER_AREA)
