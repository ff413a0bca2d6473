"""Reports of a benchmark: as JSON, and as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from opendr_facerot.benchmark.measurement import MEBIBYTES, SHARE, Measurement
from opendr_facerot.benchmark.profile import Profile
from opendr_facerot.benchmark.results import Results
from opendr_facerot.errors import SettingsError
from opendr_facerot.files import write_atomically

_FORMAT = 2
_PACKAGES = ("opendr_facerot", "numpy", "numba", "scipy", "onnxruntime", "torch")

COLUMNS = ("what", "threads", "runs", "median", "spread", "ratio")
"""Of :func:`row`."""


@dataclass(frozen=True)
class Report:
    """Results and where they were made.

    Attributes:
        about: Machine, versions and command, in words.
        results: The figures.
    """

    about: Mapping[str, str]
    results: Results

    @property
    def measurements(self) -> Sequence[Measurement]:
        """In the order in which they were made."""
        return self.results.measurements

    @property
    def profiles(self) -> Sequence[Profile]:
        """Where the time goes."""
        return self.results.profiles

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what :meth:`write` wrote.

        Raises:
            SettingsError: There is no such file, or it is not a report.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']}, not {_FORMAT}")
            return cls(dict(content["about"]), Results.from_plain(content))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path} is not a report of facerot bench ({error}): make one with --json"
            ) from error

    def write(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            ImageError: It cannot be written.
        """
        content = {"format": _FORMAT, "about": dict(self.about), **asdict(self.results)}
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())

    def table(self) -> str:
        """Columns of text."""
        rows = [COLUMNS, *(row(one) for one in self.measurements)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def about_this_run(command: str) -> dict[str, str]:
    """Machine, versions and command, for :attr:`Report.about`."""
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    return {
        "command": command,
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(versions),
    }


def row(one: Measurement) -> tuple[str, ...]:
    """A measurement as cells, those of :data:`COLUMNS`."""
    ratios = ", ".join(f"{number(ratio)} x {name}" for name, ratio in one.ratios.items())
    runs = str(len(one.values))
    return one.name, str(one.threads), runs, *_amounts(one), ratios


def number(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def _amounts(one: Measurement) -> tuple[str, str]:
    if one.unit == MEBIBYTES:
        return f"{one.median:.0f} MiB", f"{one.spread:.0f} MiB"
    if one.unit == SHARE:
        return f"{100 * one.median:.2g} %", f"{100 * one.spread:.2g} %"
    return f"{number(1e3 * one.median)} ms", f"{number(1e3 * one.spread)} ms"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()
