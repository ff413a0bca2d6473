"""The command ``facerot``. Angles are degrees here, and only here."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import opendr_facerot as facerot
from opendr_facerot.assets import manifest, verify_assets
from opendr_facerot.bags.cli import add_bag_parser
from opendr_facerot.benchmark.cli import add_bench_parser
from opendr_facerot.cli_options import (
    add_rotator_arguments,
    add_view_arguments,
    chosen_views,
    load_rotator,
)
from opendr_facerot.evaluation.cli import add_evaluate_parser
from opendr_facerot.gallery import Tile, face_tiles, faces_montage, view_filename
from opendr_facerot.imaging import read_image, write_image
from opendr_facerot.loading import pipeline_names
from opendr_facerot.opendr import add_opendr_parser, split_angle_lists
from opendr_facerot.render.rasterize import available_backends
from opendr_facerot.rotator import FaceRotator, RotatedFace
from opendr_facerot.views import View
from opendr_facerot.weights.cli import add_weights_parser

_QUIET_BELOW = 5  # outputs that are done before a progress bar could be read
_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "numba", "scipy", "pillow", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (a photo failed) or 2 (bad usage)."""
    parser = _parser()
    options = parser.parse_args(split_angle_lists(sys.argv[1:] if arguments is None else arguments))
    try:
        return int(options.run(options))
    except facerot.FacerotError as error:
        print(f"facerot: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facerot", description="Views of the faces in a photo, turned to any yaw and pitch."
    )
    parser.add_argument("--version", action="version", version=facerot.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_rotate(commands.add_parser("rotate", help="rotate the faces of photos"))
    add_evaluate_parser(commands.add_parser("evaluate", help="measure views of photos"))
    add_bench_parser(commands.add_parser("bench", help="measure speed and memory"))
    _add_info(commands.add_parser("info", help="versions, backends, devices, packaged models"))
    add_bag_parser(commands.add_parser("bag", help="add the faces to a ROS 2 recording"))
    add_weights_parser(commands.add_parser("weights", help="model files of rotate_and_render"))
    add_opendr_parser(commands.add_parser("opendr", help="OpenDR's tool, with its options"))
    return parser


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write one PNG per photo, face and view, named <photo>_face0_yaw+30_pitch+00.png. "
        "Lists of yaws and pitches are paired; --grid renders every yaw with every pitch."
    )
    parser.set_defaults(run=_rotate)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image file")
    add_view_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="made if it does not exist"
    )
    parser.add_argument(
        "--montage", action="store_true", help="also write <photo>_montage.png with all its views"
    )
    add_rotator_arguments(parser)


def _rotate(options: argparse.Namespace) -> int:
    views = chosen_views(options)
    _check_names(options.photos)
    rotator = load_rotator(options)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise facerot.ImageError(f"cannot make the folder {options.output}: {error}") from error
    total = len(options.photos) * len(views)
    failures = 0
    with tqdm(total=total, unit="view", disable=True if total < _QUIET_BELOW else None) as bar:
        for photo in options.photos:
            try:
                _rotate_photo(rotator, photo, views, options.output, options.montage, bar)
            except facerot.FacerotError as error:
                failures += 1
                bar.total = (bar.total or 0) - len(views)
                tqdm.write(f"facerot: {photo}: {error}", file=sys.stderr)
    rotator.close()
    return 1 if failures else 0


def _rotate_photo(
    rotator: FaceRotator,
    photo: Path,
    views: Sequence[View],
    folder: Path,
    with_montage: bool,
    bar: tqdm[Any],
) -> None:
    image = read_image(photo)
    faces = rotator.fit(image)
    tiles: list[list[Tile]] = []
    bar.total = (bar.total or 0) + (len(faces) - 1) * len(views)
    for index, face in enumerate(faces):
        if face.flags:
            tqdm.write(f"{photo}: face {index}: {', '.join(face.flags)}", file=sys.stderr)
        done: list[RotatedFace] = []
        for rotated in rotator.render(face, views):
            if with_montage:
                done.append(rotated)
            path = folder / view_filename(photo.stem, index, rotated.view)
            write_image(path, _pixels(rotated))
            tqdm.write(str(path))
            bar.update()
        tiles.append(face_tiles(image, face, done))
    if with_montage:
        path = folder / f"{photo.stem}_montage.png"
        write_image(path, faces_montage(tiles))
        tqdm.write(str(path))


def _pixels(rotated: RotatedFace) -> NDArray[np.uint8]:
    return rotated.image if rotated.alpha is None else np.dstack([rotated.image, rotated.alpha])


def _check_names(photos: Sequence[Path]) -> None:
    """Refuse photos whose outputs would overwrite each other's."""
    first: dict[str, Path] = {}
    for photo in photos:
        if (other := first.setdefault(photo.stem, photo)) is not photo:
            raise facerot.ImageError(
                f"{other} and {photo} would both write {photo.stem}_face0_….png: "
                "rotate them into different folders"
            )


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_info)
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument(
        "--ros", action="store_true",
        help="check the ROS 2 environment and the running nodes instead; takes some 10 s",
    )  # fmt: skip
    parser.add_argument(
        "--params-file", type=Path, metavar="FILE", help="with --ros: also check node parameters"
    )


def _info(options: argparse.Namespace) -> int:
    if options.ros:
        return _check_ros(options)
    damaged = verify_assets()
    report = {
        "opendr_facerot": facerot.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "pipelines": pipeline_names(),
        "render_backends": available_backends(),
        "devices": _devices(),
        "assets": [
            {
                "file": name,
                "licence": entry["licence"],
                "source": entry["source"],
                "intact": name not in damaged,
            }
            for name, entry in manifest().items()
        ],
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_report(report)
    return 1 if damaged else 0


def _check_ros(options: argparse.Namespace) -> int:
    from opendr_facerot.ros.self_check import as_json, as_text, exit_status, self_check

    findings = []
    for finding in self_check(options.params_file):
        findings.append(finding)
        if not options.json:
            print(as_text(finding), flush=True)
    if options.json:
        print(as_json(findings))
    return exit_status(findings)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    """Devices that pipelines could use; torch is asked only where it is installed."""
    if _version("torch") is None:
        return ["cpu"]
    import torch

    return ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]


def _print_report(report: Mapping[str, object]) -> None:
    for key, value in report.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, what in value.items():
                print(f"  {name} {what or 'not installed'}")
        elif key == "assets" and isinstance(value, list):
            print("assets:")
            for asset in value:
                state = "" if asset["intact"] else "  DAMAGED: install the package again"
                print(f"  {asset['file']}  {asset['licence']}  {asset['source']}{state}")
        else:
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


if __name__ == "__main__":
    sys.exit(main())
