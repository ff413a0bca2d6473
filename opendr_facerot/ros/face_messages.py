"""Messages of turned faces, made of the message classes of any client library.

The node makes them of rclpy's classes, ``facerot bag`` of those of a library for recordings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.gallery import face_tiles, faces_montage
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot.rotator import RotatedFace

_MONTAGE_TILE = 192


@dataclass(frozen=True)
class FaceMessages:
    """Makes messages, all of whose fields are given by name.

    Attributes:
        face_class: ``opendr_facerot_interfaces/msg/RotatedFaceArray``.
        view_class: ``opendr_facerot_interfaces/msg/RotatedFace``.
        region_class: ``sensor_msgs/msg/RegionOfInterest``.
        duration_class: ``builtin_interfaces/msg/Duration``.
        image: Makes a ``sensor_msgs/msg/Image`` of pixels, as
            :func:`opendr_facerot.ros.images.image_fields` takes them, and a header.
    """

    face_class: Callable[..., Any]
    view_class: Callable[..., Any]
    region_class: Callable[..., Any]
    duration_class: Callable[..., Any]
    image: Callable[[NDArray[np.uint8], Any], Any]

    def face(self, face: TurnedFace, views: Sequence[RotatedFace], header: Any) -> Any:
        """A face with some of its views; ``header`` is the source image's."""
        fitted = face.fitted
        return self.face_class(
            header=header,
            face_id=face_id(face),
            roi=self.region_of_interest(fitted.face.box, face.image_size),
            detection_score=float(fitted.face.score),
            source_yaw=float(fitted.yaw),
            source_pitch=float(fitted.pitch),
            source_roll=float(fitted.roll),
            views=[self.view(view, header) for view in views],
            flags=list(fitted.flags),
            processing_time=self._duration(face.seconds),
        )

    def view(self, rotated: RotatedFace, header: Any) -> Any:
        """One view; its image is rgba8 if the background is transparent, else rgb8."""
        alpha = rotated.alpha
        pixels = rotated.image if alpha is None else np.dstack([rotated.image, alpha])
        return self.view_class(
            yaw=_angle_to_field(rotated.view.yaw),
            pitch=_angle_to_field(rotated.view.pitch),
            applied_yaw=float(rotated.yaw),
            applied_pitch=float(rotated.pitch),
            applied_roll=float(rotated.roll),
            seen_fraction=float(rotated.seen_fraction),
            image=self.image(pixels, header),
        )

    def montage(self, image: NDArray[np.uint8], faces: Sequence[TurnedFace], header: Any) -> Any:
        """The faces of an image, ``(H, W, 3)`` uint8 RGB, and their views side by side."""
        tiles = [face_tiles(image, face.fitted, face.views) for face in faces]
        return self.image(faces_montage(tiles, _MONTAGE_TILE), header)

    def region_of_interest(self, box: NDArray[np.float32], image_size: tuple[int, int]) -> Any:
        """The pixels that a box of left, top, right, bottom touches in a width by height image."""
        width, height = image_size
        left, right = (min(max(edge, 0), width) for edge in (math.floor(box[0]), math.ceil(box[2])))
        top, bottom = (
            min(max(edge, 0), height) for edge in (math.floor(box[1]), math.ceil(box[3]))
        )
        return self.region_class(
            x_offset=left,
            y_offset=top,
            width=max(right - left, 0),
            height=max(bottom - top, 0),
            do_rectify=False,
        )

    def _duration(self, seconds: float) -> Any:
        nanoseconds = round(seconds * 1e9)
        return self.duration_class(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def face_id(face: TurnedFace) -> str:
    """Name of a face: in a stream while it is in view, else among those of its image."""
    return face.fitted.face_id or f"face{face.index}"


def _angle_to_field(angle: float | None) -> float:
    return math.nan if angle is None else float(angle)
