"""Messages as broken drivers and hostile clients send them, drawn by Hypothesis."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image
from squares import picture

from opendr_facerot_interfaces.srv import RotateFace

# Channels and bytes per value of each encoding, and the divisors of its width and height.
LAYOUTS = {
    **dict.fromkeys(("rgb8", "bgr8", "8UC3"), (3, 1, 1, 1)),
    **dict.fromkeys(("rgba8", "bgra8", "8UC4"), (4, 1, 1, 1)),
    **dict.fromkeys(("mono8", "8UC1"), (1, 1, 1, 1)),
    **dict.fromkeys(("rgb16", "bgr16"), (3, 2, 1, 1)),
    **dict.fromkeys(("mono16", "16UC1"), (1, 2, 1, 1)),
    **dict.fromkeys(
        (f"bayer_{order}8" for order in ("rggb", "bggr", "gbrg", "grbg")), (1, 1, 1, 1)
    ),
    **dict.fromkeys(("uyvy", "yuv422", "yuyv", "yuv422_yuy2"), (2, 1, 2, 1)),
    **dict.fromkeys(("nv12", "nv21"), (1, 1, 2, 2)),
}

_SIDES = st.sampled_from([0, 1, 15, 16, 17, 20, 31, 32, 40, 64, 8001, 65_536, 2**31, 2**32 - 1])
_PLAUSIBLE_SIDES = st.sampled_from([16, 20, 31, 32, 40, 64])
_ENCODINGS = st.one_of(
    st.sampled_from([*LAYOUTS, *LAYOUTS, "", "32FC1", "RGB8", "bayer_rggb16", "jpeg"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)
_CHANGES = st.sampled_from([0, 0, 0, 0, 1, -1, 7, -1000, 10**9])


def is_usable(message: Image) -> bool:
    """Whether an image says nothing wrong about itself: the rules of its format, one by one."""
    if message.encoding not in LAYOUTS or message.is_bigendian not in (0, 1):
        return False
    width, height = message.width, message.height
    channels, depth, even_width, even_height = LAYOUTS[message.encoding]
    if width < 16 or height < 16 or width * height > 64_000_000:
        return False
    if width % even_width or height % even_height:
        return False
    row = width * channels * depth
    rows = height + height // 2 if message.encoding in ("nv12", "nv21") else height
    return bool(message.step >= row and len(message.data) >= message.step * (rows - 1) + row)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Raw images, about a quarter of them usable."""
    if draw(st.booleans()):
        sides, encodings = _PLAUSIBLE_SIDES, st.sampled_from([*LAYOUTS])
    else:
        sides, encodings = _SIDES, _ENCODINGS
    message = Image(width=draw(sides), height=draw(sides), encoding=draw(encodings))
    message.is_bigendian = draw(st.sampled_from([0, 0, 0, 1, 1, 2, 255]))
    channels, depth, _, _ = LAYOUTS.get(message.encoding, (3, 1, 1, 1))
    step = message.width * channels * depth + draw(_CHANGES)
    message.step = min(max(step, 0), 2**32 - 1)
    needed = message.step * message.height * 3 // 2
    message.data.frombytes(bytes([draw(st.integers(0, 255))]) * _length(draw, needed))
    return message


@st.composite
def compressed_images(draw: st.DrawFn) -> CompressedImage:
    """Files that were cut, or had bytes changed or swapped, or never were pictures."""
    data = bytearray(draw(st.sampled_from(_FILES)))
    for _ in range(draw(st.integers(0, 6))):
        # Most of what a decoder can stumble over stands in the first bytes.
        at = draw(st.integers(0, min(len(data), 80) - 1) | st.integers(0, len(data) - 1))
        data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    if draw(st.booleans()):
        del data[draw(st.integers(1, len(data))) :]
    if draw(st.integers(0, 9)) == 0:
        data = bytearray(draw(st.binary(max_size=100)))
    message = CompressedImage(format=draw(st.sampled_from(["jpeg", "png", "", "x" * 100])))
    message.data.frombytes(bytes(data))
    return message


@st.composite
def requests(draw: st.DrawFn) -> RotateFace.Request:
    """Requests with an unusable image, unusable angles, both, or neither."""
    good = st.floats(-1.5, 1.5, width=32) | st.just(float("nan"))
    angles = st.lists(draw(st.sampled_from([good, good, st.floats(width=32)])), max_size=4)
    request = RotateFace.Request(yaw=draw(angles), pitch=draw(angles))
    if draw(st.integers(0, 19)) == 0:
        request.yaw = [0.0] * draw(st.sampled_from([999, 1001, 5000]))
    request.grid = draw(st.booleans())
    request.max_faces = draw(st.sampled_from([0, 1, 2, 2**32 - 1]))
    request.image = draw(st.sampled_from(_GOOD) | images())
    return request


def _length(draw: st.DrawFn, needed: int) -> int:
    """Some bytes more or fewer than needed, but never so many that the test is slow."""
    return min(max(needed + draw(_CHANGES), 0), 40_000)


def _encode(pixels: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


_SMALL = picture((20,), size=(48, 48))
_DEEP = (_SMALL[..., 0].astype(np.uint16) << 8) + 7
_FILES = (
    _encode(_SMALL, "JPEG"),
    _encode(_SMALL, "JPEG", progressive=True),
    _encode(_SMALL[..., 0], "JPEG"),
    _encode(_SMALL, "PNG"),
    _encode(_DEEP, "PNG"),
    _encode(np.dstack([_SMALL, _SMALL[..., 0]]), "PNG"),
    _encode(_SMALL, "GIF"),
    _encode(_SMALL, "BMP"),
    _encode(_SMALL, "TIFF"),
    _encode(_SMALL, "WEBP"),
)


def _good_image(pixels: Any) -> Image:
    height, width, _ = pixels.shape
    message = Image(width=width, height=height, step=3 * width, encoding="rgb8")
    message.data.frombytes(pixels.tobytes())
    return message


_GOOD = (_good_image(_SMALL), _good_image(picture((), size=(32, 32))), Image())
