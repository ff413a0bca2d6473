"""Zip files from strangers: refused with the reason if they try tricks.

What is unpacked is written under names of our own, never those of the members.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from opendr_facerot.errors import WeightsError

MAX_MEMBERS = 20_000
MAX_BYTES = 8 * 2**30
"""Largest total size of an archive's members, unpacked; all published files are below 2 GiB."""

MAX_RATIO = 100
"""Largest ratio of unpacked to packed size: weights hardly shrink, bombs shrink a thousandfold."""

_RATIO_FREE = 2**20  # bytes that may shrink by any ratio: small tables of zeros are no bomb
_BLOCK = 2**20


def name_fault(name: str) -> str | None:
    """What is wrong with a member's name, or None: it must stay below the folder it is put in."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")):
        return "an absolute path"
    if parts[0][1:2] == ":":
        return "a path with a drive letter"
    if ".." in parts:
        return "a path that leaves the archive's folder"
    if not name or any(ord(character) < 32 for character in name):
        return "an unprintable name"
    return None


def open_archive(path: Path, label: str) -> ZipFile:
    """Open a zip file after checking its directory.

    Args:
        path: The file.
        label: What to call it in an error's message.

    Raises:
        WeightsError: It is damaged, encrypted, or has a member with an unsafe name, a symbolic
            link, a device, a repeated name, or more content than models have; the message names
            the member.
    """
    try:
        archive = ZipFile(path)
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{label} is a damaged zip file ({error}): download it again") from error
    try:
        _check_directory(archive.infolist(), label)
    except WeightsError:
        archive.close()
        raise
    return archive


def members(archive: ZipFile) -> Iterator[ZipInfo]:
    """The files, not folders, of an archive."""
    return (member for member in archive.infolist() if not member.is_dir())


def read_start(archive: ZipFile, member: ZipInfo, count: int, label: str) -> bytes:
    """The first ``count`` bytes of a member, fewer if it is shorter.

    Raises:
        WeightsError: The member is damaged.
    """
    try:
        with archive.open(member) as stream:
            return stream.read(count)
    except _DAMAGE as error:
        raise _damaged(label, error) from error


def unpack(archive: ZipFile, member: ZipInfo, target: Path, label: str) -> None:
    """Write a member's content to ``target``, whatever the member is called.

    Raises:
        WeightsError: The member is damaged.
        OSError: ``target`` cannot be written.
    """
    with target.open("wb") as sink:
        try:
            stream = archive.open(member)
        except _DAMAGE as error:
            raise _damaged(label, error) from error
        with stream:
            while True:
                # ZipFile stops at the size that the directory claims, which has been checked.
                try:
                    block = stream.read(_BLOCK)
                except _DAMAGE as error:
                    raise _damaged(label, error) from error
                if not block:
                    break
                sink.write(block)


_DAMAGE = (BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


def _damaged(label: str, error: Exception) -> WeightsError:
    return WeightsError(f"{label} is damaged ({error}): download the archive again")


def _check_directory(entries: list[ZipInfo], label: str) -> None:
    if len(entries) > MAX_MEMBERS:
        raise WeightsError(f"{label} has {len(entries)} members: refused, no model has so many")
    seen: set[str] = set()
    for entry in entries:
        if fault := name_fault(entry.orig_filename) or _member_fault(entry):
            raise WeightsError(
                f"{label}: member {entry.orig_filename!r} is {fault}: archive refused"
            )
        if entry.filename in seen:
            raise WeightsError(f"{label}: member {entry.filename!r} is there twice: refused")
        seen.add(entry.filename)
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise WeightsError(
            f"{label} unpacks to {total / 2**30:.1f} GiB, more than {MAX_BYTES // 2**30}: refused"
        )


def _member_fault(entry: ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a device or pipe"
    if entry.flag_bits & 1:
        return "encrypted"
    if entry.file_size > max(_RATIO_FREE, MAX_RATIO * entry.compress_size):
        ratio = entry.file_size / max(entry.compress_size, 1)
        return f"{entry.file_size / 2**20:.0f} MiB packed {ratio:.0f} to 1, as in a zip bomb"
    return None
