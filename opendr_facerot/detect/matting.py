"""Person matte: how much of each pixel belongs to the person."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.sessions import inference_session
from opendr_facerot.filters import guided_filter

_INPUT = 256
_LOW, _HIGH = 0.15, 0.85  # the net is rarely sure: stretch its answers


class PersonMatting:
    """MediaPipe's selfie segmentation, sharpened to the edges of the image."""

    def __init__(self) -> None:
        self._session = inference_session("selfie_segmentation.onnx")
        self._input = self._session.get_inputs()[0].name

    def matte(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Alpha of the person in the image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB that shows mainly one person, head and shoulders.

        Returns:
            ``(H, W)`` float32 in [0, 1].
        """
        height, width = image.shape[:2]
        small = cv2.resize(image, (_INPUT, _INPUT), interpolation=cv2.INTER_AREA)
        tensor = small.astype(np.float32).transpose(2, 0, 1)[None] / 255.0
        (output,) = self._session.run(None, {self._input: tensor})
        coarse = cv2.resize(np.squeeze(output).astype(np.float32), (width, height))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        sharp = guided_filter(grey, coarse, max(4, width // 120), 1e-4)
        return np.clip((sharp - _LOW) / (_HIGH - _LOW), 0.0, 1.0)
