"""Options that several subcommands share: views, settings of the pipeline, reports."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from opendr_facerot.errors import SettingsError
from opendr_facerot.loading import load, pipeline_names
from opendr_facerot.rotator import PRECISIONS, Background, FaceRotator, parse_background
from opendr_facerot.views import View, view_grid, view_pairs

_DEFAULT_YAW_DEG = (-60.0, -30.0, 0.0, 30.0, 60.0)


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`chosen_views` reads."""
    parser.add_argument(
        "-y", "--yaw-deg", nargs="+", type=_angle_deg, default=_DEFAULT_YAW_DEG, metavar="DEG",
        help="head yaws in [-90, 90], > 0 turns the nose to image right; 'keep' keeps the photo's "
        "(default: -60 -30 0 30 60)",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--pitch-deg", nargs="+", type=_angle_deg, default=(0.0,), metavar="DEG",
        help="head pitches in [-90, 90], > 0 looks down; 'keep' keeps the photo's (default: 0)",
    )  # fmt: skip
    parser.add_argument("--grid", action="store_true", help="every yaw with every pitch")


def chosen_views(options: argparse.Namespace) -> list[View]:
    """The views that were asked for.

    Raises:
        AngleError: An angle is outside [-90, 90], or the lists cannot be paired.
    """
    choose = view_grid if options.grid else view_pairs
    return choose(options.yaw_deg, options.pitch_deg, degrees=True)


def add_rotator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`load_rotator` reads."""
    parser.add_argument("--size", type=int, default=256, help="side, 64 to 1024 (default: 256)")
    parser.add_argument(
        "--background", type=_background, default="plate", metavar="WHAT",
        help="plate (the photo's own, default), transparent, or a colour such as white or #808080",
    )  # fmt: skip
    parser.add_argument(
        "--max-faces", type=int, default=0, metavar="N", help="largest faces; 0 = all (default)"
    )
    parser.add_argument(
        "--fov-deg", type=float, metavar="DEG",
        help="vertical field of view of the camera (default: a portrait lens, 1.2 m away or more)",
    )  # fmt: skip
    parser.add_argument("--pipeline", default="head", help=f"one of: {', '.join(pipeline_names())}")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="the pipeline's model files")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:<index>")
    parser.add_argument(
        "--precision", default="auto", choices=PRECISIONS,
        help="of rotate_and_render's generator: auto (default) takes bfloat16 where it is faster",
    )  # fmt: skip


def load_rotator(options: argparse.Namespace) -> FaceRotator:
    """Construct the pipeline that was asked for.

    Raises:
        FacerotError: As :func:`opendr_facerot.load`.
    """
    return load(
        options.pipeline,
        device=options.device,
        weights=options.weights,
        precision=options.precision,
        output_size=options.size,
        background=options.background,
        max_faces=options.max_faces,
        fov=None if options.fov_deg is None else math.radians(options.fov_deg),
    )


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that measures: the files that it writes its report to."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report as a page")


def command_line(
    command: str,
    paths: Sequence[Path],
    options: argparse.Namespace,
    defaults: Mapping[str, object],
) -> str:
    """The command line that gives these options, for reports.

    Absolute paths stand in it by their names alone: the rest says nothing elsewhere.

    Args:
        command: Name of the subcommand.
        paths: Its positional arguments.
        options: All its options.
        defaults: Of those that are to be shown if they have another value.
    """
    words = ["facerot", command, *map(_word, paths)]
    for name, default in defaults.items():
        value = getattr(options, name)
        if value == default:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += map(_word, value if isinstance(value, list) else [value])
    return shlex.join(words)


def _word(value: object) -> str:
    if isinstance(value, Path) and value.is_absolute():
        return value.name
    return f"{value:g}" if isinstance(value, float) else str(value)


def _angle_deg(text: str) -> float | None:
    return None if text == "keep" else float(text)


def _background(text: str) -> Background:
    try:
        return parse_background(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
