"""The player of photos and videos that stands in for a camera."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from graph import PATIENCE, Graph
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import write_image
from opendr_facerot.ros.images import image_from_message, vertical_fov
from opendr_facerot.ros.photo_publisher import camera_info, frames, read_frame, source_files

GREYS = (40, 120, 200)


def grey(value: int, width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), value, np.uint8)


def greys(pictures: Iterator[Any]) -> list[int]:
    return [round(float(picture.mean())) for picture in pictures]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of one photo of each grey, in order of name, and of something else."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, value in enumerate(GREYS):
        write_image(folder / f"{number}.png", grey(value))
    (folder / "notes.txt").write_text("not a photo")
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of one frame of each grey, 12 frames a second."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (64, 48))
    assert writer.isOpened()
    for value in GREYS:
        writer.write(grey(value))
    writer.release()
    return path


def no_error(error: ImageError) -> None:
    raise AssertionError(error)


def test_folder_gives_its_photos_in_order(photos: Path) -> None:
    files = source_files([photos])
    assert [file.name for file in files] == ["0.png", "1.png", "2.png"]
    assert greys(frames(files, no_error, loop=False)) == list(GREYS)


def test_sources_are_played_in_turn_and_again(photos: Path, video: Path) -> None:
    files = source_files([video, photos / "1.png"])
    played = greys(islice(frames(files, no_error, loop=True), 8))
    once = [*GREYS, GREYS[1]]
    assert np.abs(np.subtract(played, once + once)).max() <= 2  # JPEG frames


def test_colours_of_a_video_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))  # BGR
    writer.release()
    (frame,) = frames([path], no_error, loop=False)
    assert np.abs(frame.reshape(-1, 3).mean(axis=0) - (255, 0, 0)).max() < 5


def test_large_photo_is_scaled_to_a_cameras_size(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", grey(90, 3200, 400))
    assert read_frame(tmp_path / "large.png").shape == (200, 1600, 3)


def test_one_photo_by_itself_is_read_once(photos: Path) -> None:
    playing = frames(source_files([photos / "1.png"]), no_error, loop=True)
    first = next(playing)
    (photos / "1.png").unlink()
    assert next(playing) is first


def test_damaged_photo_is_reported_and_left_out(photos: Path) -> None:
    whole = (photos / "1.png").read_bytes()
    (photos / "1.png").write_bytes(whole[: len(whole) // 2])
    reported: list[ImageError] = []
    assert greys(frames(source_files([photos]), reported.append, loop=False)) == [40, 200]
    (error,) = reported
    assert str(photos / "1.png") in str(error)


def test_files_that_have_gone_end_the_playing(photos: Path) -> None:
    files = source_files([photos])
    playing = frames(files, lambda error: None, loop=True)
    assert len(list(islice(playing, 3))) == 3
    for file in files:
        file.unlink()
    with pytest.raises(ImageError, match="cannot read any of .*0.png"):
        next(playing)


@pytest.mark.parametrize(
    ("name", "told"),
    [("absent.png", "cannot read .*absent.png"), ("notes.txt", "a video"), ("", "no photo in")],
)
def test_sources_that_are_none(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "notes.txt").write_text("not a photo")
    with pytest.raises(ImageError, match=told):
        source_files([tmp_path / name])


def test_camera_info_gives_the_field_of_view_back() -> None:
    info = camera_info(Header(frame_id="eye"), 640, 480, math.radians(50.0))
    fov = vertical_fov(info)
    assert fov == pytest.approx(math.radians(50.0))
    # The lower edge of the picture, half a pixel below its last row, is seen at half that angle.
    k = np.reshape(info.k, (3, 3))
    y = (479.5 - k[1, 2]) / k[1, 1]
    assert math.atan(y) == pytest.approx(math.radians(25.0))
    assert np.array_equal(np.reshape(info.p, (3, 4))[:, :3], k)
    assert (info.width, info.height, info.header.frame_id) == (640, 480, "eye")


def test_camera_info_of_an_unknown_camera_is_uncalibrated() -> None:
    assert not any(camera_info(Header(), 640, 480, None).k)


def start(environment: dict[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "opendr_facerot.ros.photo_publisher", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.slow
def test_topics(
    node_environment: dict[str, str], connect: Callable[[str], Graph], photos: Path
) -> None:
    client = connect("/player")
    raw: list[Image] = []
    compressed: list[CompressedImage] = []
    infos: list[CameraInfo] = []
    client.node.create_subscription(Image, "/eye/image", raw.append, 10)
    client.node.create_subscription(CompressedImage, "/eye/image/compressed", compressed.append, 10)
    client.node.create_subscription(CameraInfo, "/player/camera_info", infos.append, 10)
    remappings = ("--ros-args", "-r", "__ns:=/player", "-r", "image:=/eye/image")
    process = start(
        node_environment,
        photos,
        "--rate",
        "20",
        "--frame-id",
        "eye",
        "--fov-deg",
        "40",
        *remappings,
    )
    try:
        client.wait(lambda: min(map(len, (raw, compressed, infos))) >= 6, "six frames")
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, "")
    stamps = {(i.header.stamp.sec, i.header.stamp.nanosec) for i in infos}
    assert {(i.header.stamp.sec, i.header.stamp.nanosec) for i in raw[:3]} <= stamps
    assert {message.header.frame_id for message in (*raw, *infos, *compressed)} == {"eye"}
    assert vertical_fov(infos[0]) == pytest.approx(math.radians(40.0))
    for messages in (raw, compressed):
        values = greys(image_from_message(message) for message in messages[:4])
        first = int(np.argmin(np.abs(np.subtract(GREYS, values[0]))))
        order = [GREYS[(first + i) % 3] for i in range(4)]
        assert np.abs(np.subtract(values, order)).max() <= 2


@pytest.mark.slow
def test_once_ends_after_the_last_frame(node_environment: dict[str, str], video: Path) -> None:
    process = start(node_environment, video, "--once", "--ros-args", "-r", "__ns:=/once")
    output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("absent.png",), "cannot read absent.png"),
        ((__file__, "--rate", "0"), "0 is not a positive number"),
        ((__file__, "--fov-deg", "180"), "180 is not between 0 and 180"),
    ],
)
def test_refused_arguments(
    node_environment: dict[str, str], arguments: tuple[str, ...], told: str
) -> None:
    process = start(node_environment, *arguments)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert told in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_middle_of_a_frame_ends_it_quietly(
    node_environment: dict[str, str], connect: Callable[[str], Graph], photos: Path, number: int
) -> None:
    """At this rate, most signals come while a frame is being published."""
    write_image(photos / "3.png", grey(9, 1600, 1600))
    client = connect(f"/ended{number}")
    for _ in range(3):
        seen: list[CameraInfo] = []
        info = client.node.create_subscription(CameraInfo, "camera_info", seen.append, 10)
        process = start(
            node_environment, photos / "3.png", "--rate", "1000",
            "--ros-args", "-r", f"__ns:=/ended{number}",
        )  # fmt: skip
        client.wait(seen.__len__, "a frame")
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, output) == (0, "")
        client.node.destroy_subscription(info)
