"""Files of any content, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from threading import get_ident

from opendr_facerot.errors import ImageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is never seen half written; its folder is made.

    Raises:
        ImageError: It cannot be written.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}-{os.getpid()}-{get_ident()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there.

    Raises:
        ImageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
