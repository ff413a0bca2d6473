"""The subcommand ``facerot bag``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from opendr_facerot.bags.adding import BagReport, BagSettings, add_faces
from opendr_facerot.bags.errors import BagError
from opendr_facerot.bags.library import check_library
from opendr_facerot.cli_options import (
    add_rotator_arguments,
    add_view_arguments,
    chosen_views,
    load_rotator,
)
from opendr_facerot.ros.parameters import VIEW_PRESETS
from opendr_facerot.views import view_grid

_MOST_PROBLEMS_SHOWN = 10


def add_bag_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot bag``; ``options.run(options)`` then runs it."""
    parser.description = (
        "Copy a rosbag2 recording and add the faces of its images as the node publishes them, with "
        "the stamps of the images. It takes no ROS 2 installation, but pip install "
        "'opendr_facerot[bag]'."
    )
    parser.epilog = "Exit status: 0, 1 (some images could not be used) or 2 (nothing was written)."
    parser.set_defaults(run=_run)
    parser.add_argument(
        "source", type=Path, metavar="IN", help="rosbag2 folder, .mcap or .db3 file"
    )
    parser.add_argument(
        "target", type=Path, metavar="OUT", help=".mcap or .db3 file, otherwise a folder"
    )
    parser.add_argument(
        "--topic", help="raw or compressed images (default: the only such topic in IN)"
    )
    parser.add_argument(
        "--camera-info", metavar="TOPIC",
        help="calibration, for the field of view (default: camera_info beside the images, if any)",
    )  # fmt: skip
    parser.add_argument(
        "--faces-topic", default="/facerot/faces", metavar="TOPIC",
        help="topic to add (default: /facerot/faces)",
    )  # fmt: skip
    parser.add_argument(
        "--montage", action="store_true", help="also add the topic montage beside the faces"
    )
    parser.add_argument(
        "--no-tracking", dest="tracking", action="store_false",
        help="take every image by itself instead of following faces, as the node does",
    )  # fmt: skip
    add_view_arguments(parser)
    parser.add_argument(
        "--view-preset", choices=tuple(VIEW_PRESETS), help="the node's views of that name instead"
    )
    add_rotator_arguments(parser)
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th image")
    rate.add_argument(
        "--max-rate", type=float, default=0.0, metavar="HZ",
        help="at most so many images a second of recorded time",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace OUT if it is a recording")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report as JSON")


def _run(options: argparse.Namespace) -> int:
    preset = options.view_preset
    settings = BagSettings(
        views=view_grid(*VIEW_PRESETS[preset], degrees=True) if preset else chosen_views(options),
        topic=options.topic,
        camera_info=options.camera_info,
        faces_topic=options.faces_topic,
        montage=options.montage,
        tracking=options.tracking,
        every=options.every,
        max_rate=options.max_rate,
        force=options.force,
    )
    check_library()
    with _terminable():
        rotator = load_rotator(options)
        try:
            with tqdm(unit="image", disable=None) as bar:

                def on_frame(total: int) -> None:
                    bar.total = total
                    bar.update()

                report = add_faces(options.source, options.target, rotator, settings, on_frame)
        finally:
            rotator.close()
    sys.stdout.write(f"{_text(report, options.target)}\n")
    if options.report is not None:
        _write_json(report, options.report)
    return 1 if report.problems else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as an interrupt does, which removes what is half written."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _text(report: BagReport, target: Path) -> str:
    camera = report.camera_info or "no camera_info: a portrait lens unless --fov-deg says otherwise"
    lines = [
        f"{target}: {report.copied} messages copied, {report.faces} faces added",
        f"  {report.topic} ({camera}): {report.frames} images",
        f"  {report.turned} turned, {report.without_face} without a face, "
        f"{report.skipped} skipped, {len(report.problems)} unusable",
    ]
    for problem in report.problems[:_MOST_PROBLEMS_SHOWN]:
        stamp = "unknown" if problem.stamp is None else _seconds(problem.stamp)
        lines.append(f"  stamp {stamp}, recorded at {_seconds(problem.log_time)}: {problem.reason}")
    if (hidden := len(report.problems) - _MOST_PROBLEMS_SHOWN) > 0:
        lines.append(f"  and {hidden} more: --report writes all")
    return "\n".join(lines)


def _write_json(report: BagReport, path: Path) -> None:
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        partial.write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n", "utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise BagError(f"cannot write the report {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
