"""What is in a model file, found by its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.bfm import EXPRESSION_MODES, SHAPE_MODES
from opendr_facerot.reconstruct.face_parameters import PARAMETER_COUNT
from opendr_facerot.weights.archives import open_archive
from opendr_facerot.weights.manifest import Part
from opendr_facerot.weights.safe_pickle import DamagedPickleError, UnsafePickleError, load_arrays

if TYPE_CHECKING:
    import torch

MAX_PICKLE_BYTES = 2**29
"""Largest plain pickle that is read; 3DDFA_V2's face model has 25 MB."""

_TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
SNIFF_BYTES = 128
"""How much of a file's start :func:`kind_of` looks at."""


class Kind(Enum):
    """How a file is to be read."""

    ZIP = "zip file"  # an archive, or a checkpoint of PyTorch 1.6 or later
    TORCH = "PyTorch checkpoint"
    PICKLE = "pickle"
    NPY = "NumPy array"
    MAT = "MATLAB file"


class Layout(Enum):
    """Whose data: parts of different layouts do not always go together."""

    TDDFA = "3ddfa"
    TDDFA_V2 = "3ddfa_v2"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, eq=False)
class Piece:
    """A recognised part of a model.

    Attributes:
        part: What it is.
        layout: Whose; None where it makes no difference.
        arrays: Its arrays or tensors by name: whatever the file calls them, or the part's name.
    """

    part: Part
    layout: Layout | None
    arrays: Mapping[str, Any]


def kind_of(start: bytes, name: str) -> Kind | None:
    """How to read a file that starts with these bytes; None if it is no model file.

    Args:
        start: The first :data:`SNIFF_BYTES` bytes.
        name: The file's name. It only matters for old pickles, which have no signature.
    """
    if start.startswith(b"PK\x03\x04") or start.startswith(b"PK\x05\x06"):
        return Kind.ZIP
    if start.startswith(_TORCH_LEGACY):
        return Kind.TORCH
    if start.startswith(b"\x93NUMPY"):
        return Kind.NPY
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return Kind.MAT
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Kind.PICKLE
    if start and name.lower().endswith((".pkl", ".pickle", ".pth", ".pt", ".tar")):
        return Kind.PICKLE
    return None


def is_torch_zip(names: list[str]) -> bool:
    """Whether a zip file with these members is a PyTorch checkpoint."""
    return any(re.fullmatch(r"[^/]+/data\.pkl", name) for name in names)


def read_pieces(path: Path, kind: Kind, label: str) -> list[Piece]:
    """The parts that a file holds; none if it is a readable file of another purpose.

    Args:
        path: The file, not an archive.
        kind: From :func:`kind_of`.
        label: What to call the file in an error's message.

    Raises:
        WeightsError: The file is damaged, or reading it would run code that it brings along.
    """
    return _READERS[kind](path, label)


def _read_torch(path: Path, label: str) -> list[Piece]:
    tensors = {key.replace("module.", ""): value for key, value in _tensors(path, label).items()}
    if "conv1.weight" in tensors and "dw2_1.conv_dw.weight" in tensors:
        layout = Layout.TDDFA_V2 if "fc_param.weight" in tensors else Layout.TDDFA
        return [Piece(Part.NETWORK, layout, tensors)]
    if "first_layer.1.0.weight_orig" in tensors:
        return [Piece(Part.GENERATOR, None, tensors)]
    return []


def _read_torch_zip(path: Path, label: str) -> list[Piece]:
    open_archive(path, label).close()  # its checks hold for checkpoints too
    return _read_torch(path, label)


