"""A report as a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from opendr_facerot.benchmark.measurement import Measurement
from opendr_facerot.benchmark.original import compared
from opendr_facerot.benchmark.profile import Profile
from opendr_facerot.benchmark.report import COLUMNS, Report, number, row
from opendr_facerot.benchmark.targets import Outcome, outcomes
from opendr_facerot.files import write_atomically

_INTRODUCTION = """\
# Performance

Made by `facerot bench`. Figures are medians of the runs, after one that is not counted, with their
interquartile range. Times depend on the machine and on what else it does; each is therefore also a
multiple of something that the same process measures, and `facerot bench --compare` compares these
multiples only: below 1 x is faster, or smaller, than what is named."""

_TARGETS = """\
## Targets

What this project wants to reach on two cores."""

_ORIGINAL = """\
## Against the original code

Costs of the code of Rotate-and-Render and OpenDR, measured on the original code on a machine of the
same kind: two cores, no graphics card. They are not measured again here, and this package's figures
beside them are of random weights of the published size and, in the last row, of a smaller mesh."""

_PROFILE = """\
## What is left

Functions by their own time, on one core. Compiled kernels count for the function that calls them,
other threads not at all; the profiler itself slows down what makes many calls."""

_PARTS = {
    "machine": "What the machine can do at all. A product of 2048 x 2048 matrices is 8.59 GMAC.",
    "head": "One face of the photo in a frame of 640x480 pixels. The stream sways; its frames are "
    "given as fast as they are done.",
    "rasterizer": "Ellipsoids; 105840 triangles are those of the Basel Face Model's face.",
    "startup": "Whole processes, from a warm disk.",
    "node": "Camera and subscriber are one process, the node another, on the same cores.",
    "generator": "Random weights at the published size, 65.28 GMAC a view.",
    "rotate_and_render": "The same generator in bfloat16 where the processor has it; the small "
    "network and mesh of synthetic weights.",
}


def write_page(report: Report, path: Path) -> None:
    """Write a report as a page for people.

    Raises:
        ImageError: It cannot be written.
    """
    write_atomically(path, ("\n\n".join(_sections(report)) + "\n").encode())


def _sections(report: Report) -> Iterator[str]:
    yield _INTRODUCTION
    yield "\n".join(f"- {key}: {value}" for key, value in report.about.items())
    yield _TARGETS
    found = map(_outcome_row, outcomes(report.measurements))
    yield _table(("what", "target", "measured", ""), found)
    if rows := [
        (cost.what, cost.words, _time(ours.median), number(cost.seconds / ours.median))
        for cost, ours in compared(report.measurements)
    ]:
        yield _ORIGINAL
        yield _table(("what", "original", "here", "times as fast"), rows)
    for part, measurements in _by_part(report.measurements).items():
        yield f"## Part `{part}`"
        yield _PARTS[part]
        yield _table(COLUMNS, (_without_part(row(one)) for one in measurements))
    if report.profiles:
        yield _PROFILE
        for profile in report.profiles:
            yield f"### {profile.title}"
            yield _table(("function", "calls", "own time", "share"), _profile_rows(profile))


def _by_part(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements by the first word of their names, in the order in which they were made."""
    parts: dict[str, list[Measurement]] = {}
    for one in measurements:
        parts.setdefault(one.name.partition(", ")[0], []).append(one)
    return parts


def _without_part(cells: Sequence[str]) -> Sequence[str]:
    return cells[0].partition(", ")[2], *cells[1:]


def _outcome_row(outcome: Outcome) -> Sequence[str]:
    target = outcome.target
    limit = f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}"
    if outcome.figure is None:
        return target.what, limit, "not measured", ""
    verdict = "met" if target.is_met(outcome.figure) else "missed"
    # To one digit more than elsewhere: 11.97 of 12 is not 12.
    return target.what, limit, f"{outcome.figure:.4g} {target.unit}", verdict


def _profile_rows(profile: Profile) -> Iterator[Sequence[str]]:
    for one in profile.rows:
        yield f"`{one.function}`", number(one.calls), _time(one.seconds), f"{one.share:.1%}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1.0 else f"{1e3 * seconds:.3g} ms"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
