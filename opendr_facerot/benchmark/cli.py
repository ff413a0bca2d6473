"""The subcommand ``facerot bench``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from opendr_facerot.benchmark.comparison import regressions
from opendr_facerot.benchmark.measurement import Measurement
from opendr_facerot.benchmark.report import Report, about_this_run
from opendr_facerot.benchmark.startup import startup
from opendr_facerot.benchmark.worker import run_scenario
from opendr_facerot.cli_options import add_report_arguments, command_line
from opendr_facerot.errors import SettingsError
from opendr_facerot.imaging import read_image
from opendr_facerot.threads import thread_count

_STARTUP = "startup"
_WITHOUT_TORCH = ("head", "rasterizer", _STARTUP)
_PARTS = (*_WITHOUT_TORCH, "generator", "rotate_and_render")
_QUOTED = ("only", "threads", "quick", "json", "markdown")
_RUNS, _SLOW_RUNS = 20, 5
_QUICK_RUNS, _QUICK_SLOW_RUNS = 3, 2


def add_bench_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot bench``; ``options.run(options)`` then runs it."""
    parser.description = (
        "Measure speed and memory on a photo of a face. Each figure is also a ratio to a baseline "
        "measured beside it; only ratios are compared."
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="photo of a face")
    parser.add_argument(
        "--only", nargs="+", choices=_PARTS, metavar="PART",
        help=f"of {', '.join(_PARTS)} (default: all that can run here)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", nargs="+", type=int, default=(1, 2), metavar="N",
        help="numbers of cores to use in turn (default: 1 2)",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help=f"{_QUICK_RUNS} runs of each figure instead of {_RUNS}, of slow ones "
        f"{_QUICK_SLOW_RUNS} instead of {_SLOW_RUNS}",
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
    read_image(options.photo)
    if wrong := [n for n in options.threads if not 1 <= n <= thread_count()]:
        raise SettingsError(f"--threads is {wrong[0]}: give 1 to {thread_count()}")
    if options.tolerance < 0.0:
        raise SettingsError(f"--tolerance is {options.tolerance}: give 0 or more")
    measurements = []
    for one in _measurements(options):
        measurements.append(one)
        sys.stderr.write(f"{one.name}, {one.threads} threads\n")
    report = Report(about_this_run(_command(options)), measurements)
    sys.stdout.write(f"{report.table()}\n")
    if options.json:
        report.write(options.json)
    if options.markdown:
        report.write_markdown(options.markdown)
    if earlier is None:
        return 0
    worse = regressions(earlier.measurements, measurements, options.tolerance)
    for line in worse:
        sys.stdout.write(f"worse: {line}\n")
    return 1 if worse else 0


def _command(options: argparse.Namespace) -> str:
    return command_line("bench", [options.photo], options, options.defaults)


def _measurements(options: argparse.Namespace) -> Iterator[Measurement]:
    runs, slow = (_QUICK_RUNS, _QUICK_SLOW_RUNS) if options.quick else (_RUNS, _SLOW_RUNS)
    parts = options.only or (_PARTS if find_spec("torch") else _WITHOUT_TORCH)
    for part in parts:
        if part == _STARTUP:
            yield from startup(options.photo, thread_count(), runs)
            continue
        for threads in options.threads:
            yield from run_scenario(part, options.photo, threads, runs, slow)
