"""The main job in a real ROS graph: a photo is published, and its faces come back turned.

    python -m opendr_facerot.ros.demo --photo me.jpg --yaw-deg -60 -30 0 30 60 -o demo_out

A process publishes the photo on ``image``, another is the node, and this one subscribes to
``~/faces``, calls ``~/rotate_face`` and writes what it gets. Unless the environment says otherwise,
the graph has a ROS domain of its own and is found on this host only.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import FacerotError, ImageError
from opendr_facerot.gallery import Tile, faces_montage, photo_tile, view_caption, view_filename
from opendr_facerot.imaging import write_image
from opendr_facerot.ros.errors import HOW_TO_BUILD
from opendr_facerot.views import View, view_grid

if TYPE_CHECKING:
    from opendr_facerot.ros.demo_client import DemoClient
    from opendr_facerot_interfaces.msg import RotatedFaceArray

NO_FACE, BAD_USAGE, NODE_FAILED = 1, 2, 3
"""Exit statuses beside 0."""

_YAW_DEG = tuple(range(-60, 61, 15))
_PATIENCE = 120.0  # seconds; kernels are compiled when a pipeline is loaded for the first time
_END_TIME = 5.0


class DemoError(Exception):
    """The demo cannot go on; carries the exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status: 0, :data:`NO_FACE`, ``BAD_USAGE``, ``NODE_FAILED``."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    if isinstance(sys.stdout, io.TextIOWrapper):  # each line at once, to a pipe too
        sys.stdout.reconfigure(line_buffering=True)
    try:
        views = view_grid(options.yaw_deg, options.pitch_deg, degrees=True)
        _run(options, views)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.status
    except FacerotError as error:
        print(f"demo: {error}", file=sys.stderr)
        return BAD_USAGE
    except ImportError as error:
        print(f"demo: {error}\n{HOW_TO_BUILD}", file=sys.stderr)
        return NODE_FAILED
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m opendr_facerot.ros.demo",
        description="Turn the faces of a photo in a ROS 2 graph of several processes.",
    )
    parser.add_argument("--photo", type=Path, required=True, help="image file")
    parser.add_argument(
        "--yaw-deg", nargs="+", type=float, default=_YAW_DEG, metavar="DEG",
        help="head yaws in [-90, 90], > 0 turns the nose to image right "
        "(default: -60 to 60 in steps of 15)",
    )  # fmt: skip
    parser.add_argument(
        "--pitch-deg", nargs="+", type=float, default=(0.0,), metavar="DEG",
        help="head pitches in [-90, 90], > 0 looks down; every yaw goes with every pitch "
        "(default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo_out"), metavar="DIR",
        help="made if it does not exist (default: demo_out)",
    )  # fmt: skip
    parser.add_argument("--size", type=int, default=256, help="side of a view (default: 256)")
    parser.add_argument("--pipeline", default="head", help="default: head")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:<index>")
    return parser


def _run(options: argparse.Namespace, views: list[View]) -> None:
    _prepare_environment()
    from opendr_facerot.ros.demo_client import DemoClient
    from opendr_facerot.ros.photo_publisher import read_frame

    photo = read_frame(options.photo)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"cannot make the folder {options.output}: {error.strerror}") from error
    print(f"photo    {options.photo}, {photo.shape[1]}x{photo.shape[0]}")
    with (
        _process("opendr_facerot.ros.node", *_node_arguments(options)) as node,
        _process("opendr_facerot.ros.photo_publisher", str(options.photo)),
        DemoClient() as client,
    ):
        faces = _rotate(client, node, views)
    for path in _write(options.output, options.photo.stem, photo, faces, views):
        print(f"written  {path}")


def _rotate(
    client: DemoClient, node: subprocess.Popen[bytes], views: list[View]
) -> list[RotatedFaceArray]:
    """The faces of the photo, first as frames come, then as the service answers."""
    started = time.monotonic()
    _wait(client, node, "be active", lambda: client.is_active)
    print(f"node     active after {time.monotonic() - started:.1f} s: {client.pipeline}")

    _wait(client, node, "process a frame", lambda: client.frames_done > 0)
    for face in client.faces:
        duration = face.processing_time.sec + 1e-9 * face.processing_time.nanosec
        print(f"frame    {face.face_id}: {len(face.views)} views in {duration:.2f} s")
    if stages := client.stages:
        print("stages  ", ", ".join(f"{name} {ms} ms" for name, ms in stages.items()))

    client.unsubscribe()
    started = time.monotonic()
    answer = client.rotate(views)
    _wait(client, node, "answer", answer.done)
    response = answer.result()
    if not response.success:
        status = NO_FACE if response.error_code == response.NO_FACE else NODE_FAILED
        raise DemoError(status, response.message)
    count = sum(len(face.views) for face in response.faces)
    print(f"service  {count} views, round trip {time.monotonic() - started:.2f} s")
    return list(response.faces)


def _wait(
    client: DemoClient, node: subprocess.Popen[bytes], what: str, condition: Callable[[], bool]
) -> None:
    """Wait for the node.

    Raises:
        DemoError: It ended, reported a failure, or took too long.
    """
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        client.listen(0.1)
        if (status := node.poll()) is not None:
            raise DemoError(NODE_FAILED, f"the node ended with status {status}; see above")
        if client.problem:
            raise DemoError(NODE_FAILED, f"the node {client.problem}")
        if time.monotonic() > deadline:
            raise DemoError(NODE_FAILED, f"the node did not {what} within {_PATIENCE:.0f} s")


def _write(
    folder: Path,
    stem: str,
    photo: NDArray[np.uint8],
    faces: Sequence[RotatedFaceArray],
    views: Sequence[View],
) -> Iterator[Path]:
    """Write the montage and each view; gives the paths."""
    from opendr_facerot.ros.images import image_from_message

    rows = []
    paths = []
    for index, face in enumerate(faces):
        roi = face.roi
        box = (roi.x_offset, roi.y_offset, roi.x_offset + roi.width, roi.y_offset + roi.height)
        row = [photo_tile(photo, box, face.source_yaw, face.source_pitch)]
        for view, rotated in zip(views, face.views, strict=True):
            row.append(Tile(image_from_message(rotated.image), view_caption(view)))
            paths.append(folder / view_filename(stem, index, view))
            write_image(paths[-1], row[-1].image)
        rows.append(row)
    write_image(folder / "montage.png", faces_montage(rows))
    yield folder / "montage.png"
    yield from paths


def _node_arguments(options: argparse.Namespace) -> list[str]:
    parameters = {
        "pipeline": options.pipeline,
        "device": options.device,
        "output_size": options.size,
        "yaw_deg": [float(angle) for angle in options.yaw_deg],
        "pitch_deg": [float(angle) for angle in options.pitch_deg],
        "grid": "true",
    }
    arguments = [f"{name}:={value}" for name, value in parameters.items()]
    return ["--ros-args", *(part for argument in arguments for part in ("-p", argument))]


def _prepare_environment() -> None:
    """Keep the graph to itself, and let it send images of a camera's size."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    package = Path(__file__).parents[2]
    for folder in (package, Path(sys.prefix, "share", "opendr_facerot")):
        if (profile := folder / "config" / "fastdds_profile.xml").is_file():
            os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this Python, ended with the context.

    It has a session of its own, so that a Ctrl-C ends this process first.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
