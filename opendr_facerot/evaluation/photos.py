"""A photo on its own: what its views keep of it, with no true view to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.detect.matting import PersonMatting
from opendr_facerot.evaluation.identity import IdentityNet, cosine
from opendr_facerot.evaluation.leak import leak_fractions
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.scores import ViewPictures, ViewScore
from opendr_facerot.rotator import Face, FaceRotator, FittedFace
from opendr_facerot.views import View

_AROUND_BOX = 1.5  # sides of the face's box that head, hair and shoulders reach from its middle


def evaluate_photo(
    rotator: FaceRotator,
    observer: FaceObserver,
    identity: IdentityNet,
    matting: PersonMatting,
    photo: NDArray[np.uint8],
    views: Sequence[View],
) -> tuple[FittedFace, list[ViewScore], list[ViewPictures]]:
    """Make views of a photo's largest face, and score them.

    Args:
        rotator: The pipeline.
        observer: Finds faces and poses.
        identity: Tells who a face is.
        matting: Tells the person from the background.
        photo: ``(H, W, 3)`` uint8 RGB.
        views: Yaws and pitches; none is kept from the photo.

    Returns:
        The pipeline's fit, the scores and the pictures of the views.

    Raises:
        NoFaceError: The pipeline finds no face.
    """
    fitted = rotator.fit(photo)[0]
    reference = identity.embedding(photo, fitted.face)
    leaks = leak_fractions(rotator, photo, _matte(matting, photo, fitted.face), views)
    scores, pictures = [], []
    for rotated, leak in zip(rotator.render(fitted, views), leaks, strict=True):
        found = observer.observe(rotated.image)
        own = None if found is None else identity.embedding(rotated.image, found.face)
        scores.append(
            ViewScore(
                yaw=rotated.yaw,
                pitch=rotated.pitch,
                asked=(rotated.yaw, rotated.pitch),
                found=None if found is None or found.angles is None else found.angles[:2],
                identity_source=cosine(own, reference),
                leak=leak,
                seen=rotated.seen_fraction,
                failure="no face is found in the view" if found is None else None,
            )
        )
        pictures.append(ViewPictures(rotated.yaw, rotated.pitch, rotated.image))
    return fitted, scores, pictures


def _matte(matting: PersonMatting, photo: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
    """``(H, W)``, the person around a face; nothing farther away belongs to it."""
    left, top, right, bottom = (float(edge) for edge in face.box)
    reach = _AROUND_BOX * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = photo.shape[:2]
    columns = slice(max(0, round(x - reach)), min(width, round(x + reach)))
    rows = slice(max(0, round(y - reach)), min(height, round(y + reach)))
    matte = np.zeros((height, width), np.float32)
    matte[rows, columns] = matting.matte(np.ascontiguousarray(photo[rows, columns]))
    return matte
