"""3DDFA: from an image and a region around each face to the parameters of a morphable model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from opendr_facerot.reconstruct.bfm import MorphableModel
from opendr_facerot.reconstruct.face_parameters import (
    FaceParameters,
    PixelConvention,
    Whitening,
)
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1
from opendr_facerot.reconstruct.roi import crop_roi, roi_from_landmarks


class Tddfa:
    """Fits the morphable model to faces with one or two passes of a small network.

    Guo et al., "Towards fast, accurate and stable 3D dense face alignment", ECCV 2020, describe the
    network and both passes.

    Args:
        network: The regressor; it is moved to ``device``.
        whitening: Statistics of the data that the network was trained on.
        model: The face model that the parameters belong to.
        convention: The pixel convention that the network was trained with.
        device: Where the network runs.
    """

    def __init__(
        self,
        network: MobileNetV1,
        whitening: Whitening,
        model: MorphableModel,
        *,
        convention: PixelConvention = PixelConvention.TDDFA,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model = model
        self.convention = convention
        self._whitening = whitening
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    def fit(
        self, image: NDArray[np.uint8], rois: Sequence[ArrayLike], *, two_step: bool = True
    ) -> list[FaceParameters]:
        """Parameters of several faces of one image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            rois: For each face, its region ``(4,)`` from :func:`roi.roi_from_box` or
                :func:`roi.roi_from_landmarks`.
            two_step: Look a second time, at the region around the landmarks just found; the
                result is then about that region.

        Raises:
            ImageError: A region, the given or the second one, is empty or unreasonably large.
        """
        faces = self._look(image, rois)
        if two_step:
            faces = self._look(image, [roi_from_landmarks(self.landmarks(f)) for f in faces])
        return faces

    def regress(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Parameters ``(B, 62)`` float32 of ``(B, 120, 120, 3)`` uint8 RGB crops."""
        bgr = torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).to(self._device)
        inputs = (bgr.permute(0, 3, 1, 2).float() - 127.5) / 128.0
        with torch.inference_mode():
            outputs = self._network(inputs)
        return self._whitening.undo(outputs.cpu().numpy())

    def vertices(self, face: FaceParameters) -> NDArray[np.float32]:
        """All vertices ``(N, 3)`` float32 in the image; see :meth:`FaceParameters.project`."""
        vertices = self.model.vertices(face.shape, face.expression)
        return face.project(vertices, self.convention)

    def landmarks(self, face: FaceParameters) -> NDArray[np.float32]:
        """The 68 landmarks ``(68, 3)`` float32 in the image, in iBUG's order."""
        vertices = self.model.vertices_at(self.model.keypoints, face.shape, face.expression)
        return face.project(vertices, self.convention)

    def _look(self, image: NDArray[np.uint8], rois: Sequence[ArrayLike]) -> list[FaceParameters]:
        if not len(rois):
            return []
        values = self.regress(np.stack([crop_roi(image, roi) for roi in rois]))
        return [
            FaceParameters(v, np.asarray(roi, np.float64))
            for v, roi in zip(values, rois, strict=True)
        ]
