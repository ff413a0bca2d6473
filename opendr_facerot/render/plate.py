"""The photo without its head: background, and the body that goes on where the head was."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, disc, pull_push, smoothstep, to_uint8
from opendr_facerot.reconstruct.appearance import Appearance
from opendr_facerot.reconstruct.work_image import CHIN, WorkImage

_CENTIMETRE = 0.057  # of the height of a face 17.5 cm high
_CLOTH_DISTANCE = 14.0  # squared skin distance beyond which a pixel below the chin is clothing
_NECK_SIDE = (0.2, 0.26)  # face heights from the face's axis where the neck ends
_ASIDE, _ASIDE_SLOPE = 0.45, 0.9  # face heights from the axis; rise of what stays, beyond it
_OWN_HAIR = (0.55, 0.35)  # face heights off the head at which hair starts to be, is its own
_THROAT, _COLLAR_SLOPE = 0.1, 0.9  # face heights from the axis; rise of a collar beyond it
_SHOWN_BELOW = (0.6, 0.4)  # face heights of the photo below the chin for hair to hang there
_SHOULDER_DROP = 0.45  # rows per column by which a hidden shoulder falls off from the neck
_FEWEST = 200  # pixels of a body to continue it from
_COLLAR_TOP = 0.25  # face heights above the chin that a collar reaches at most
_COLLAR_REACH = (0.5, 0.35)  # face heights aside and up from the chin within which it is one
_SHOULDER_WIDTH = 1.15  # face heights from the axis to the end of a shoulder
_SHOULDER_SLOPE = 1.6  # columns per row by which a neck widens to shoulders
_ARM_SLOPE = 0.6  # rows per column by which a shoulder falls off beside the photo
_TRUNK = 0.9  # face heights from the axis where what is cut belongs to somebody else
_SHOULDER_HEIGHT = 0.4  # face heights above the chin that shoulders reach at most


@dataclass(frozen=True, eq=False)
class Plate:
    """The photo without its head.

    Attributes:
        behind: ``(S, S, 3)`` uint8 RGB: background, and the body without the head.
        collar: ``(S, S, 4)`` uint8 RGBA: clothing that lies in front of the neck.
        person: ``(S, S, 4)`` uint8 RGBA: the person as photographed, hair and all.
        hair: ``(S, S, 4)`` uint8 RGBA: of that, only what is around the face.
        image: ``(S, S, 3)`` uint8 RGB, what the layers were made of.
        photo: ``(h, w, 3)`` uint8 RGB, the photo itself, where there is some of it.
        photo_scale: Work pixels per pixel of ``photo``.
        photo_offset: ``(2,)``: work = photo_scale * photo + photo_offset.
    """

    behind: NDArray[np.uint8]
    collar: NDArray[np.uint8]
    person: NDArray[np.uint8]
    hair: NDArray[np.uint8]
    image: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    photo_scale: float
    photo_offset: NDArray[np.float64]


def make_plate(
    work: WorkImage,
    matte: NDArray[np.float32],
    foreground: NDArray[np.float32],
    appearance: Appearance,
    background: NDArray[np.float32],
    head: NDArray[np.bool_],
) -> Plate:
    """Remove the head from the work image.

    Args:
        work: The work image.
        matte: ``(S, S)`` float32 person matte.
        foreground: ``(S, S, 3)`` float32 RGB, the person's colours continued over the background.
        appearance: Skin and hair of the work image.
        background: ``(S, S, 3)`` float32 RGB, see :mod:`opendr_facerot.render.background`.
        head: ``(S, S)`` bool, where the fitted head covers the photo.
    """
    unit = _CENTIMETRE * work.face_height
    height, lateral = work.along_face()
    bodily, made_up = _without_cut_hair(work, matte, appearance, height, lateral)
    standing = _continued_below(work, _continued_aside(work, bodily))

    face = cv2.dilate(work.face().astype(np.uint8), disc(0.3 * unit))
    collar = _collar(work, matte, appearance, face, height, lateral)
    shoulders = _shoulders(work, matte, appearance, head, lateral)
    # A veil or a neighbour beside the head stays as it is, the more the farther away.
    aside = smoothstep(0.0, 0.12, _ASIDE_SLOPE * (lateral - _ASIDE) - height)
    away = cv2.distanceTransform((~head).astype(np.uint8), cv2.DIST_L2, 3) / work.face_height
    aside *= 1.0 - appearance.hair * smoothstep(*_OWN_HAIR, away)
    body = np.maximum(np.maximum(smoothstep(0.06, -0.03, height), shoulders), aside)
    body = (body * standing).astype(np.float32)
    body *= _connected_to_bottom(body, head, height)

    # Where the head was, the body goes on: the nape, a collar, the far shoulder.
    grown = cv2.dilate(head.astype(np.uint8), disc(0.3 * unit))
    grown = np.where((height < 0.0) & (appearance.hair < 0.4), head, grown).astype(np.uint8)
    sure = cv2.erode((matte > 0.7).astype(np.uint8), disc(0.1 * unit)) > 0
    sure &= (grown == 0) & (work.inside > 0.9) & (height < 0.02) & (appearance.hair < 0.5)
    sure &= made_up < 0.1
    sure |= (collar > 0.95) & (height > -0.1)
    bare = (appearance.neck_distance < _CLOTH_DISTANCE) & (appearance.hair < 0.4)
    neck = (height < 0.0) & (face == 0) & bare & (matte > 0.7) & (work.inside > 0.9)
    if sure.sum() < _FEWEST:
        sure |= neck
    grown[neck] = 0  # it does not go away
    was_head = blur(grown.astype(np.float32), 0.12 * unit)
    hidden_body = pull_push(work.image.astype(np.float32), sure.astype(np.float32))
    if sure.sum() < _FEWEST:
        hidden_body = foreground
    colours = _mixed(foreground, hidden_body, np.maximum(was_head, made_up))
    # A collar goes round the neck: behind it there is as much of it as there is on either side.
    hidden = np.maximum(standing * smoothstep(0.01, -0.05, height), _round_neck(work, collar))
    behind = _mixed(background, colours, np.maximum(body * (1.0 - was_head), hidden))

    around_head = smoothstep(0.22, 0.34, height) * smoothstep(0.95, 0.75, lateral)
    # Where the matte is thin, the photo's own colours are half background.
    own = _mixed(foreground, work.image.astype(np.float32), smoothstep(0.8, 1.0, matte))
    return Plate(
        behind=to_uint8(behind),
        collar=_with_alpha(foreground, collar),
        person=_with_alpha(own, matte),
        hair=_with_alpha(own, matte * around_head),
        image=work.image,
        photo=work.photo,
        photo_scale=work.scale,
        photo_offset=work.photo_offset,
    )


def _without_cut_hair(
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
    height: NDArray[np.float32],
    lateral: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The body without hair that the photo cuts soon below the chin.

    The head takes it along; what little of it would stay behind is a spike beside the neck.

    Returns:
        The matte ``(S, S)`` with shoulders that fall off from the neck in place of that hair; and
        how far the body has other colours than the photo there and beyond the photo, ``(S, S)``.
    """
    shown = (_last_row(work) - work.landmarks[CHIN, 1]) / work.face_height
    cut = float(smoothstep(*_SHOWN_BELOW, shown))
    if cut == 0.0:
        return matte, np.zeros_like(matte)
    hair = cv2.dilate((appearance.hair > 0.35).astype(np.uint8), disc(0.04 * work.face_height))
    hair = cut * blur(hair.astype(np.float32), 0.01 * work.face_height)
    shoulder = -_SHOULDER_DROP * np.maximum(lateral - _NECK_SIDE[0], 0.0)
    bodily = matte * (1.0 - hair * smoothstep(-0.04, 0.04, height - shoulder))
    beyond = cut * (1.0 - cv2.erode(work.inside, np.ones((3, 3))))
    return bodily.astype(np.float32), np.maximum(hair, beyond).astype(np.float32)