def _tensors(path: Path, label: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name, of its ``state_dict`` if it has one."""
    import pickle

    import torch

    with path.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(_refusal(label, f"it asks to run {asked[1]}")) from None
        raise WeightsError(f"{label} is a damaged PyTorch checkpoint: download it again") from error
    except Exception as error:  # a damaged checkpoint makes PyTorch raise anything
        raise WeightsError(
            f"{label} is a damaged PyTorch checkpoint ({error}): download it again"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        return {}
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}


def _read_pickle(path: Path, label: str) -> list[Piece]:
    if path.stat().st_size > MAX_PICKLE_BYTES:
        raise WeightsError(
            f"{label} is a pickle of {path.stat().st_size / 2**20:.0f} MiB: "
            f"refused above {MAX_PICKLE_BYTES // 2**20}"
        )
    try:
        content = load_arrays(path.read_bytes())
    except UnsafePickleError as error:
        raise WeightsError(_refusal(label, str(error))) from None
    except DamagedPickleError as error:
        raise WeightsError(f"{label}: {error}; download it again") from error
    if isinstance(content, np.ndarray):
        if content.ndim == 2 and content.shape[0] == 3 and content.dtype.kind in "iu":
            return [Piece(Part.FACES, Layout.TDDFA_V2, {"faces": content.T})]
        return []
    names = content.keys()
    for layout, mean, std in (
        (Layout.TDDFA, "param_mean", "param_std"),
        (Layout.TDDFA_V2, "mean", "std"),
    ):
        if {mean, std} <= names and content[mean].size == PARAMETER_COUNT:
            arrays = {"mean": content[mean], "std": content[std]}
            return [Piece(Part.WHITENING, layout, arrays)]
    if {"u", "w_shp", "w_exp", "keypoints"} <= names:
        pieces = [Piece(Part.WHOLE_MODEL, Layout.TDDFA_V2, content)]
        if "tri" in names:
            faces = content["tri"]
            faces = faces.T if len(faces) == 3 else faces
            pieces.append(Piece(Part.FACES, Layout.TDDFA_V2, {"faces": faces}))
        return pieces
    return []


def _read_npy(path: Path, label: str) -> list[Piece]:
    try:
        # Mapped, so that a header cannot claim more than the file holds.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise WeightsError(
            f"{label} is no readable NumPy array ({error}): download it again"
        ) from (error)
    part = _part_of_array(array)
    return [Piece(part, Layout.TDDFA, {part.name: array})] if part else []


def _part_of_array(array: NDArray[Any]) -> Part | None:
    if array.ndim == 2 and array.dtype.kind == "f" and len(array) % 3 == 0:
        columns = {
            1: Part.MEAN,
            SHAPE_MODES: Part.SHAPE_BASIS,
            EXPRESSION_MODES: Part.EXPRESSION_BASIS,
        }
        return columns.get(array.shape[1])
    if array.ndim == 1 and array.dtype.kind in "iu" and array.size:
        if array.shape == (3 * 68,):
            return Part.KEYPOINTS
        if bool((np.diff(array.astype(np.int64)) > 0).all()):
            return Part.VERTEX_MAP
    return None


def _read_mat(path: Path, label: str) -> list[Piece]:
    from scipy.io import loadmat, whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
        shape = shapes.get("tri", ())
        if len(shape) != 2 or shape[0] != 3:
            return []
        one_based = loadmat(path, variable_names=["tri"])["tri"]
    except Exception as error:  # a damaged file makes SciPy raise anything
        raise WeightsError(f"{label} is a damaged MATLAB file ({error}): download it again") from (
            error
        )
    return [Piece(Part.FACES, Layout.TDDFA, {"faces": one_based.T.astype(np.int64) - 1})]


_READERS: dict[Kind, Callable[[Path, str], list[Piece]]] = {
    Kind.ZIP: _read_torch_zip,
    Kind.TORCH: _read_torch,
    Kind.PICKLE: _read_pickle,
    Kind.NPY: _read_npy,
    Kind.MAT: _read_mat,
}


def _refusal(label: str, reason: str) -> str:
    return (
        f"{label} is refused: {reason}. It was not run. A model file only holds numbers: "
        "get it from its publisher again"
    )
