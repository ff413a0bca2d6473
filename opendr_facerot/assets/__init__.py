"""The model files that are part of the package, and their manifest.

``manifest.json`` names every file with its SHA-256, size, licence and origin;
``tools/build_assets.py`` rebuilds the files from those origins.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypedDict, cast

from opendr_facerot.errors import WeightsError

_FOLDER = Path(__file__).resolve().parent
_MANIFEST = "manifest.json"
_REINSTALL = "install the package again: pip install --force-reinstall --no-deps opendr_facerot"


class AssetEntry(TypedDict):
    """What the manifest says about one file.

    Attributes:
        description: What the file is for.
        sha256: Of the file, 64 lowercase hexadecimal digits.
        bytes: Size of the file.
        licence: SPDX identifier.
        copyright: Holder of the rights.
        source: Package, version and path inside it that the file is made from.
        build: How it is made.
    """

    description: str
    sha256: str
    bytes: int
    licence: str
    copyright: str
    source: str
    build: str


def asset_path(name: str) -> Path:
    """Path of a packaged model file.

    Raises:
        WeightsError: The file is not there.
    """
    path = _FOLDER / name
    if not path.is_file():
        raise WeightsError(f"the model file {name!r} is missing from {_FOLDER}; {_REINSTALL}")
    return path


def manifest() -> dict[str, AssetEntry]:
    """The manifest's entries by file name.

    Raises:
        WeightsError: The manifest is missing or not readable.
    """
    path = asset_path(_MANIFEST)
    try:
        return cast(dict[str, AssetEntry], json.loads(path.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{path} is damaged ({error}); {_REINSTALL}") from error


def verify_assets() -> list[str]:
    """Names of the files that are missing or differ from the manifest's SHA-256.

    Raises:
        WeightsError: The manifest is missing or not readable.
    """
    return [name for name, entry in manifest().items() if _sha256(name) != entry["sha256"]]


def _sha256(name: str) -> str | None:
    try:
        return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()
    except OSError:
        return None
