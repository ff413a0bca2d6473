"""OpenDR's interface to Rotate-and-Render: its class, its options, its output files.

``facerot opendr -path_in photos -save_path results -val_yaw -30 30 -val_pitch 10`` does what the
tool of OpenDR's "Synthetic multi-view facial image generation" does. ``docs/opendr.md`` says what
differs.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendr_facerot import opendr_files
from opendr_facerot.errors import AngleError, FacerotError, ImageError, SettingsError
from opendr_facerot.files import make_folder, write_atomically
from opendr_facerot.generate.aligned_crop import aligned_crop, five_landmarks
from opendr_facerot.imaging import read_image, write_image
from opendr_facerot.rotator import FittedFace
from opendr_facerot.views import View

if TYPE_CHECKING:  # it imports torch, which only eval() needs
    from opendr_facerot.pipelines.rotate_and_render import (
        GeneratedFace,
        Reconstruction,
        RotateAndRenderRotator,
    )

FaceChoice = Literal["first", "largest", "all"]

_ANGLE_LISTS = ("-val_yaw", "-val_pitch")
_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_DEFAULT_YAW, _DEFAULT_PITCH = "10 20", "30 40"

_DUMPS = {
    "dump_param": "results/<photo>.txt: camera, shape, expression, region",
    "dump_lmk": "example/realign_lmk: five landmarks of each photo",
    "dump_2d_img": "results/<photo>.jpg: the mesh in the photo",
    "dump_pts": "meshes/<photo>.txt: the 68 landmarks",
    "dump_roi_box": "meshes/<photo>.roibox: the region",
    "dump_vertex": "meshes/<photo>.mat: the mesh's vertices",
    "dump_ply": "meshes/<photo>.ply: the mesh",
    "dump_obj": "meshes/<photo>.obj: the mesh with colours",
    "dump_depth": "meshes/<photo>_depth.png",
    "dump_pncc": "meshes/<photo>_pncc.png: projected normalised coordinates",
}
_NO_EFFECT = {
    "mode": "-device chooses the device",
    "files": "the photos are those in -path_in",
    "show_flg": "nothing is shown on a screen",
    "dump_pose": "the pose is in the file of --dump_param",
    "dump_paf": "its filters are not among the installed weights",
    "paf_size": "there is no --dump_paf",
    "dlib_bbox": "dlib is not used",
    "dlib_landmark": "dlib is not used",
    "save_dir": "files are written to -save_path and -path_3ddfa",
    "save_lmk_dir": "files are written to -save_path and -path_3ddfa",
    "img_list": "the photos are those in -path_in",
    "rank": "there is one process",
    "world_size": "there is one process",
    "resume_idx": "every photo in -path_in is taken",
}
_TRUE, _FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """OpenDR's options, checked.

    Attributes:
        path_in: Folder of photos, searched with its subfolders.
        save_path: Folder of the views.
        path_3ddfa: Folder of the files that ``dumps`` asks for; None for ``3ddfa`` in
            ``save_path``.
        yaw_deg: Yaws to render; pitch and roll stay the photo's.
        pitch_deg: Pitches to render; yaw and roll stay the photo's.
        device: See :attr:`RotatorSettings.device`.
        weights: See :attr:`RotatorSettings.weights`.
        two_step: See :attr:`RotateAndRenderSettings.two_step`.
        heatmap_size: See :attr:`RotateAndRenderSettings.heatmap_size`.
        round_radians: Round angles to two decimals of a radian, in pictures and their names.
        faces: The faces of a photo to take: the ``"first"``, which is the one that the detector
            is surest of, the ``"largest"`` or ``"all"``.
        dumps: Names of the intermediate files to write.
    """

    path_in: Path
    save_path: Path
    path_3ddfa: Path | None = None
    yaw_deg: tuple[float, ...]
    pitch_deg: tuple[float, ...]
    device: str = "auto"
    weights: Path | None = None
    two_step: bool = True
    heatmap_size: float = 1.0
    round_radians: bool = False
    faces: FaceChoice = "first"
    dumps: frozenset[str] = frozenset()

    @classmethod
    def from_namespace(cls, args: argparse.Namespace) -> Options:
        """Options of a namespace, which may lack some; those without effect are warned about.

        Raises:
            SettingsError: An option has an unknown name or an unusable value.
            AngleError: An angle is not a number.
        """
        given = {
            name: value for name, value in vars(args).items() if value is not None and name != "run"
        }
        for name in [name for name in _NO_EFFECT if name in given]:
            del given[name]
            _log.warning("option %s has no effect: %s", name, _NO_EFFECT[name])
        if "path_in" not in given:
            raise SettingsError("there is no path_in: give a folder of photos")
        bbox_init = given.pop("bbox_init", "two")
        if bbox_init not in ("one", "two"):
            raise SettingsError(f"bbox_init is {bbox_init!r}: give 'one' or 'two'")
        faces = given.pop("faces", "first")
        if faces not in ("first", "largest", "all"):
            raise SettingsError(f"faces is {faces!r}: give 'first', 'largest' or 'all'")
        dumps = [name for name in _DUMPS if _flag(name, given.pop(name, False))]
        path_3ddfa, weights = given.pop("path_3ddfa", None), given.pop("weights", None)
        options = cls(
            path_in=Path(given.pop("path_in")),
            save_path=Path(given.pop("save_path", "results")),
            path_3ddfa=None if path_3ddfa is None else Path(path_3ddfa),
            yaw_deg=parse_angles(given.pop("val_yaw", _DEFAULT_YAW)),
            pitch_deg=parse_angles(given.pop("val_pitch", _DEFAULT_PITCH)),
            device=given.pop("device", "auto"),
            weights=None if weights is None else Path(weights),
            two_step=bbox_init == "two",
            heatmap_size=_number("heatmap_size", given.pop("heatmap_size", 1.0)),
            round_radians=_flag("round_radians", given.pop("round_radians", False)),
            faces=cast(FaceChoice, faces),
            dumps=frozenset(dumps),
        )
        if given:
            raise SettingsError(f"there is no option {', '.join(sorted(given))}")
        return options

    @property
    def work_folder(self) -> Path:
        """Where intermediate files go."""
        return self.save_path / "3ddfa" if self.path_3ddfa is None else self.path_3ddfa

    def views(self) -> dict[str, View]:
        """The views by the ending of their files' names, yaws first.

        The number in a name is the angle in radians, with all its digits unless it is rounded.

        Raises:
            AngleError: An angle is outside [-90°, 90°].
            SettingsError: There are none.
        """
        named: dict[str, View] = {}
        for axis, angles in (("yaw", self.yaw_deg), ("pitch", self.pitch_deg)):
            for degrees in angles:
                radians = math.radians(degrees)
                view = View(radians, None) if axis == "yaw" else View(None, radians)
                name = f"{axis}_{round(radians, 2) if self.round_radians else radians!r}"
                if name in named:
                    _log.warning("%s %g° is the same view as another: rendered once", axis, degrees)
                named[name] = view
        if not named:
            raise SettingsError("there are no angles: give val_yaw or val_pitch")
        return named


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        pictures: Views that were written, under ``…_orig``.
        failures: Why, for each photo that gave none.
    """

    pictures: list[Path] = field(default_factory=list)
    failures: dict[Path, FacerotError] = field(default_factory=dict)


