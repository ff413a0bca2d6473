"""What the ``head`` pipeline knows about a face once it is fitted: all that a view needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.geometry import Intrinsics
from opendr_facerot.reconstruct.head_fit import HeadFit
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.compose import place_layers
from opendr_facerot.render.plate import Plate
from opendr_facerot.render.texture import SUPERSAMPLING, VertexAppearance

_VIEW_SIDE = 2.3  # face heights that a view spans: head and hair at every angle
_FACE_HEIGHT = 17.5  # centimetres of the template from landmark 10 to the chin


@dataclass(frozen=True, eq=False)
class ViewFrame:
    """What does not change between the views of one face and size: camera and layers of the photo.

    Attributes:
        size: Side of the views, pixels.
        camera: Of the views.
        samples_per_cm: Of the views, per centimetre of the head.
        behind: ``(size, size, 3)`` uint8; this and the next three are those of a :class:`Plate`.
        collar: ``(size, size, 4)`` uint8.
        person: ``(size, size, 4)`` uint8.
        hair: ``(size, size, 4)`` uint8.
        photo: ``(size, size, 4)`` uint8 RGBA, the photo itself.
    """

    size: int
    camera: Intrinsics
    samples_per_cm: float
    behind: NDArray[np.uint8]
    collar: NDArray[np.uint8]
    person: NDArray[np.uint8]
    hair: NDArray[np.uint8]
    photo: NDArray[np.uint8]


class Scenery(Protocol):
    """Where a head is seen: the camera of its views and what surrounds it."""

    def frame(self, size: int) -> ViewFrame:
        """The frame of views of a size."""
        ...


class PhotoScenery:
    """The surroundings that a photo shows. Keeps the frame of the latest size asked for.

    Args:
        work: The work image.
        plate: The photo without its head.
        centre: ``(2,)`` work pixels that views have in their middle.
    """

    def __init__(self, work: WorkImage, plate: Plate, centre: NDArray[np.float64]) -> None:
        self.work = work
        self.plate = plate
        self.centre = centre
        self._frame: ViewFrame | None = None

    def frame(self, size: int) -> ViewFrame:
        """The frame of views of a size."""
        frame = self._frame
        if frame is None or frame.size != size:
            scale = size / (_VIEW_SIDE * self.work.face_height)
            offset = (size - 1) / 2 - scale * self.centre
            frame = photo_frame(self.plate, self.work.intrinsics, scale, offset, size)
            self._frame = frame
        return frame


def photo_frame(
    plate: Plate, camera: Intrinsics, scale: float, offset: NDArray[np.float64], size: int
) -> ViewFrame:
    """The frame whose pixels are ``scale * work + offset``, work being those of ``plate``.

    Args:
        plate: Layers of the photo.
        camera: Of the work image.
        scale: View pixels per work pixel.
        offset: ``(2,)`` view pixels.
        size: Side of the views, pixels.
    """
    return ViewFrame(
        size,
        camera.scaled(scale, *offset),
        size * SUPERSAMPLING / (_VIEW_SIDE * _FACE_HEIGHT),
        *place_layers(plate, scale, offset, size),
    )


@dataclass(frozen=True, eq=False)
class HeadLook:
    """One of the pictures of a head that are mixed into a view.

    Attributes:
        share: Of it in the view, in (0, 1].
        vertices: ``(V, 3)`` fine vertices as in the photo, camera space.
        appearance: What they look like.
    """

    share: float
    vertices: NDArray[np.floating]
    appearance: VertexAppearance


@dataclass(frozen=True, eq=False)
class HeadState:
    """All that a view of one face needs.

    Attributes:
        fit: The head model as it stands in the photo.
        vertices: ``(V, 3)`` fine vertices as in the photo, camera space.
        pivot: ``(3,)`` point that the head turns about, camera space.
        appearance: What the vertices look like.
        scenery: What surrounds the head.
    """

    fit: HeadFit
    vertices: NDArray[np.floating]
    pivot: NDArray[np.floating]
    appearance: VertexAppearance
    scenery: Scenery

    def looks(self, rotation: NDArray[np.floating]) -> list[HeadLook]:
        """The one or two pictures to mix into a view; their shares add up to 1.

        Args:
            rotation: ``(3, 3)`` of the head in the view, template to camera axes.
        """
        return [HeadLook(1.0, self.vertices, self.appearance)]