def _last_row(work: WorkImage) -> int:
    """The last row that shows the photo."""
    rows = np.flatnonzero((work.inside > 0.9).any(1))
    return int(rows[-1]) if len(rows) else len(work.image) - 1


def _continued_aside(work: WorkImage, matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matte with shoulders going on, sloping down, beside a photo that cuts them."""
    columns = np.flatnonzero((work.inside > 0.9).any(0))
    rows, chin = np.arange(len(matte)), max(0, round(work.landmarks[CHIN, 1]))
    going_on = matte.copy()
    for border, beyond in (
        (columns[0] + 2, slice(0, columns[0] + 2)),
        (columns[-1] - 2, slice(columns[-1] - 1, matte.shape[1])),
    ):
        edge = matte[chin:, border] > 0.5
        if beyond.stop - beyond.start <= 2 or not edge.any():
            continue
        top = chin + int(edge.argmax())
        away = np.abs(np.arange(beyond.start, beyond.stop) - border)
        depth = (rows[:, None] - top - _ARM_SLOPE * away) / work.face_height
        going_on[:, beyond] = smoothstep(-0.02, 0.02, depth)
    return going_on


def _continued_below(work: WorkImage, matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matte with the body going on below a photo that cuts it: a neck widens to shoulders."""
    last = _last_row(work)
    columns, below = np.arange(matte.shape[1]), np.arange(len(matte)) - last
    if below[-1] <= 0:
        return matte
    edge = smoothstep(0.4, 0.8, matte[max(last - 2, 0)])
    from_axis = np.abs(columns - work.landmarks[CHIN, 0]) / work.face_height
    cut = np.flatnonzero((edge > 0.5) & (from_axis < _TRUNK))
    going_on = np.broadcast_to(edge, matte.shape)
    if len(cut):
        away = np.abs(np.subtract.outer(columns, cut)).min(1) / work.face_height
        depth = np.maximum(below, 0)[:, None] / work.face_height
        widened = np.minimum(_SHOULDER_SLOPE * depth - away, _SHOULDER_WIDTH - from_axis)
        softness = 0.02 + 0.1 * np.minimum(depth, 1.0)
        going_on = np.maximum(going_on, smoothstep(-1.0, 1.0, widened / softness))
    return np.where(below[:, None] > -2, going_on, matte).astype(np.float32)


def _collar(
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
    face: NDArray[np.uint8],
    height: NDArray[np.float32],
    lateral: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weight of clothing that stands before the neck or beside it, one piece with the trunk."""
    low = height < _COLLAR_TOP + 0.01
    rows = slice(int(low.any(axis=1).argmax()), len(matte))  # above, there is none
    here, above, hair = matte[rows], height[rows], appearance.hair[rows]
    cloth = (appearance.neck_distance[rows] > _CLOTH_DISTANCE) & (here > 0.5) & (hair < 0.45)
    weight = smoothstep(0.35, 0.75, blur(cloth.astype(np.float32), 0.012 * work.face_height))
    weight *= smoothstep(0.4, 0.8, here) * work.inside[rows]
    weight *= 1.0 - blur(face[rows].astype(np.float32), 0.01 * work.face_height)
    rise = _COLLAR_SLOPE * np.maximum(lateral[rows] - _THROAT, 0.0)
    weight *= smoothstep(0.0, 0.03, np.minimum(rise, _COLLAR_TOP) + 0.01 - above)
    nothing = np.zeros(here.shape, np.bool_)
    weight *= _connected_to_bottom(weight.astype(np.float32), nothing, above)
    collar = np.zeros(matte.shape, np.float32)
    collar[rows] = weight
    return collar


def _shoulders(
    work: WorkImage,
    matte: NDArray[np.float32],
    appearance: Appearance,
    head: NDArray[np.bool_],
    lateral: NDArray[np.float32],
) -> NDArray[np.floating]:
    """Weight of the body above the chin's level: clothing that stands beside the neck.

    It ends there, while hair that falls beside the neck goes on higher up.
    """
    chin = int(np.clip(work.landmarks[CHIN, 1], 1, len(matte) - 1))
    person = (matte[:chin] > 0.5) & ~head[:chin]
    from_chin = np.cumprod(person[::-1], axis=0, dtype=np.uint8)  # unbroken from there upwards
    ends = (from_chin.sum(0) < _SHOULDER_HEIGHT * work.face_height).astype(np.uint8)
    ends = cv2.erode(ends[None], np.ones((1, 2 * round(0.03 * work.face_height) + 1)))
    beside = np.ones(matte.shape, np.float32)
    beside[:chin] = from_chin[::-1] * ends
    clothed = smoothstep(5.0, _CLOTH_DISTANCE, appearance.neck_distance) * (1.0 - appearance.hair)
    clothing = (beside * smoothstep(*_NECK_SIDE, lateral) * clothed).astype(np.float32)
    # Slivers are the rim of the neck. In whole numbers they are found ten times as fast.
    rounded, shape = to_uint8(255.0 * clothing), disc(0.03 * work.face_height)
    clothing = cv2.morphologyEx(rounded, cv2.MORPH_OPEN, shape) * np.float32(1.0 / 255.0)
    return blur(clothing, 0.004 * work.face_height)


def _round_neck(work: WorkImage, collar: NDArray[np.floating]) -> NDArray[np.float32]:
    """How far there is a collar on both sides of each pixel around the chin, in its row."""
    chin, reach = work.landmarks[CHIN, :2], work.face_height * np.array(_COLLAR_REACH)
    (left, top), (right, bottom) = np.clip(chin + [-reach, reach], 0, len(collar)).astype(int)
    beside = np.ascontiguousarray(collar[top:bottom, left:right], np.float32)
    from_left = np.maximum.accumulate(beside, axis=1)
    from_right = np.maximum.accumulate(beside[:, ::-1], axis=1)[:, ::-1]
    around = np.zeros(collar.shape, np.float32)
    if beside.size:
        both = np.minimum(from_left, from_right)
        around[top:bottom, left:right] = blur(both, 0.0034 * work.face_height)
    return around


def _connected_to_bottom(
    body: NDArray[np.float32], head: NDArray[np.bool_], height: NDArray[np.float32]
) -> NDArray[np.float32]:
    """1 where the body is one piece with the trunk, 0 for scraps beside the head."""
    labels = cv2.connectedComponents(((body > 0.3) & ~head).astype(np.uint8))[1]
    trunk = np.unique(labels[(height < -0.12) & (labels > 0)])
    piece = cv2.dilate(np.isin(labels, trunk).astype(np.float32), np.ones((3, 3)))
    return blur(piece, 1.0)


def _mixed(
    below: NDArray[np.float32], above: NDArray[np.float32], share: NDArray[np.floating]
) -> NDArray[np.float32]:
    """One ``(S, S, 3)`` image over another, as far as the share ``(S, S)`` in [0, 1] says."""
    opacity = share.astype(np.float32)
    return np.asarray(cv2.blendLinear(below, above, 1.0 - opacity, opacity))


def _with_alpha(colours: NDArray[np.float32], alpha: NDArray[np.floating]) -> NDArray[np.uint8]:
    """RGBA ``(S, S, 4)`` of RGB 0..255 and alpha 0..1."""
    rgba = cv2.cvtColor(to_uint8(colours), cv2.COLOR_RGB2RGBA)
    return np.asarray(cv2.insertChannel(to_uint8(255.0 * alpha), rgba, 3))
