"""Where the time goes: functions by their own time."""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_TOP = 12
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class ProfileRow:
    """One function.

    Attributes:
        function: File and name.
        calls: In one repetition, on average.
        seconds: Of its own in one repetition, without those of the functions that it calls.
        share: Of all seconds.
    """

    function: str
    calls: float
    seconds: float
    share: float


@dataclass(frozen=True)
class Profile:
    """The functions that take most of something.

    Attributes:
        title: What was done.
        rows: Most seconds first.
    """

    title: str
    rows: Sequence[ProfileRow]


def profile(title: str, run: Callable[[], object], runs: int) -> Profile:
    """Profile ``runs`` calls, after one that is not counted.

    Compiled kernels count for the function that calls them; other threads do not count.
    """
    run()
    profiler = cProfile.Profile()
    for _ in range(runs):
        profiler.runcall(run)
    entries: list[Any] = profiler.getstats()
    entries.sort(key=lambda entry: -entry.inlinetime)
    whole = sum(entry.inlinetime for entry in entries)
    rows = [
        ProfileRow(
            _words(entry.code),
            entry.callcount / runs,
            entry.inlinetime / runs,
            entry.inlinetime / whole,
        )
        for entry in entries[:_TOP]
    ]
    return Profile(title, rows)


def _words(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code.strip("<>")
    path = Path(code.co_filename)
    known = path.is_relative_to(_PACKAGE)
    place = path.relative_to(_PACKAGE) if known else Path(*path.parts[-2:])
    return f"{place}: {code.co_name}"
