"""Pixels of messages, against conversions written out by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import io
import math
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_facerot import ImageError
from opendr_facerot.imaging import MAX_PIXELS
from opendr_facerot.ros.images import image_from_message, image_message, is_empty, vertical_fov

WIDTH, HEIGHT, PADDING = 24, 18, 5
RGB = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
GREY = RGB[..., 0]
OPAQUE = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)


def message(
    pixels: NDArray[Any], encoding: str, *, bigendian: bool = False, padding: int = PADDING
) -> Image:
    """A message whose rows are ``padding`` bytes longer than they need to be."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    result = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=padded.shape[1])
    result.is_bigendian = int(bigendian)
    result.data.frombytes(padded.tobytes())
    return result


def grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("padding", [0, PADDING])
@pytest.mark.parametrize(
    ("pixels", "encoding", "expected"),
    [
        (RGB, "rgb8", RGB),
        (RGB[..., ::-1], "bgr8", RGB),
        (RGB[..., ::-1], "8UC3", RGB),
        (np.dstack([RGB, OPAQUE]), "rgba8", RGB),
        (np.dstack([RGB[..., ::-1], OPAQUE]), "bgra8", RGB),
        (np.dstack([RGB[..., ::-1], OPAQUE]), "8UC4", RGB),
        (GREY, "mono8", grey_to_rgb(GREY)),
        (GREY, "8UC1", grey_to_rgb(GREY)),
    ],
)
def test_8_bits(
    pixels: NDArray[np.uint8], encoding: str, expected: NDArray[np.uint8], padding: int
) -> None:
    assert np.array_equal(image_from_message(message(pixels, encoding, padding=padding)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_keep_the_high_byte(order: str) -> None:
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 65536, (HEIGHT, WIDTH)).astype(f"{order}u2")
    colour = rng.integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(f"{order}u2")
    big = order == ">"
    for encoding in ("mono16", "16UC1"):
        got = image_from_message(message(grey, encoding, bigendian=big))
        assert np.array_equal(got, grey_to_rgb((grey // 256).astype(np.uint8)))
    got = image_from_message(message(colour, "rgb16", bigendian=big))
    assert np.array_equal(got, colour // 256)
    got = image_from_message(message(colour[..., ::-1], "bgr16", bigendian=big))
    assert np.array_equal(got, colour // 256)


@pytest.mark.parametrize(
    ("encoding", "corner"),
    [
        ("bayer_rggb8", "RGGB"),
        ("bayer_bggr8", "BGGR"),
        ("bayer_gbrg8", "GBRG"),
        ("bayer_grbg8", "GRBG"),
    ],
)
def test_bayer_patterns_begin_in_the_corner(encoding: str, corner: str) -> None:
    colour = np.array([200, 120, 40], np.uint8)
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for k, letter in enumerate(corner):
        mosaic[k // 2 :: 2, k % 2 :: 2] = colour["RGB".index(letter)]
    got = image_from_message(message(mosaic, encoding))
    assert np.array_equal(got[2:-2, 2:-2], np.broadcast_to(colour, got.shape)[2:-2, 2:-2])


def yuv_planes() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Brightness of each pixel and colour of each 2x2 block, of video range."""
    rng = np.random.default_rng(3)
    half = (HEIGHT // 2, WIDTH // 2)
    y = rng.integers(60, 200, (HEIGHT, WIDTH))
    u, v = (rng.integers(100, 156, half) for _ in range(2))
    return y.astype(np.uint8), u.astype(np.uint8), v.astype(np.uint8)


def yuv_to_rgb(y: NDArray[np.uint8], u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float64]:
    """ITU-R BT.601, video range; ``u`` and ``v`` of each pixel."""
    bright, blue, red = 1.164 * (y - 16.0), u - 128.0, v - 128.0
    return np.stack(
        [bright + 1.596 * red, bright - 0.392 * blue - 0.813 * red, bright + 2.017 * blue], axis=2
    ).clip(0, 255)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("uyvy", "UYVY"), ("yuv422", "UYVY"), ("yuyv", "YUYV"), ("yuv422_yuy2", "YUYV")],
)
def test_packed_yuv(encoding: str, order: str) -> None:
    y, u, v = yuv_planes()
    u, v = np.repeat(u, 2, axis=0), np.repeat(v, 2, axis=0)
    packed = np.empty((HEIGHT, WIDTH // 2, 4), np.uint8)
    packed[..., order.index("U")], packed[..., order.index("V")] = u, v
    packed[..., order.index("Y")], packed[..., order.rindex("Y")] = y[:, ::2], y[:, 1::2]
    got = image_from_message(message(packed.reshape(HEIGHT, -1), encoding))
    expected = yuv_to_rgb(y, np.repeat(u, 2, axis=1), np.repeat(v, 2, axis=1))
    assert np.abs(got - expected).max() <= 2


@pytest.mark.parametrize(("encoding", "u_place"), [("nv12", 0), ("nv21", 1)])
def test_planar_yuv(encoding: str, u_place: int) -> None:
    y, u, v = yuv_planes()
    chroma = np.empty((HEIGHT // 2, WIDTH // 2, 2), np.uint8)
    chroma[..., u_place], chroma[..., 1 - u_place] = u, v
    planes = np.concatenate([y, chroma.reshape(HEIGHT // 2, WIDTH)])
    got = image_from_message(message(planes, encoding))
    expected = yuv_to_rgb(y, *(p.repeat(2, axis=0).repeat(2, axis=1) for p in (u, v)))
    assert np.abs(got - expected).max() <= 2


def test_rgb8_is_not_copied() -> None:
    source = message(RGB, "rgb8")
    pixels = image_from_message(source)
    source.data[0] = (source.data[0] + 1) % 256
    assert pixels[0, 0, 0] == source.data[0]


def test_message_of_an_array_and_back() -> None:
    header = Header(frame_id="camera")
    there = image_message(RGB[:, ::-1], header)
    assert (there.header, there.encoding, there.step) == (header, "rgb8", 3 * WIDTH)
    assert np.array_equal(image_from_message(there), RGB[:, ::-1])
    assert image_message(np.dstack([RGB, OPAQUE]), header).encoding == "rgba8"


def changed(**fields: Any) -> Image:
    result = message(RGB, "rgb8")
    for name, value in fields.items():
        setattr(result, name, value)
    return result


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (changed(encoding="jpeg"), "image encoding 'jpeg' is not supported"),
        (changed(step=71), "step of the 24x18 rgb8 image is 71 bytes: a row has 72"),
        (changed(height=19), f"are {18 * 77} bytes: {18 * 77 + 72} are needed"),
        (changed(width=0), "rgb8 image is 0x18"),
        (changed(step=2**32 - 1), f"bytes: {17 * (2**32 - 1) + 72} are needed"),
        (changed(width=60_000, height=60_000, step=180_000), "3600 megapixels"),
        (changed(is_bigendian=2), "is_bigendian of the image is 2"),
        (changed(encoding="nv12", height=17), "sides must be even"),
        (changed(encoding="uyvy", width=23), "sides must be even"),
    ],
)  # fmt: skip
def test_messages_that_contradict_themselves(bad: Image, told: str) -> None:
    with pytest.raises(ImageError) as refusal:
        image_from_message(bad)
    assert told in str(refusal.value)


@settings(max_examples=2000, deadline=None)
@given(
    height=st.sampled_from([0, 1, 16, 17, 18, 19, 40]) | st.integers(0, 2**32 - 1),
    width=st.sampled_from([0, 1, 16, 23, 24, 25, 48]) | st.integers(0, 2**32 - 1),
    step=st.sampled_from([0, 24, 48, 72, 77, 96]) | st.integers(0, 2**32 - 1),
    encoding=st.sampled_from(
        ["rgb8", "bgr8", "rgba8", "mono8", "mono16", "nv12", "uyvy", "bayer_rggb8"]
    )
    | st.text(max_size=5),
    bigendian=st.integers(0, 255),
    data=st.binary(max_size=64) | st.integers(0, 4000).map(bytes),
)
def test_whatever_a_message_says_it_gives_an_image_or_an_image_error(
    height: int, width: int, step: int, encoding: str, bigendian: int, data: bytes
) -> None:
    odd = Image(height=height, width=width, step=step, is_bigendian=bigendian)
    odd.encoding = encoding
    odd.data.frombytes(data)
    with suppress(ImageError):
        pixels = image_from_message(odd)
        assert pixels.shape == (height, width, 3)
        assert pixels.dtype == np.uint8


def encoded(image: NDArray[np.uint8], kind: str) -> CompressedImage:
    file = io.BytesIO()
    Picture.fromarray(image).save(file, kind)
    result = CompressedImage(format=kind.lower())
    result.data.frombytes(file.getvalue())
    return result


def test_compressed_images() -> None:
    assert np.array_equal(image_from_message(encoded(RGB, "PNG")), RGB)
    smooth = np.full((64, 64, 3), (180, 90, 40), np.uint8)
    jpeg = image_from_message(encoded(smooth, "JPEG"))
    assert np.abs(jpeg.astype(int) - smooth).max() <= 3


def test_damaged_compressed_images() -> None:
    png = encoded(RGB, "PNG")
    png.data = png.data[: len(png.data) // 2]
    with pytest.raises(ImageError, match="compressed image .'png'.* damaged or truncated"):
        image_from_message(png)
    with pytest.raises(ImageError, match="not an image"):
        image_from_message(CompressedImage(format="jpeg", data=b"nonsense"))
    side = math.isqrt(MAX_PIXELS) + 1
    with pytest.raises(ImageError, match="megapixels"):
        image_from_message(encoded(np.zeros((side, side), np.uint8), "PNG"))


def test_empty_images() -> None:
    assert is_empty(Image())
    assert not is_empty(Image(width=1))
    assert not is_empty(Image(data=b"0"))


def test_field_of_view_of_a_calibrated_camera() -> None:
    info = CameraInfo(height=480, width=640)
    assert vertical_fov(info) is None
    info.k[4] = 240.0
    assert vertical_fov(info) == pytest.approx(math.radians(90))
    for focal_length in (math.nan, -1.0, 1.0, 1e9):
        info.k[4] = focal_length
        assert vertical_fov(info) is None
