"""Installing the files that users have: found by content, checked, converted to safetensors."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from opendr_facerot.errors import WeightsError
from opendr_facerot.weights.archives import members, open_archive, read_start, unpack
from opendr_facerot.weights.assembly import Found, assemble
from opendr_facerot.weights.contents import SNIFF_BYTES, Kind, is_torch_zip, kind_of, read_pieces
from opendr_facerot.weights.manifest import KNOWN_FILES, Component
from opendr_facerot.weights.store import weights_root, write_components

_MAX_NESTING = 3  # checkpoints.zip holds ckpt_and_bfm.zip


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        root: The folder of installed weights.
        installed: Components that were written, with the files they were made from.
        notes: What the user should know about them.
        ignored: Model files that no pipeline needs.
    """

    root: Path
    installed: dict[Component, str]
    notes: list[str]
    ignored: list[str]


def import_weights(
    paths: Iterable[str | os.PathLike[str]],
    root: str | os.PathLike[str] | None = None,
    *,
    allow_modified: bool = False,
) -> ImportReport:
    """Install the model files found in files, folders and zip files.

    Either everything that is found gets installed, or nothing. Installed components of the same
    kind are replaced.

    Args:
        paths: Model files, folders or zip files, in which folders and zip files are searched too.
        root: Folder to install to; see :func:`store.weights_root`.
        allow_modified: Take files that bear a published file's name but not its MD5, after the
            same checks of their content.

    Raises:
        WeightsError: A file is missing, damaged, unsafe, not what its name says, or comes without
            others that it is of no use without; or nothing is found. The message names the file
            and what to do.
    """
    target = weights_root(root)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=target) as scratch:
            search = _Search(Path(scratch), allow_modified)
            for path in paths:
                search.add_path(Path(path).expanduser())
            components, notes = assemble(search.found)
            if not components:
                raise WeightsError(
                    "none of the given paths holds a model file that a pipeline needs; "
                    "'facerot weights list' names them"
                )
            write_components(target, components)
    except OSError as error:
        raise WeightsError(f"cannot install weights in {target}: {error}") from error
    return ImportReport(
        root=target,
        installed={c: content.metadata["source"] for c, content in components.items()},
        notes=notes,
        ignored=search.ignored,
    )


@dataclass
class _Search:
    """Collects the pieces in files, folders and archives.

    Attributes:
        scratch: Folder for unpacked members.
        allow_modified: See :func:`import_weights`.
    """

    scratch: Path
    allow_modified: bool
    found: list[Found] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    _unpacked: int = 0

    def add_path(self, path: Path) -> None:
        if path.is_dir():
            for folder, subfolders, names in os.walk(path):
                # Hidden folders hold histories and caches, not what a user calls their files.
                subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
                for name in sorted(names):
                    file = Path(folder, name)
                    if file.is_file():
                        self._add_file(file, str(file), file.name)
        elif path.is_file():
            before = len(self.found)
            self._add_file(path, str(path), path.name)
            if len(self.found) == before:
                raise WeightsError(
                    f"{path} holds nothing that a pipeline needs; "
                    "'facerot weights list' names the files that do"
                )
        else:
            raise WeightsError(f"{path} does not exist: give model files, folders or zip files")

    def _add_file(self, path: Path, label: str, name: str, nesting: int = 0) -> None:
        with path.open("rb") as stream:
            kind = kind_of(stream.read(SNIFF_BYTES), name)
        known = KNOWN_FILES.get(name)
        if kind is None and known is None:
            return
        md5 = _md5(path)
        if known and not self.allow_modified and not known.has_digest(md5):
            raise WeightsError(
                f"{label} has the MD5 {md5}, the published file {known.md5}"
                f"{'' if len(known.md5 or '') == 32 else '...'}: it is damaged or another version. "
                "Get it again, or import it as it is with --allow-modified"
            )
        if kind is Kind.ZIP and known is None and self._add_archive(path, label, nesting):
            return
        pieces = read_pieces(path, kind, label) if kind else []
        if known and known.part not in [piece.part for piece in pieces]:
            raise WeightsError(
                f"{label} does not hold {known.part.value}, as a file of its name does: "
                "it is damaged or something else; get it again"
            )
        if not pieces:
            self.ignored.append(label)
            return
        self.found += [Found(piece, label, md5) for piece in pieces]

    def _add_archive(self, path: Path, label: str, nesting: int) -> bool:
        """Search an archive; False if it is a checkpoint."""
        with open_archive(path, label) as archive:
            if is_torch_zip(archive.namelist()):
                return False
            if nesting == _MAX_NESTING:
                raise WeightsError(
                    f"{label} is an archive in more than {_MAX_NESTING} others: refused"
                )
            for member in members(archive):
                inner = f"{label}:{member.filename}"
                name = member.filename.rsplit("/", 1)[-1]
                start = read_start(archive, member, SNIFF_BYTES, inner)
                if kind_of(start, name) or name in KNOWN_FILES:
                    self._unpacked += 1
                    unpacked = self.scratch / str(self._unpacked)
                    unpack(archive, member, unpacked, inner)
                    self._add_file(unpacked, inner, name, nesting + 1)
        return True


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)  # what the publishers give; a check for damage
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