class MultiviewDataGeneration:
    """OpenDR's class: views of the face in each photo of a folder.

    Args:
        args: OpenDR's options as attributes, all but ``path_in`` optional; values are text as on
            the command line, or of the fitting type.

    Raises:
        SettingsError: See :meth:`Options.from_namespace`.
        AngleError: An angle is not a number or outside [-90°, 90°].
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.options = Options.from_namespace(args)
        self._views = self.options.views()

    def eval(self) -> Report:
        """Render every view of every photo in ``path_in``.

        Writes, in ``<save_path>/rs_model/example``, the views ``Images_orig/<photo>_<angle>.jpg``
        (256x256) and their aligned crops ``Images_aligned/<photo>_<angle>.jpg`` (224x224), and
        ``example010_rotate_lmk.txt``, a line ``<path of the view> 1 x1 y1 … x5 y5`` for each.
        A photo without a face, or that cannot be read, is reported and the others are done.

        Raises:
            ImageError: ``path_in`` holds no photos, or an output cannot be written.
            DeviceError: PyTorch or the device is not there.
            WeightsError: The model files are not installed, or damaged.
        """
        # Only here, because it imports torch.
        from opendr_facerot.pipelines.rotate_and_render import (
            RotateAndRenderRotator,
            RotateAndRenderSettings,
        )

        options = self.options
        photos = find_photos(options.path_in, without=(options.save_path, options.work_folder))
        rotator = RotateAndRenderRotator(
            RotateAndRenderSettings(
                device=options.device,
                weights=options.weights,
                two_step=options.two_step,
                heatmap_size=options.heatmap_size,
                round_radians=options.round_radians,
                max_faces=1 if options.faces == "largest" else 0,
            )
        )
        run = _Generation(options, self._views, rotator)
        try:
            for name, photo in tqdm(photos.items(), unit="photo", disable=None):
                run.rotate(name, photo)
        finally:
            run.write_lists()  # also after an interruption, for what was written until then
            rotator.close()
        return run.report

    def fit(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("fit: the models are trained elsewhere, use eval()")

    def infer(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("infer: use eval(), or opendr_facerot.load() for single images")

    def load(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("load: eval() loads what 'facerot weights import' installed")

    def optimize(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("optimize: the models are used as they are")

    def reset(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("reset: there is no state between calls of eval()")

    def save(self, *_: object) -> NoReturn:
        """Not offered, as in OpenDR."""
        raise NotImplementedError("save: eval() writes its views itself")


class _Generation:
    """One call of :meth:`MultiviewDataGeneration.eval`."""

    def __init__(
        self, options: Options, views: dict[str, View], rotator: RotateAndRenderRotator
    ) -> None:
        self.report = Report()
        self._options, self._views, self._rotator = options, views, rotator
        self._folder = options.save_path / "rs_model" / "example"
        self._view_lines: list[str] = []
        self._photo_lines: list[str] = []
        for kind in ("orig", "aligned"):
            make_folder(self._folder / f"Images_{kind}")

    def rotate(self, name: str, photo: Path) -> None:
        """Write the views of one photo, ``name`` in front of their files' names."""
        try:
            image = read_image(photo)
            faces = self._chosen(self._rotator.fit(image))
        except FacerotError as error:
            self.report.failures[photo] = error
            _log.error("%s: %s", photo, error)
            return
        for index, face in enumerate(faces):
            stem = f"{name}_{index}" if self._options.faces == "all" else name
            self._dump(stem, photo.name, image, face.state)
            for ending, view in zip(
                self._views, self._rotator.render(face, self._views.values()), strict=True
            ):
                self._write_view(f"{stem}_{ending}.jpg", view)

    def write_lists(self) -> None:
        """Write the lists of landmarks."""
        write_atomically(self._folder / "example010_rotate_lmk.txt", _lines(self._view_lines))
        if "dump_lmk" in self._options.dumps:
            folder = self._options.work_folder / "example"
            write_atomically(folder / "realign_lmk", _lines(self._photo_lines))

    def _chosen(self, faces: list[FittedFace]) -> list[FittedFace]:
        if self._options.faces == "all":
            return faces
        if self._options.faces == "largest":
            return faces[:1]
        return [max(faces, key=lambda face: face.face.score)]

    def _dump(self, stem: str, photo: str, image: NDArray[np.uint8], face: Reconstruction) -> None:
        """Write the intermediate files that were asked for."""
        options = self._options
        if "dump_lmk" in options.dumps:
            label = len(self._photo_lines)
            self._photo_lines.append(opendr_files.landmarks_line(photo, label, face.landmarks5))
        opendr_files.write_dumps(
            options.dumps, options.work_folder, stem, image, face, self._rotator.model
        )

    def _write_view(self, name: str, view: GeneratedFace) -> None:
        landmarks5 = five_landmarks(view.landmarks68)
        path = self._folder / "Images_orig" / name
        write_image(path, view.image)
        write_image(self._folder / "Images_aligned" / name, aligned_crop(view.image, landmarks5))
        self._view_lines.append(opendr_files.landmarks_line(str(path), 1, landmarks5))
        self.report.pictures.append(path)


