from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import MAX_PIXELS, check_image, decode_image, read_image, write_image


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def test_rgb_survives_a_round_trip(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_grey_becomes_rgb(picture: NDArray[np.uint8]) -> None:
    grey = picture[..., 0]
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(grey))), np.dstack([grey] * 3)
    )


def test_sixteen_bits_keep_the_high_byte(picture: NDArray[np.uint8]) -> None:
    deep = picture[..., 0].astype(np.uint16) * 257
    decoded = decode_image(encoded(Image.fromarray(deep)))
    assert abs(decoded[..., 1].astype(int) - picture[..., 0]).max() <= 1


def test_transparency_lies_over_white(picture: NDArray[np.uint8]) -> None:
    alpha = np.zeros((40, 30), np.uint8)
    alpha[:20] = 255
    decoded = decode_image(encoded(Image.fromarray(np.dstack([picture, alpha]))))
    np.testing.assert_array_equal(decoded[:20], picture[:20])
    assert (decoded[20:] == 255).all()


def test_exif_orientation_is_applied(picture: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the top is on the right
    decoded = decode_image(encoded(Image.fromarray(picture), exif=exif))
    np.testing.assert_array_equal(decoded, np.rot90(picture, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_files_are_refused(picture: NDArray[np.uint8], kind: str) -> None:
    data = encoded(Image.fromarray(picture), kind)
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_image(data[: len(data) * 2 // 3], "photo.jpg")


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"photo \(\d+ bytes\)"):
        decode_image(data, "photo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nobody\.jpg: No such file"):
        read_image(tmp_path / "nobody.jpg")


def test_one_pixel_is_refused() -> None:
    with pytest.raises(ImageError, match="1x1 pixels"):
        decode_image(encoded(Image.new("RGB", (1, 1))))


def test_a_hundred_megapixels_are_refused_before_decoding() -> None:
    data = encoded(Image.new("L", (10_000, 10_000)))
    assert len(data) < 1_000_000  # so the refusal cannot come from reading it all
    with pytest.raises(ImageError, match="10000x10000 = 100 megapixels"):
        decode_image(data)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((50, 50), np.uint8), r"shape \(50, 50\)"),
        (np.zeros((50, 50, 4), np.uint8), r"shape \(50, 50, 4\)"),
        (np.zeros((50, 50, 3), np.uint16), "dtype uint16"),
        (np.zeros((50, 50, 3), np.float32), "dtype float32"),
        (np.zeros((1, 1, 3), np.uint8), "1x1"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000, 3)), "100 megapixels"),
        ([[0]], "list"),
    ],
)
def test_arrays_that_are_no_rgb_image_are_refused(image: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        check_image(image)


def test_the_limit_itself_is_allowed() -> None:
    check_image(np.broadcast_to(np.uint8(0), (8000, MAX_PIXELS // 8000, 3)))


def test_a_failed_write_leaves_nothing(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(ImageError, match=r"cannot write .*a\.gibberish"):
        write_image(tmp_path / "a.gibberish", picture)
    with pytest.raises(ImageError, match="cannot write"):
        write_image(tmp_path / "no_such_folder" / "a.png", picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_only_formats_that_run_nothing_are_read(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n"
    with pytest.raises(ImageError, match="that can be read: JPEG, PNG, WEBP"):
        decode_image(postscript)
    image = np.zeros((20, 20, 3), np.uint8)
    for suffix in (".webp", ".bmp", ".tif", ".png", ".jpg"):
        write_image(tmp_path / f"a{suffix}", image)
        assert read_image(tmp_path / f"a{suffix}").shape == (20, 20, 3)
    with pytest.raises(ImageError, match="format that can be read: JPEG, PNG"):
        decode_image((tmp_path / "a.webp").read_bytes(), formats=("JPEG", "PNG"))
