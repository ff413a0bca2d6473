"""The command ``facerot``. Angles are degrees here, and only here."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from opendr_facerot.files import make_folder
from opendr_facerot.gallery import Tile, face_tiles, faces_montage, view_filename
from opendr_facerot.imaging import image_files, read_image, write_image
from opendr_facerot.loading import pipeline_names
from opendr_facerot.opendr import add_opendr_parser, split_angle_lists
from opendr_facerot.render.rasterize import available_backends
from opendr_facerot.rotator import FaceRotator, PersonRotator, RotatedFace
from opendr_facerot.views import View
from opendr_facerot.weights.cli import add_weights_parser

_QUIET_BELOW = 5  # outputs that are done before a progress bar could be read
_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "numba", "scipy", "pillow", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 (a photo failed) or 2 (bad usage)."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(split_angle_lists(given))
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
    parser.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO",
        help="image file; with --same-person also folders",
    )  # fmt: skip
    parser.add_argument(
        "--same-person", action="store_true",
        help="all photos show one person, whose views are made from all of them; or each is a "
        "folder with the photos of one person, whose views go to a sub-folder of its name",
    )  # fmt: skip
    add_view_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="made if it does not exist"
    )
    parser.add_argument(
        "--montage", action="store_true", help="also write <photo>_montage.png with all its views"
    )
    add_rotator_arguments(parser)


@dataclass(frozen=True)
class _Subject:
    """What is rotated at once: the faces of a photo, or one person.

    Attributes:
        name: First part of the names of its pictures.
        source: The path that names it.
        photos: Image files; several are of one person.
        folder: Where its pictures go.
    """

    name: str
    source: Path
    photos: tuple[Path, ...]
    folder: Path


def _rotate(options: argparse.Namespace) -> int:
    views = chosen_views(options)
    subjects = list(_subjects(options.photos, options.output, options.same_person))
    _check_names(subjects)
    rotator = load_rotator(options)
    if options.same_person and not isinstance(rotator, PersonRotator):
        raise facerot.SettingsError(
            f"the pipeline {options.pipeline!r} cannot make one head from several photos: "
            "take --pipeline head, or leave out --same-person"
        )
    make_folder(options.output)
    total = len(subjects) * len(views)
    failures = 0
    with tqdm(total=total, unit="view", disable=True if total < _QUIET_BELOW else None) as bar:
        for subject in subjects:
            try:
                _rotate_subject(rotator, subject, views, options, bar)
            except facerot.FacerotError as error:
                failures += 1
                bar.total = (bar.total or 0) - len(views)
                index = getattr(error, "photo_index", None) or 0
                tqdm.write(f"facerot: {subject.photos[index]}: {error}", file=sys.stderr)
    rotator.close()
    return 1 if failures else 0


def _subjects(paths: Sequence[Path], output: Path, same_person: bool) -> Iterator[_Subject]:
    """What the paths name.

    Raises:
        ImageError: A folder cannot be read or holds no photo, or photos and folders are mixed.
    """
    folders = [path for path in paths if path.is_dir()]
    if not same_person:
        yield from (_Subject(path.stem, path, (path,), output) for path in paths)
    elif not folders:
        yield _Subject(paths[0].stem, paths[0], tuple(paths), output)
    elif len(folders) < len(paths):
        raise facerot.ImageError(
            f"{folders[0]} is a folder, and there are single photos too: with --same-person give "
            "the photos of one person, or a folder for each person"
        )
    else:
        for folder in folders:
            name = folder.resolve().name
            yield _Subject(name, folder, tuple(image_files(folder)), output / name)


def _rotate_subject(
    rotator: FaceRotator,
    subject: _Subject,
    views: Sequence[View],
    options: argparse.Namespace,
    bar: tqdm[Any],
) -> None:
    images = [read_image(photo) for photo in subject.photos]
    if options.same_person and isinstance(rotator, PersonRotator):
        faces = [rotator.fit_person(images)]
    else:
        faces = rotator.fit(images[0])
    make_folder(subject.folder)
    tiles: list[list[Tile]] = []
    bar.total = (bar.total or 0) + (len(faces) - 1) * len(views)
    for index, face in enumerate(faces):
        if face.flags:
            photo = subject.photos[face.photo_index]
            tqdm.write(f"{photo}: face {index}: {', '.join(face.flags)}", file=sys.stderr)
        done: list[RotatedFace] = []
        for rotated in rotator.render(face, views):
            if options.montage:
                done.append(rotated)
            path = subject.folder / view_filename(subject.name, index, rotated.view)
            write_image(path, _pixels(rotated))
            tqdm.write(str(path))
            bar.update()
        tiles.append(face_tiles(images[face.photo_index], face, done))
    if options.montage:
        path = subject.folder / f"{subject.name}_montage.png"
        write_image(path, faces_montage(tiles))
        tqdm.write(str(path))


def _pixels(rotated: RotatedFace) -> NDArray[np.uint8]:
    return rotated.image if rotated.alpha is None else np.dstack([rotated.image, rotated.alpha])


def _check_names(subjects: Sequence[_Subject]) -> None:
    """Refuse subjects whose outputs would overwrite each other's."""
    first: dict[tuple[Path, str], _Subject] = {}
    for subject in subjects:
        if (other := first.setdefault((subject.folder, subject.name), subject)) is not subject:
            raise facerot.ImageError(
                f"{other.source} and {subject.source} would both write {subject.name}_face0_….png: "
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