def find_photos(folder: Path, without: Iterable[Path] = ()) -> dict[str, Path]:
    """The photos in a folder and its subfolders, by the name that their outputs get.

    That is the file's name without its suffix or, where several photos share it, the path below
    ``folder`` with ``_`` for ``/`` and ``.``.

    Args:
        folder: Where to look; symbolic links to folders are not followed.
        without: Folders to leave out, those of the outputs.

    Raises:
        ImageError: There is no such folder, it holds no photos, or two would get one name.
    """
    if not folder.is_dir():
        raise ImageError(f"there is no folder {folder}: give a folder of photos")
    skipped = {path.resolve() for path in without}
    paths: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if (Path(root) / f).resolve() not in skipped)
        paths += (Path(root) / n for n in sorted(names) if n.lower().endswith(_PHOTO_SUFFIXES))
    if not paths:
        raise ImageError(f"{folder} holds no photos ({', '.join(_PHOTO_SUFFIXES)})")
    count = Counter(path.stem for path in paths)
    photos: dict[str, Path] = {}
    for path in paths:
        name = path.stem
        if count[name] > 1:
            name = "_".join(path.relative_to(folder).parts).replace(".", "_")
        if (other := photos.setdefault(name, path)) is not path:
            raise ImageError(f"{other} and {path} would both write {name}_….jpg: rename one")
    return photos


