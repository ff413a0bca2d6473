"""Publishes photos or videos as if they came from a camera.

ros2 run opendr_facerot facerot_photo_publisher me.jpg --rate 5 --ros-args -r image:=/camera/image
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import read_image
from opendr_facerot.ros.images import image_message

FRAME_ID = "photo"
_LONGEST_SIDE = 1600  # pixels: as a message, some 8 MB at most
_PHOTO_RATE = 2.0  # Hz
_LOG_PERIOD = 5.0  # seconds between two warnings


def read_frame(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a photo and scale it down to a camera's size.

    Raises:
        ImageError: It cannot be read.
    """
    return _scaled(read_image(path))


def source_files(sources: Sequence[Path]) -> list[Path]:
    """The photos and videos that the sources are; of a folder, its photos in order of name.

    Raises:
        ImageError: A source does not exist, a folder has no photo, or a file is neither a photo nor
            a video.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            photos = [path for path in sorted(source.iterdir()) if _is_photo(path)]
            if not photos:
                raise ImageError(f"there is no photo in the folder {source}: name one with some")
            files += photos
        elif _is_photo(source) or _video_rate(source) is not None:
            files.append(source)
        else:
            raise ImageError(
                f"cannot read {source}: give a photo, a folder of photos or a video that OpenCV "
                "can decode"
            )
    return files


def frames(
    files: Sequence[Path], on_error: Callable[[ImageError], None], *, loop: bool
) -> Iterator[NDArray[np.uint8]]:
    """The frames of photos and videos in turn, ``(H, W, 3)`` uint8 RGB of a camera's size.

    Args:
        files: Photos and videos. One photo by itself is read once only.
        on_error: Told of each photo that cannot be read, which is left out.
        loop: Whether to begin again after the last one.

    Raises:
        ImageError: None of the files gives a frame.
    """
    if loop and len(files) == 1 and _is_photo(files[0]):
        yield from repeat(read_frame(files[0]))
    while True:
        found = False
        for path in files:
            try:
                for frame in _file_frames(path):
                    found = True
                    yield frame
            except ImageError as error:
                on_error(error)
        if not found:
            raise ImageError(f"cannot read any of {', '.join(map(str, files))}: check the files")
        if not loop:
            return


def camera_info(header: Header, width: int, height: int, fov: float | None) -> CameraInfo:
    """Calibration of a camera without distortion.

    Args:
        header: That of the image.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        fov: Vertical field of view in radians; None of a camera that is not calibrated, whose
            matrices are 0, as sensor_msgs/CameraInfo has it.
    """
    info = CameraInfo(header=header, width=width, height=height)
    if fov is not None:
        focal_length = height / (2.0 * math.tan(fov / 2.0))
        x, y = (width - 1) / 2.0, (height - 1) / 2.0
        info.distortion_model = "plumb_bob"
        info.d = [0.0] * 5
        info.k = [focal_length, 0.0, x, 0.0, focal_length, y, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [focal_length, 0.0, x, 0.0, 0.0, focal_length, y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class PhotoPublisher:
    """Publishes frames on ``image``, ``image/compressed`` and ``camera_info``.

    Args:
        node: The node that does it.
        pictures: The frames.
        rate: Frames a second.
        frame_id: Of the headers.
        fov: Vertical field of view in radians, if it is known.

    Attributes:
        done: Completed when the frames have come to an end, with the error that ended them.
    """

    def __init__(
        self,
        node: Node,
        pictures: Iterator[NDArray[np.uint8]],
        *,
        rate: float,
        frame_id: str,
        fov: float | None,
    ) -> None:
        self.done = Future()
        self._clock = node.get_clock()
        self._pictures = pictures
        self._frame_id = frame_id
        self._fov = fov
        self._raw = node.create_publisher(Image, "image", 1)
        compressed = node.resolve_topic_name("image") + "/compressed"  # as image_transport has it
        self._compressed = node.create_publisher(CompressedImage, compressed, 1)
        self._info = node.create_publisher(CameraInfo, "camera_info", 1)
        node.create_timer(1.0 / rate, self._publish_next)

    def _publish_next(self) -> None:
        if self.done.done():
            return
        try:
            picture = next(self._pictures)
        except StopIteration:
            self.done.set_result(None)
            return
        except ImageError as error:
            self.done.set_exception(error)
            return
        header = Header(stamp=self._clock.now().to_msg(), frame_id=self._frame_id)
        height, width = picture.shape[:2]
        self._info.publish(camera_info(header, width, height, self._fov))
        self._raw.publish(image_message(picture, header))
        if self._compressed.get_subscription_count():
            _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            message = CompressedImage(header=header, format="jpeg")
            message.data.frombytes(data.tobytes())
            self._compressed.publish(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until SIGINT, SIGTERM or, if asked to, the last frame; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    options = parser.parse_args(remove_ros_args(["", *arguments])[1:])
    try:
        files = source_files(options.source)
    except ImageError as error:
        parser.error(str(error))
    rate = options.rate or next(filter(None, map(_video_rate, files)), _PHOTO_RATE)

    rclpy.init(args=["photo_publisher", *arguments])
    node = rclpy.create_node("photo_publisher")

    def warn(error: ImageError) -> None:
        node.get_logger().warning(str(error), throttle_duration_sec=_LOG_PERIOD)

    fov = None if options.fov_deg is None else math.radians(options.fov_deg)
    pictures = frames(files, warn, loop=not options.once)
    publisher = PhotoPublisher(node, pictures, rate=rate, frame_id=options.frame_id, fov=fov)
    status = 0
    try:
        rclpy.spin_until_future_complete(node, publisher.done)
        publisher.done.result()
    except ImageError as error:
        node.get_logger().error(str(error))
        status = 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if node.context.ok():  # otherwise a signal has ended ROS while a frame was being published
            raise
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facerot_photo_publisher",
        description="Publish photos or videos on the topics image, image/compressed (JPEG, if "
        "anybody subscribes) and camera_info, again and again.",
    )
    parser.add_argument(
        "source", nargs="+", type=Path, help="photo, folder of photos, or video that OpenCV decodes"
    )
    parser.add_argument(
        "--rate", type=_positive, metavar="HZ",
        help=f"frames a second (default: the first video's, {_PHOTO_RATE:g} without one)",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="end after the last frame")
    parser.add_argument("--frame-id", default=FRAME_ID, help=f"default: {FRAME_ID}")
    parser.add_argument(
        "--fov-deg", type=_field_of_view, metavar="DEG",
        help="vertical field of view, between 0 and 180, to publish on camera_info "
        "(default: that of an uncalibrated camera)",
    )  # fmt: skip
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _field_of_view(text: str) -> float:
    value = float(text)
    if not 0 < value < 180:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 180")
    return value


def _is_photo(path: Path) -> bool:
    """Whether a file is in a format of images, by its content, of which only the head is read."""
    try:
        with PillowImage.open(path):
            return True
    except PillowImage.DecompressionBombError:  # whoever reads it says what is too large
        return True
    except (OSError, UnidentifiedImageError):
        return False


def _file_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    if _video_rate(path) is None:
        yield read_frame(path)
    else:
        yield from _video_frames(path)


def _video_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(path))
    try:
        while True:
            found, frame = video.read()
            if not found:
                return
            yield _scaled(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
    finally:
        video.release()


def _video_rate(path: Path) -> float | None:
    """Frames a second of a video; None if the file is none."""
    if not path.is_file() or _is_photo(path):  # OpenCV would take a name for a pattern, or an image
        return None
    video = cv2.VideoCapture(str(path.absolute()))
    try:
        rate = float(video.get(cv2.CAP_PROP_FPS))
        return (rate if 0 < rate < math.inf else _PHOTO_RATE) if video.isOpened() else None
    finally:
        video.release()


def _scaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _LONGEST_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    sys.exit(main())
