"""Reports of a benchmark: as JSON, as a table and as a page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from opendr_facerot.benchmark.measurement import MEBIBYTES, Measurement
from opendr_facerot.errors import SettingsError
from opendr_facerot.files import write_atomically

_FORMAT = 1
_PACKAGES = ("opendr_facerot", "numpy", "numba", "scipy", "onnxruntime", "torch")
_HEADER = ("what", "threads", "runs", "median", "spread", "ratio")


@dataclass(frozen=True)
class Report:
    """Measurements and where they were made.

    Attributes:
        about: Machine, versions and command, in words.
        measurements: In the order in which they were made.
    """

    about: Mapping[str, str]
    measurements: Sequence[Measurement]

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
            measurements = [
                Measurement(**{**row, "values": tuple(row["values"])})
                for row in content["measurements"]
            ]
            return cls(dict(content["about"]), measurements)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path} is not a report of facerot bench ({error}): make one with --json"
            ) from error

    def write(self, path: Path) -> None:
        """Write as JSON."""
        rows = [asdict(one) for one in self.measurements]
        content = {"format": _FORMAT, "about": dict(self.about), "measurements": rows}
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())

    def write_markdown(self, path: Path) -> None:
        """Write as a page for people."""
        write_atomically(path, self.markdown().encode())

    def table(self) -> str:
        """Columns of text."""
        rows = [_HEADER, *(_row(one) for one in self.measurements)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def markdown(self) -> str:
        """A page: what was measured where, and a table."""
        rows = [_HEADER, ("---",) * len(_HEADER), *(_row(one) for one in self.measurements)]
        return "\n".join(
            [
                "# Performance",
                "",
                "Made by `facerot bench`. The median of the runs, its interquartile range, and the",
                "median in terms of what is named beside it, measured in the same process: below 1",
                "is faster or smaller than that.",
                "",
                *(f"- {key}: {value}" for key, value in self.about.items()),
                "",
                *(f"| {' | '.join(row)} |" for row in rows),
                "",
            ]
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


def _row(one: Measurement) -> tuple[str, ...]:
    ratios = ", ".join(f"{ratio:.3g} x {name}" for name, ratio in one.ratios.items())
    runs = str(len(one.values))
    return one.name, str(one.threads), runs, *_amounts(one), ratios


def _amounts(one: Measurement) -> tuple[str, str]:
    if one.unit == MEBIBYTES:
        return f"{one.median:.0f} MiB", f"{one.spread:.0f} MiB"
    return f"{1e3 * one.median:.4g} ms", f"{1e3 * one.spread:.2g} ms"


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
    names: list[Any] = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return str(names[0]).strip() if names else platform.machine()