def parse_angles(value: str | Iterable[str | float]) -> tuple[float, ...]:
    """Angles of text such as ``"10 20"``, ``"10,20"``, or of a sequence of such or of numbers.

    Raises:
        AngleError: Something is not a number.
    """
    parts = [value] if isinstance(value, str) else [str(part) for part in value]
    words = " ".join(parts).replace(",", " ").split()
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise AngleError(
            f"the angles {' '.join(words)!r} are not numbers: give degrees such as 10 40"
        ) from None


def split_angle_lists(arguments: Sequence[str]) -> list[str]:
    """Command line in which angles such as ``-10,`` or ``-10,20`` are words of their own.

    argparse would take them for options.
    """
    words: list[str] = []
    in_list = False
    for argument in arguments:
        numbers = argument.replace(",", " ").split()
        if in_list and all(map(_is_number, numbers)):
            words += numbers
        else:
            words.append(argument)
            in_list = argument in _ANGLE_LISTS
    return words


def add_opendr_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot opendr``; ``options.run(options)`` then runs it."""
    parser.description = (
        "OpenDR's synthetic multi-view facial image generation: for each photo the views of "
        "-val_yaw, with the photo's pitch, and those of -val_pitch, with the photo's yaw."
    )
    parser.set_defaults(run=_run)

    def add(*names: str, text: str, **how: Any) -> None:
        # What is not given is not in the namespace.
        parser.add_argument(*names, help=text, default=argparse.SUPPRESS, **how)

    add("-path_in", required=True, metavar="DIR", text="photos, also in subfolders")
    add("-save_path", metavar="DIR", text="views (default: results)")
    add("-path_3ddfa", metavar="DIR", text="files of --dump_… (default: 3ddfa in -save_path)")
    add("-val_yaw", nargs="*", metavar="DEG", text=f"default: {_DEFAULT_YAW}")
    add("-val_pitch", nargs="*", metavar="DEG", text=f"default: {_DEFAULT_PITCH}")
    add("-device", text="auto (default), cpu, cuda, cuda:<index>")
    add("--weights", metavar="DIR", text="folder of installed weights")
    add("--faces", choices=("first", "largest", "all"), text="default: first, the surest one")
    add("--round-radians", action="store_true", text="round angles to 0.01 rad, as OpenDR did")
    add("--bbox_init", choices=("one", "two"), text="passes of 3DDFA (default: two)")
    add("--heatmap_size", type=float, metavar="PX", text="line width of labels (default: 1)")
    for name, what in _DUMPS.items():
        add(f"--{name}", metavar="BOOL", text=what)
    for name, why in _NO_EFFECT.items():
        short = {"mode": ["-m"], "files": ["-f"]}.get(name, [])
        count = {"nargs": "+"} if name == "files" else {}
        add(*short, f"--{name}", text=f"no effect: {why}", metavar="…", **count)


def _run(options: argparse.Namespace) -> int:
    report = MultiviewDataGeneration(options).eval()
    sys.stdout.write(f"{len(report.pictures)} views written\n")
    return 1 if report.failures else 0


def _flag(name: str, value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise SettingsError(f"{name} is {value!r}: give true or false")
    return word in _TRUE


def _number(name: str, value: Any) -> float:
    if not _is_number(value):
        raise SettingsError(f"{name} is {value!r}: give a number")
    return float(value)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
