"""Face detection with YuNet.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.sessions import inference_session
from opendr_facerot.imaging import check_image
from opendr_facerot.rotator import Face

STRIDES = (8, 16, 32)
"""Pixels between the cells of the net's three output maps."""

_LONG_SIDES = (640, 1280)  # the net finds faces of about 12 to 600 pixels in either
_CLOSE_UP_SIDE = 320  # for a face so large that the net takes it for several things
_MAX_OVERLAP = 0.5
_SURELY_UPRIGHT = 0.9  # faces on their side or upside down stay below this score
_OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in STRIDES)


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces found in one image.

    Attributes:
        boxes: ``(N, 4)`` float32 left, top, right, bottom in pixels.
        scores: ``(N,)`` float32 in [0, 1].
        landmarks5: ``(N, 5, 2)`` float32 pixels: the subject's right and left eye, the nose tip,
            the right and left mouth corner.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks5: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Detections:
        return Detections(self.boxes[index], self.scores[index], self.landmarks5[index])

    def mapped(self, matrix: NDArray[np.floating], offset: NDArray[np.floating]) -> Detections:
        """The same faces where ``matrix @ point + offset`` takes them.

        Args:
            matrix: ``(2, 2)``; one that turns must do so by quarter turns, to keep boxes boxes.
            offset: ``(2,)``.
        """
        corners = self.boxes.reshape(-1, 2, 2) @ matrix.T + offset
        boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        landmarks = self.landmarks5 @ matrix.T + offset
        return Detections(boxes.astype(np.float32), self.scores, landmarks.astype(np.float32))

    @staticmethod
    def joined(parts: Iterable[Detections]) -> Detections:
        """All faces of several parts that none of the better ones covers, by falling score."""
        parts = list(parts)
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        landmarks = np.concatenate([part.landmarks5 for part in parts])
        kept = non_maximum_suppression(boxes, scores, _MAX_OVERLAP)
        return Detections(boxes[kept], scores[kept], landmarks[kept])


class FaceDetector:
    """YuNet at several resolutions and, where needed, orientations. Thread-safe.

    Finds faces of 12 pixels and more in an image whose long side has up to 1280 pixels; larger
    images are scaled down to that. The net knows upright faces: where it finds none, or one that
    it is not sure of, it also looks at the image in quarter turns.

    Raises:
        WeightsError: The packaged model file is missing or damaged.
    """

    def __init__(self) -> None:
        self._session = inference_session("face_detection_yunet.onnx")

    def detect(self, image: NDArray[np.uint8], *, min_score: float, min_size: float) -> list[Face]:
        """Find the faces in an image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            min_score: Lowest score to report, in [0, 1].
            min_size: Smallest longer side of a box to report, in pixels.

        Returns:
            Faces by falling area of their boxes, which end at the image's border. The landmarks
            of a rolled face are in the order that they have when it is upright.

        Raises:
            ImageError: The image has the wrong shape, type or size.
        """
        check_image(image)
        height, width = image.shape[:2]
        long_side = max(height, width)
        sides = sorted({min(side, long_side) for side in _LONG_SIDES})
        found = Detections.joined(self._look(image, side, 0, min_score) for side in sides)
        if not len(found):
            found = self._look(image, min(_CLOSE_UP_SIDE, long_side), 0, min_score)
        if not len(found) or found.scores.min() < _SURELY_UPRIGHT:
            turned = [self._look(image, sides[0], turns, min_score) for turns in (1, 2, 3)]
            found = Detections.joined([found, *turned])
        limit = np.array([width - 1, height - 1] * 2, np.float32)
        boxes = found.boxes.clip(0, limit)
        extent = boxes[:, 2:] - boxes[:, :2]
        order = np.argsort(-extent.prod(1), kind="stable")
        return [
            Face(boxes[k], float(found.scores[k]), found.landmarks5[k])
            for k in order
            if extent[k].max() >= min_size
        ]

    def _look(
        self, image: NDArray[np.uint8], long_side: int, quarter_turns: int, min_score: float
    ) -> Detections:
        """Faces in the image scaled to ``long_side`` and turned counter-clockwise."""
        scale = long_side / max(image.shape[:2])
        size = tuple(max(1, round(n * scale)) for n in image.shape[1::-1])
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        upright = np.rot90(small, quarter_turns)
        height, width = upright.shape[:2]
        padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
        padded[:height, :width] = upright
        # The net was trained on BGR.
        outputs = self._session.run(_OUTPUTS, {"input": cv2.dnn.blobFromImage(padded, swapRB=True)})
        found = decode(outputs, padded.shape[1], min_score)
        # Back about the images' centres, the one point that turning and scaling keep in place.
        turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarter_turns)
        grow = np.array([image.shape[1], image.shape[0]]) / np.array(small.shape[1::-1])
        matrix = grow[:, None] * turn
        centre = (np.array(image.shape[1::-1]) - 1) / 2
        return found.mapped(matrix, centre - matrix @ (np.array([width, height]) - 1) / 2)


def decode(outputs: Sequence[NDArray[np.float32]], width: int, min_score: float) -> Detections:
    """Faces that the net's output maps describe, still overlapping one another.

    A cell's score is the geometric mean of its class and its objectness. Positions are relative to
    the cell's corner, in strides; sizes are logarithms of strides.

    Args:
        outputs: For each stride in :data:`STRIDES` the class ``(1, cells, 1)``, then so the
            objectness, the boxes ``(1, cells, 4)`` and the landmarks ``(1, cells, 10)``.
        width: Width of the net's input, a multiple of 32.
        min_score: Lowest score to keep.
    """
    n = len(STRIDES)
    boxes, scores, landmarks = [], [], []
    for k, stride in enumerate(STRIDES):
        probability, objectness, box, points = (outputs[k + n * part][0] for part in range(4))
        score = np.sqrt(probability[:, 0].clip(0, 1) * objectness[:, 0].clip(0, 1))
        keep = np.flatnonzero(score >= min_score)
        cell = np.stack([keep % (width // stride), keep // (width // stride)], axis=1)
        centre = (cell + box[keep, :2]) * stride
        half = np.exp(box[keep, 2:]) * (stride / 2)
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        scores.append(score[keep])
        landmarks.append((points[keep].reshape(-1, 5, 2) + cell[:, None]) * stride)
    return Detections(
        np.concatenate(boxes).astype(np.float32),
        np.concatenate(scores).astype(np.float32),
        np.concatenate(landmarks).astype(np.float32),
    )


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], max_overlap: float
) -> NDArray[np.intp]:
    """Indices of the boxes that no better box covers, by falling score.

    Two boxes overlap by their intersection over the smaller one's area: unlike the intersection
    over the union, it also finds the box of a part of a face inside the box of the whole.

    Args:
        boxes: ``(N, 4)`` left, top, right, bottom.
        scores: ``(N,)``; equal scores are taken in the order of the boxes.
        max_overlap: Largest overlap of two boxes that are both kept.
    """
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    remaining = np.argsort(-scores, kind="stable")
    kept = []
    while remaining.size:
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        top_left = np.maximum(boxes[best, :2], boxes[remaining, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[remaining, 2:])
        intersection = (bottom_right - top_left).clip(0).prod(1)
        overlap = intersection / np.minimum(area[best], area[remaining]).clip(1e-9)
        remaining = remaining[overlap <= max_overlap]
    return np.array(kept, np.intp)
