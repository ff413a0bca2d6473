"""Face detection with YuNet.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Detections:
        return Detections(self.boxes[index], self.scores[index], self.landmarks5[index])

    def resized(self, scale_x: float, scale_y: float) -> Detections:
        """The same faces in a copy of the image that is larger by these factors."""
        scale = np.array([scale_x, scale_y], np.float32)
        offset = (scale - 1.0) / 2.0  # pixel centres are at integers: edges scale, centres shift
        return Detections(
            self.boxes * np.tile(scale, 2) + np.tile(offset, 2),
            self.scores,
            self.landmarks5 * scale + offset,
        )


class FaceDetector:
    """YuNet at several resolutions. Thread-safe.

    Finds faces of 12 pixels and more in an image whose long side has up to 1280 pixels; larger
    images are scaled down to that. Faces may be rolled by any angle.

    Args:
        threads: Threads of one run of the net.

    Raises:
        WeightsError: The packaged model file is missing or damaged.
    """

    def __init__(self, threads: int = 2) -> None:
        self._session = inference_session("face_detection_yunet.onnx", threads)

    def detect(self, image: NDArray[np.uint8], *, min_score: float, min_size: float) -> list[Face]:
        """Find the faces in an image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            min_score: Lowest score to report, in [0, 1].
            min_size: Smallest longer side of a box to report, in pixels.

        Returns:
            Faces by falling area of their boxes, which end at the image's border.

        Raises:
            ImageError: The image has the wrong shape, type or size.
        """
        check_image(image)
        height, width = image.shape[:2]
        scales = sorted({min(1.0, side / max(height, width)) for side in _LONG_SIDES})
        found = self._at_scales(image, scales, min_score)
        if not len(found.scores):
            close_up = min(1.0, _CLOSE_UP_SIDE / max(height, width))
            found = self._at_scales(image, [close_up], min_score)
        found = found[non_maximum_suppression(found.boxes, found.scores, _MAX_OVERLAP)]
        found.boxes[:, 0::2] = found.boxes[:, 0::2].clip(0, width - 1)
        found.boxes[:, 1::2] = found.boxes[:, 1::2].clip(0, height - 1)
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        order = np.argsort(-sides.prod(1), kind="stable")
        found = found[order[sides.max(1)[order] >= min_size]]
        return [
            Face(box, float(score), landmarks)
            for box, score, landmarks in zip(
                found.boxes, found.scores, found.landmarks5, strict=True
            )
        ]

    def _at_scales(
        self, image: NDArray[np.uint8], scales: Sequence[float], min_score: float
    ) -> Detections:
        results = [self._at_scale(image, scale, min_score) for scale in scales]
        return Detections(
            np.concatenate([r.boxes for r in results]),
            np.concatenate([r.scores for r in results]),
            np.concatenate([r.landmarks5 for r in results]),
        )

    def _at_scale(self, image: NDArray[np.uint8], scale: float, min_score: float) -> Detections:
        height, width = image.shape[:2]
        small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
        if (small_width, small_height) != (width, height):
            image = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
        padded = np.zeros((*(-(-n // 32) * 32 for n in image.shape[:2]), 3), np.float32)
        padded[:small_height, :small_width] = image[..., ::-1]  # the net was trained on BGR
        outputs = self._session.run(_OUTPUTS, {"input": padded.transpose(2, 0, 1)[None]})
        found = decode(outputs, padded.shape[1], min_score)
        return found.resized(width / small_width, height / small_height)


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
