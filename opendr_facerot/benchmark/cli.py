"""The subcommand ``facerot bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from opendr_facerot.benchmark.comparison import regressions
from opendr_facerot.benchmark.page import write_page
from opendr_facerot.benchmark.report import Report, about_this_run
from opendr_facerot.benchmark.results import Results
from opendr_facerot.benchmark.startup import startup
from opendr_facerot.benchmark.worker import run_scenario
from opendr_facerot.cli_options import add_report_arguments, command_line
from opendr_facerot.errors import FacerotError, SettingsError
from opendr_facerot.imaging import read_image
from opendr_facerot.threads import thread_count

_MACHINE, _STARTUP, _NODE, _PROFILES = "machine", "startup", "node", "profiles"
_NEEDED = {
    _MACHINE: None,
    "head": None,
    "rasterizer": None,
    _STARTUP: None,
    _NODE: "opendr_facerot_interfaces",
    "generator": "torch",
    "rotate_and_render": "torch",
    _PROFILES: None,
}
"""The parts, and the package beside this one's own dependencies that each takes."""

_RUNS = 20
_QUOTED = ("only", "threads", "runs", "json", "markdown")


def add_bench_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot bench``; ``options.run(options)`` then runs it."""
    parser.description = (
        "Measure speed and memory on a photo of a face, in some 10 minutes. Each figure is also a "
        "ratio to a baseline measured beside it; only ratios are compared."
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="photo of a face")
    parser.add_argument(
        "--only", nargs="+", choices=_NEEDED, metavar="PART",
        help=f"of {', '.join(_NEEDED)} (default: all that can run here)",
    )  # fmt: skip
    cores = list(range(1, min(2, thread_count()) + 1))
    parser.add_argument(
        "--threads", nargs="+", type=int, default=cores, metavar="N",
        help=f"numbers of cores to use in turn (default: {' '.join(map(str, cores))})",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=int, default=_RUNS, metavar="N",
        help=f"of each figure, after one that is not counted (default: {_RUNS})",
    )  # fmt: skip
    add_report_arguments(parser)
    parser.add_argument(
        "--compare", type=Path, metavar="FILE",
        help="an earlier report; exit with 1 if a ratio has become worse",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, default=0.25, metavar="SHARE",
        help="by which a ratio may grow over the earlier one (default: 0.25)",
    )  # fmt: skip
    defaults = {name: parser.get_default(name) for name in _QUOTED}
    parser.set_defaults(run=_bench, defaults=defaults)


def _bench(options: argparse.Namespace) -> int:
    earlier = Report.read(options.compare) if options.compare else None
    _check(options)
    results, failed = Results(), False
    for run in _parts(options):
        try:
            some = run()
        except FacerotError as error:  # what the other parts have measured is kept
            sys.stderr.write(f"facerot: {error}\n")
            failed = True
            continue
        results.add(some)
        for one in some.measurements:
            sys.stderr.write(f"{one.name}, {one.threads} threads\n")
    command = command_line("bench", [options.photo], options, options.defaults)
    report = Report(about_this_run(command), results)
    sys.stdout.write(f"{report.table()}\n")
    if options.json:
        report.write(options.json)
    if options.markdown:
        write_page(report, options.markdown)
    if earlier is None:
        return 1 if failed else 0
    worse = regressions(earlier.measurements, report.measurements, options.tolerance)
    for line in worse:
        sys.stdout.write(f"worse: {line}\n")
    return 1 if worse or failed else 0


def _check(options: argparse.Namespace) -> None:
    read_image(options.photo)
    if wrong := [n for n in options.threads if not 1 <= n <= thread_count()]:
        raise SettingsError(f"--threads is {wrong[0]}: give 1 to {thread_count()}")
    if options.runs < 1:
        raise SettingsError(f"--runs is {options.runs}: give 1 or more")
    if options.tolerance < 0.0:
        raise SettingsError(f"--tolerance is {options.tolerance}: give 0 or more")
    for part in options.only or ():
        if not _can_run(part):
            raise SettingsError(f"--only {part} needs {_NEEDED[part]}, which is not installed")


def _parts(options: argparse.Namespace) -> Iterator[Callable[[], Results]]:
    """What measures each part, in turn."""
    photo, runs, most = options.photo, options.runs, max(options.threads)
    for part in options.only or filter(_can_run, _NEEDED):
        if part == _STARTUP:
            yield partial(_startup, photo, runs)
            continue
        # A node is what it is on all the cores; a profile sees a single thread.
        for threads in {_NODE: [most], _PROFILES: [1]}.get(part, options.threads):
            yield partial(run_scenario, part, photo, threads, runs)


def _startup(photo: Path, runs: int) -> Results:
    return Results(list(startup(photo, thread_count(), runs, with_node=_can_run(_NODE))))


def _can_run(part: str) -> bool:
    package = _NEEDED[part]
    if package is None:
        return True
    found = find_spec(package)
    # A folder of that name in the working directory, as in this project's own, has no origin.
    return found is not None and found.origin is not None
