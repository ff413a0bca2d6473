"""Images at the edges of the package: reading, checking and writing them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from threading import get_ident

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from opendr_facerot.errors import ImageError

MIN_SIDE = 16
"""Shortest side, in pixels, of an image that can hold a face worth rotating."""

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""What the name of an image file in a folder ends in, in lower case."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Formats that are read, by Pillow's names: none that runs another program or a script."""

MAX_PIXELS = 64_000_000
"""Largest image taken; a decoded image of this size is 192 MB."""


def check_size(width: int, height: int, name: str = "image") -> None:
    """Raise ImageError unless an image of this size can be processed."""
    if width < MIN_SIDE or height < MIN_SIDE:
        raise ImageError(
            f"{name} is {width}x{height} pixels: at least {MIN_SIDE}x{MIN_SIDE} are needed"
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is {width}x{height} = {width * height / 1e6:.0f} megapixels: "
            f"scale it down to at most {MAX_PIXELS / 1e6:.0f}"
        )


def check_image(image: NDArray[np.uint8], name: str = "image") -> None:
    """Raise ImageError unless ``image`` is ``(H, W, 3)`` uint8 of a size that can be processed."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{name} is a {type(image).__name__}: give a NumPy array")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageError(
            f"{name} has shape {image.shape} and dtype {image.dtype}: give (H, W, 3) uint8 RGB"
        )
    check_size(image.shape[1], image.shape[0], name)


def decode_image(
    data: bytes, name: str = "image", formats: Sequence[str] = FORMATS
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or other image file that is in memory.

    The size is checked before any pixel is decoded. The EXIF orientation is applied; grey and
    16-bit images become 8-bit RGB, transparency is laid over white.

    Args:
        data: Content of the file.
        name: What to call the image in an error's message.
        formats: The formats to accept, by Pillow's names.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ImageError: The data is no image of these formats, is damaged or truncated, or has an
            unusable size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(formats)) as picture:
            check_size(picture.width, picture.height, name)
            return np.array(_as_rgb(ImageOps.exif_transpose(picture)))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} ({len(data)} bytes) is not an image in a format that can be read: "
            + ", ".join(formats)
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is far too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{name} ({len(data)} bytes) is damaged or truncated: {error}") from error


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image file; see :func:`decode_image`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from error
    return decode_image(data, str(path))


def image_files(folder: Path) -> list[Path]:
    """Image files in a folder, sorted by name.

    Raises:
        ImageError: The folder cannot be read, or holds no image file.
    """
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise ImageError(f"cannot read {folder}: {error.strerror or error}") from error
    if not found:
        raise ImageError(f"{folder} holds no image file ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA uint8 in the format of the file's suffix.

    A half-written file is never seen: the data go to a temporary file that is then renamed.

    Raises:
        ImageError: The suffix names no image format, or the folder cannot be written to.
    """
    target = Path(path)
    partial = target.with_name(f".{target.stem}-{os.getpid()}-{get_ident()}{target.suffix}")
    try:
        Image.fromarray(image).save(partial, quality=95)
        os.replace(partial, target)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits and more: keep the high byte
        values = np.asarray(picture, np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")
