"""Pictures of rotated faces side by side, and the names of their files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from opendr_facerot.rotator import FittedFace, RotatedFace
from opendr_facerot.views import View

_PAPER = (250, 250, 248)
_INK = (40, 40, 44)
_BEHIND_TRANSPARENT = 255.0
_SMALLEST_TYPE = 2.0  # pixels
_CROP_MARGIN = 0.55  # of the box's longer side, so that hair and chin are in the picture
_PREFERRED_ASPECT = 16 / 9


@dataclass(frozen=True, eq=False)
class Tile:
    """A captioned picture of a montage.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB of any size.
        caption: One line of text, set below the picture and made smaller if it is too wide.
    """

    image: NDArray[np.uint8]
    caption: str


def view_filename(stem: str, face_index: int, view: View) -> str:
    """Name of a view's PNG, e.g. ``me_face0_yaw+30_pitch+00.png``.

    Angles are written in degrees with as many decimals as it takes to read the same angle back, so
    different views never share a name; an angle kept from the photo is written ``keep``.
    """
    yaw, pitch = (_exact_degrees(angle) for angle in (view.yaw, view.pitch))
    return f"{stem}_face{face_index}_yaw{yaw}_pitch{pitch}.png"


def view_caption(view: View) -> str:
    """Caption of a view, e.g. ``yaw +30°  pitch 0°``."""
    return f"yaw {_readable_degrees(view.yaw)}  pitch {_readable_degrees(view.pitch)}"


def montage(
    tiles: Sequence[Tile], columns: int | None = None, tile_size: int = 256
) -> NDArray[np.uint8]:
    """Lay tiles out in rows.

    Args:
        tiles: At least one; pictures that are not square are centred in their tile.
        columns: Tiles in a row; None chooses a number that suits a screen.
        tile_size: Side of a tile's picture, pixels.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ValueError: There are no tiles.
    """
    if not tiles:
        raise ValueError("a montage needs at least one tile")
    gap, band = max(4, tile_size // 32), max(14, tile_size // 9)
    columns = columns or _columns(len(tiles), tile_size, tile_size + band)
    rows = math.ceil(len(tiles) / columns)
    step_x, step_y = tile_size + gap, tile_size + band + gap
    canvas = Image.new(
        "RGB", (gap + min(columns, len(tiles)) * step_x, gap + rows * step_y), _PAPER
    )
    draw = ImageDraw.Draw(canvas)
    for index, tile in enumerate(tiles):
        left, top = gap + index % columns * step_x, gap + index // columns * step_y
        picture = _fitted(tile.image, tile_size)
        canvas.paste(
            picture,
            (left + (tile_size - picture.width) // 2, top + (tile_size - picture.height) // 2),
        )
        draw.text(
            (left + tile_size / 2, top + tile_size + band / 2),
            tile.caption,
            fill=_INK,
            font=_font(tile.caption, tile_size, band),
            anchor="mm",
        )
    return np.array(canvas)


def photo_tile(
    photo: NDArray[np.uint8], box: Sequence[float] | NDArray[np.float32], yaw: float, pitch: float
) -> Tile:
    """A face as it is in the photo, captioned with its estimated pose.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB.
        box: Left, top, right and bottom of the face, pixels.
        yaw: Of the head in the photo, radians.
        pitch: Of the head in the photo, radians.
    """
    yaw_text, pitch_text = (_readable_degrees(angle, decimals=0) for angle in (yaw, pitch))
    return Tile(_crop(photo, box), f"photo: yaw {yaw_text}  pitch {pitch_text}")


def face_tiles(
    photo: NDArray[np.uint8], face: FittedFace, rotated: Sequence[RotatedFace]
) -> list[Tile]:
    """A face as it is in the photo, then its views."""
    source = photo_tile(photo, face.face.box, face.yaw, face.pitch)
    return [source, *(Tile(opaque(r), view_caption(r.view)) for r in rotated)]


def faces_montage(faces: Sequence[Sequence[Tile]], tile_size: int = 256) -> NDArray[np.uint8]:
    """Montage of the tiles of each face: one face fills the rows, several have a row each.

    Raises:
        ValueError: There are no faces.
    """
    columns = len(faces[0]) if len(faces) > 1 else None
    return montage([tile for tiles in faces for tile in tiles], columns, tile_size)


def opaque(rotated: RotatedFace) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB of a view, laid over white where it is transparent."""
    if rotated.alpha is None:
        return rotated.image
    alpha = rotated.alpha[..., None].astype(np.float32) / 255.0
    return np.rint(rotated.image * alpha + _BEHIND_TRANSPARENT * (1 - alpha)).astype(np.uint8)


def _exact_degrees(angle: float | None) -> str:
    """Degrees in the fewest decimals that give ``angle`` back; ``keep`` for None."""
    if angle is None:
        return "keep"
    degrees = math.degrees(angle)
    for decimals in range(18):
        text = f"{abs(degrees):.{decimals}f}"
        if math.isclose(math.radians(float(text)), abs(angle), rel_tol=1e-15, abs_tol=0.0):
            break
    whole, point, fraction = text.partition(".")
    return ("-" if degrees < 0 else "+") + whole.zfill(2) + point + fraction


def _readable_degrees(angle: float | None, decimals: int = 1) -> str:
    if angle is None:
        return "kept"
    degrees = round(math.degrees(angle), decimals)
    return f"{degrees:+g}°" if degrees else "0°"


def _columns(count: int, width: int, height: int) -> int:
    """Columns that leave few holes in the last row and come near the preferred aspect."""

    def badness(columns: int) -> float:
        rows = math.ceil(count / columns)
        aspect = columns * width / (rows * height)
        return abs(math.log(aspect / _PREFERRED_ASPECT)) + (rows * columns - count) / count

    return min(range(1, count + 1), key=badness)


def _crop(
    photo: NDArray[np.uint8], box: Sequence[float] | NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Square around a face's box, cut off at the photo's borders."""
    left, top, right, bottom = (float(v) for v in box)
    half = max(right - left, bottom - top) * (0.5 + _CROP_MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = photo.shape[:2]
    x0, x1 = max(0, round(x - half)), min(width, round(x + half))
    y0, y1 = max(0, round(y - half)), min(height, round(y + half))
    return photo[y0:y1, x0:x1]


def _fitted(image: NDArray[np.uint8], side: int) -> Image.Image:
    scale = side / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    picture = Image.fromarray(np.ascontiguousarray(image))
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _font(text: str, width: int, band: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest type in which the text fits a tile and its band."""
    size = band * 0.62
    while True:
        font = ImageFont.load_default(size)
        if size <= _SMALLEST_TYPE or font.getlength(text) <= width:
            return font
        size -= 0.5
