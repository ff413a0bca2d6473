"""A photo taken apart around one face: person and background, hair and skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.filters import blur
from opendr_facerot.generate.foreground import extend_foreground, interior_of
from opendr_facerot.geometry import Intrinsics
from opendr_facerot.pipelines.stopwatch import Stopwatch
from opendr_facerot.reconstruct.appearance import Appearance, find_hair
from opendr_facerot.reconstruct.work_image import WorkImage, cut_work_image

_ANALYSED_HEIGHT = 150.0  # pixels of face height: enough to tell person, hair and skin apart


@dataclass(frozen=True, eq=False)
class PersonLayers:
    """Person and background.

    Attributes:
        photo: The work image in the resolution in which views show it.
        work: The same in the resolution of the maps that follow.
        matte: ``(S, S)`` float32 person matte, the face included.
        found: ``(S, S)`` float32, the matte as the net found it.
        interior: ``(S, S)`` bool, pixels that surely show the person.
        foreground: ``(S, S, 3)`` float32 RGB, the person's colours continued over the background.
    """

    photo: WorkImage
    work: WorkImage
    matte: NDArray[np.float32]
    found: NDArray[np.float32]
    interior: NDArray[np.bool_]
    foreground: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PhotoLayers(PersonLayers):
    """What the stages of a fit look at.

    Attributes:
        look: Skin and hair.
    """

    look: Appearance


def separate_layers(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
    matting: PersonMatting,
    clock: Stopwatch,
) -> PhotoLayers:
    """Take a photo apart around the face with these landmarks; see :func:`separate_person`."""
    person = separate_person(image, landmarks, intrinsics, matting, clock)
    return PhotoLayers(**vars(person), look=separate_hair(person, clock))


def separate_person(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    intrinsics: Intrinsics,
    matting: PersonMatting,
    clock: Stopwatch,
) -> PersonLayers:
    """Tell the person with these landmarks from the background.

    Args:
        image: ``(H, W, 3)`` uint8 RGB photo.
        landmarks: ``(478, 3)`` attention mesh, photo pixels.
        intrinsics: Camera of the photo.
        matting: Finds people.
        clock: Counts the time for the stage ``"matte"``.
    """
    with clock("matte"):
        photo = cut_work_image(image, landmarks, intrinsics)
        work = photo.reduced(_ANALYSED_HEIGHT)
        found = matting.matte(work.image)
        # Whatever the matting net makes of the picture, the face belongs to the person.
        face = blur(work.face().astype(np.float32), 0.01 * work.face_height)
        matte = np.maximum(found, face) * work.inside
        interior = interior_of(matte, work.face_height)
        foreground = extend_foreground(work, interior)
    return PersonLayers(photo, work, matte, found, interior, foreground)


def separate_hair(person: PersonLayers, clock: Stopwatch) -> Appearance:
    """Tell hair from skin; ``clock`` counts the time for the stage ``"hair"``."""
    with clock("hair"):
        return find_hair(person.work, person.foreground, person.interior, person.matte)
