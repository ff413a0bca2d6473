"""Entry point of the executable ``facerot_client``: asks a running node for views of faces.

ros2 run opendr_facerot facerot_client --image me.jpg --yaw-deg -30 0 30 -o views
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.cli_options import add_view_arguments, chosen_views
from opendr_facerot.errors import AngleError, FacerotError, ImageError, NoFaceError
from opendr_facerot.gallery import (
    Tile,
    faces_montage,
    opaque,
    photo_tile,
    view_caption,
    view_filename,
)
from opendr_facerot.imaging import write_image
from opendr_facerot.ros.errors import HOW_TO_BUILD
from opendr_facerot.ros.window import Window
from opendr_facerot.rotator import RotatedFace
from opendr_facerot.views import View

if TYPE_CHECKING:
    from opendr_facerot.ros.node_client import NodeClient
    from opendr_facerot_interfaces.msg import RotatedFaceArray

NO_FACE, BAD_USAGE, NODE_FAILED = 1, 2, 3
"""Exit statuses beside 0."""

_LATEST = "frame"  # stem of the names of files that are not made from a photo's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; returns the exit status: 0, NO_FACE, BAD_USAGE, NODE_FAILED or 130."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        from rclpy.utilities import remove_ros_args

        from opendr_facerot.ros.node_client import NodeClient
    except ImportError as error:
        return _fail(NODE_FAILED, f"{error}\n{HOW_TO_BUILD}")
    options = _parser().parse_args(remove_ros_args(["", *given])[1:])
    signal.signal(signal.SIGTERM, _end)
    try:
        views = chosen_views(options)
        output = _Output(options.output, _photo(options.image), options.show)
        with NodeClient(options.node, given) as client:
            client.connect(options.wait)
            if options.watch is None:
                _request(client, options, views, output)
            else:
                _watch(client, options, output)
        output.finish()
    except NoFaceError as error:
        return _fail(NO_FACE, str(error))
    except (AngleError, ImageError) as error:
        return _fail(BAD_USAGE, str(error))
    except FacerotError as error:
        return _fail(NODE_FAILED, str(error))
    except KeyboardInterrupt:  # the usual end of --watch
        return 128 + signal.SIGINT if options.watch is None else 0
    return 0


class _Output:
    """Prints, writes and shows views as they come."""

    def __init__(self, folder: Path | None, photo: NDArray[np.uint8] | None, show: bool) -> None:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ImageError(f"cannot make the folder {folder}: {error.strerror}") from error
        self._folder = folder
        self.photo = photo
        self.window = Window("facerot_client") if show else None
        self._stamp: object = None
        self._rows: dict[str, list[Tile]] = {}

    def take(self, stem: str, face: RotatedFaceArray) -> None:
        """Take views of a face; those of one image have one stamp."""
        from opendr_facerot.ros.client_messages import rotated_face

        for message in face.views:
            rotated = rotated_face(message)
            self._write(stem, face, rotated)
            self._add_tile(face, rotated)
        if self.window is not None:
            self.window.show(faces_montage(list(self._rows.values())))

    def finish(self) -> None:
        """Leave what is shown to the user."""
        if self.window is not None:
            self.window.wait_until_closed()

    def _write(self, stem: str, face: RotatedFaceArray, rotated: RotatedFace) -> None:
        if self._folder is None:
            _say(
                f"{stem} {face.face_id}  {view_caption(rotated.view)}  "
                f"{rotated.image.shape[1]}x{rotated.image.shape[0]} pixels, "
                f"{rotated.seen_fraction:.0%} of the head seen in the photo"
            )
            return
        path = self._folder / view_filename(stem, _face_index(face), rotated.view)
        alpha = rotated.alpha
        write_image(path, rotated.image if alpha is None else np.dstack([rotated.image, alpha]))
        _say(str(path))

    def _add_tile(self, face: RotatedFaceArray, rotated: RotatedFace) -> None:
        if face.header.stamp != self._stamp:
            self._stamp = face.header.stamp
            self._rows.clear()
        row = self._rows.setdefault(face.face_id, [])
        if not row and self.photo is not None:
            roi = face.roi
            box = (roi.x_offset, roi.y_offset, roi.x_offset + roi.width, roi.y_offset + roi.height)
            row.append(photo_tile(self.photo, box, face.source_yaw, face.source_pitch))
        row.append(Tile(opaque(rotated), view_caption(rotated.view)))


def _request(
    client: NodeClient, options: argparse.Namespace, views: Sequence[View], output: _Output
) -> None:
    from std_msgs.msg import Header

    from opendr_facerot.ros.images import image_message

    stem, image = _LATEST, None
    if output.photo is not None:
        stem = options.image.stem
        image = image_message(output.photo, Header(frame_id=options.image.name))
    if not options.action:
        for face in client.rotate(views, image, options.max_faces, options.timeout):
            output.take(stem, face)
        return
    partial = client.rotate_set(views, image, options.max_faces, options.timeout)
    with closing(partial):  # cancels the goal, should this end early
        for face in partial:
            output.take(stem, face)


def _watch(client: NodeClient, options: argparse.Namespace, output: _Output) -> None:
    """Take what comes on ``~/faces`` until enough has come, an interrupt, or the window's end."""
    faces = client.watch()
    taken = 0
    newest = time.monotonic()
    while options.watch == 0 or taken < options.watch:
        client.listen()
        if output.window is not None:
            output.window.refresh()
            if not output.window.is_open:
                return
        while faces:
            face = faces.popleft()
            stamp = (face.header.stamp.sec, face.header.stamp.nanosec)
            seconds, nanoseconds = stamp if any(stamp) else client.now()
            output.take(f"{_LATEST}{seconds}.{nanoseconds:09d}", face)
            taken += 1
            newest = time.monotonic()
            if taken == options.watch:
                return
        if time.monotonic() - newest > options.timeout:
            reason = _why_nothing_comes(client, options.timeout)
            _warn(reason)
            newest = time.monotonic()


