"""Rebuild the model files of the package from the published packages that they come from.

    python -m pip install --requirement tools/requirements.txt
    python tools/build_assets.py --check

``--check`` compares what it builds with what is shipped and changes nothing; ``--write`` replaces
the shipped files and their manifest. The package ``opendr_facerot`` must be installed, and npm for
one of the sources.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from assets.catalogue import CATALOGUE
from assets.sources import Sources

_REPOSITORY = Path(__file__).resolve().parent.parent
_SHIPPED = _REPOSITORY / "opendr_facerot" / "assets"
_MANIFEST = "manifest.json"


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="compare with the shipped files")
    action.add_argument("--write", action="store_true", help="replace the shipped files")
    parser.add_argument(
        "--cache",
        type=Path,
        default=_REPOSITORY / "build" / "asset-sources",
        help="folder for the packages that are downloaded (default: %(default)s)",
    )
    options = parser.parse_args()
    sources = Sources(options.cache)
    built: dict[str, bytes] = {}
    for name, asset in CATALOGUE.items():
        print(f"{name}: building", file=sys.stderr)
        built[name] = asset.build(sources, built)
        if options.write:
            # At once: the landmarks are found with the nets as they are shipped.
            _write(_SHIPPED / name, built[name])
    if options.write:
        _write(_SHIPPED / _MANIFEST, _manifest(built))
        return 0
    return _check(built)


def _check(built: Mapping[str, bytes]) -> int:
    listed = json.loads((_SHIPPED / _MANIFEST).read_text(encoding="utf-8"))["files"]
    shipped = {path.name for path in _SHIPPED.iterdir() if path.suffix in (".onnx", ".npz")}
    complete = set(listed) == shipped == set(built)
    if not complete:
        print(f"{_MANIFEST} lists {sorted(listed)}, shipped are {sorted(shipped)}")
    differences = 0
    for name in sorted(shipped & set(built)):
        data = (_SHIPPED / name).read_bytes()
        if _sha256(data) != listed.get(name, {}).get("sha256"):
            difference: str | None = "not the file that the manifest lists"
        elif built[name] == data:
            print(f"{name}: identical")
            continue
        else:
            difference = CATALOGUE[name].compare(built[name], data, built)
        print(f"{name}: {difference or 'same content within tolerance'}")
        differences += difference is not None
    return 0 if complete and not differences else 1


def _manifest(built: Mapping[str, bytes]) -> bytes:
    files = {
        name: {
            "description": asset.description,
            "sha256": _sha256(built[name]),
            "bytes": len(built[name]),
            "licence": asset.licence,
            "copyright": asset.copyright,
            "source": asset.source,
            "build": asset.how,
        }
        for name, asset in CATALOGUE.items()
    }
    return (json.dumps({"files": files}, indent=2) + "\n").encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, so that nobody reads half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