def _why_nothing_comes(client: NodeClient, timeout: float) -> str:
    """What the node says of itself when nothing has come for some time."""
    told = client.statistics(timeout)
    if told.lifecycle_state != "active":
        return f"{client.name} is {told.lifecycle_state}: waiting for it to be activated"
    if not told.enabled:
        return f"{client.name} is disabled: waiting for it to be enabled"
    if told.frames_received == 0:
        return f"{client.name} has received no frame: is there a publisher on its image topic?"
    if told.frames_failed or told.frames_rejected:
        return f"no faces for {timeout:g} s; the node's last error: {told.last_error}"
    return (
        f"no faces for {timeout:g} s: of {told.frames_received} frames received, "
        f"{told.frames_without_face} had no face"
    )


def _photo(path: Path | None) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    from opendr_facerot.ros.photo_publisher import read_frame

    return read_frame(path)


def _face_index(face: RotatedFaceArray) -> int:
    return int(face.face_id.removeprefix("face"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facerot_client",
        description="Ask a running facerot node for views of the faces in a photo, in the node's "
        "latest frame, or in all its frames. Without -o and --show, what comes is listed.",
        epilog="Exit status: 0 done, 1 no face, 2 bad usage, 3 the node is missing, not active, "
        "busy or failed. ROS arguments follow --ros-args.",
    )
    parser.add_argument(
        "--node", default="facerot", metavar="NAME", help="name of the node (default: facerot)"
    )
    add_view_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--image", type=Path, metavar="FILE",
        help="photo to send, scaled to at most 1600 pixels (default: the node's latest frame)",
    )  # fmt: skip
    source.add_argument(
        "--watch", type=_count, nargs="?", const=0, metavar="N",
        help="subscribe to ~/faces: the views that the node's parameters name, of N faces, or "
        "until interrupted",
    )  # fmt: skip
    parser.add_argument(
        "--action", action="store_true",
        help="use the action ~/rotate_face_set, for many views: each comes as soon as it is done",
    )  # fmt: skip
    parser.add_argument(
        "--max-faces", type=_count, default=0, metavar="N", help="largest faces; 0 = all (default)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write a PNG of each view")
    parser.add_argument("--show", action="store_true", help="open a window with the views")
    parser.add_argument(
        "--wait", type=_seconds, default=10.0, metavar="SECONDS",
        help="for the node to be found and active (default: 10)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS",
        help="for an answer, for the next view of the action, or for the next face before --watch "
        "says what may be wrong (default: 60)",
    )  # fmt: skip
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{number} is not in [0, {2**32 - 1}]")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return seconds


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _warn(reason: str) -> None:
    sys.stderr.write(f"facerot_client: {reason}\n")


def _fail(status: int, reason: str) -> int:
    _warn(reason)
    return status


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
