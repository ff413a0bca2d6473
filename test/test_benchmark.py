"""The benchmark: its statistics, reports and comparison, and a short run of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.comparison import regressions
from opendr_facerot.benchmark.conditions import Conditions
from opendr_facerot.benchmark.measurement import (
    MEBIBYTES,
    SHARE,
    Measurement,
    StageTimes,
    durations,
    measurement,
    on_most_cores,
)
from opendr_facerot.benchmark.memory import peak_memory
from opendr_facerot.benchmark.original import COSTS, compared
from opendr_facerot.benchmark.page import write_page
from opendr_facerot.benchmark.profile import Profile, ProfileRow, profile
from opendr_facerot.benchmark.report import Report, about_this_run, number
from opendr_facerot.benchmark.results import Results
from opendr_facerot.benchmark.scenes import (
    NINE_VIEWS,
    VIEW_SERIES,
    ellipsoid,
    face_mesh,
    square_photo,
)
from opendr_facerot.benchmark.startup import startup
from opendr_facerot.benchmark.targets import outcomes
from opendr_facerot.cli import main
from opendr_facerot.errors import SettingsError
from opendr_facerot.render.rasterize import rasterize

PHOTO = Path(__file__).parent / "data" / "astronaut.png"

VIEW = measurement("head, view", 2, [0.004, 0.002, 0.003, 0.010], {"copy": 0.001, "naive": 0.35})
MEMORY = measurement("head, peak", 1, [300.0], {"numpy": 30.0}, MEBIBYTES)
OFF = measurement("generator, off", 1, [0.00123], {"allowed": 0.005}, SHARE)
PROFILE = Profile("A fit", [ProfileRow("render/cpu.py: fill", 9.5, 0.0123, 0.25)])
REPORT = Report(
    {"command": "facerot bench me.jpg", "processor": "any"},
    Results([VIEW, MEMORY, OFF], [PROFILE]),
)


def test_statistics() -> None:
    assert VIEW.median == pytest.approx(0.0035)
    # Quartiles of 2, 3, 4 and 10 ms: 2.75 and 5.5 ms.
    assert VIEW.spread == pytest.approx(0.00275)
    assert VIEW.ratios == pytest.approx({"copy": 3.5, "naive": 0.01})
    assert (MEMORY.median, MEMORY.spread) == (300.0, 0.0)


def test_quartiles_are_numpys() -> None:
    values = np.random.default_rng(0).random(21)
    first, third = np.percentile(values, [25, 75])
    assert measurement("x", 1, list(values), {}).spread == pytest.approx(third - first)


def test_durations_leave_out_the_warm_up() -> None:
    calls: list[int] = []
    assert len(durations(lambda: calls.append(1), runs=3, warm_up=2)) == 3
    assert len(calls) == 5


def scaled(one: Measurement, factor: float) -> Measurement:
    return replace(one, ratios={name: factor * ratio for name, ratio in one.ratios.items()})


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ([VIEW, MEMORY], []),
        ([scaled(VIEW, 1.24), scaled(MEMORY, 0.5)], []),
        (
            [scaled(VIEW, 1.26), MEMORY],
            [
                "head, view, 2 threads, over copy: 3.5 before, now 4.41",
                "head, view, 2 threads, over naive: 0.01 before, now 0.0126",
            ],
        ),
        ([VIEW], ["head, peak, 1 threads, over numpy: not measured any more"]),
        # Seconds do not count: another machine, twice as slow in everything.
        ([replace(VIEW, values=tuple(2 * v for v in VIEW.values)), MEMORY], []),
        ([VIEW, MEMORY, replace(VIEW, name="new")], []),
    ],
)
def test_regressions(new: Sequence[Measurement], expected: list[str]) -> None:
    assert regressions([VIEW, MEMORY], new, tolerance=0.25) == expected


def test_report_survives_json(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "report.json")
    assert Report.read(tmp_path / "report.json") == REPORT
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "about": {}, "measurements": [{}]}']
)
def test_files_that_are_no_reports(content: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="not a report of facerot bench"):
        Report.read(path)
    with pytest.raises(SettingsError, match="not a report of facerot bench"):
        Report.read(tmp_path / "missing.json")


def test_table() -> None:
    assert REPORT.table().splitlines() == [
        "what            threads  runs  median   spread   ratio",
        "head, view      2        4     3.5 ms   2.75 ms  3.5 x copy, 0.01 x naive",
        "head, peak      1        1     300 MiB  0 MiB    10 x numpy",
        "generator, off  1        1     0.12 %   0 %      0.246 x allowed",
    ]


def test_page(tmp_path: Path) -> None:
    fast = measurement(names.FAST, 2, [0.1], {names.PRODUCTS: 0.08, "as trained": 0.8})
    report = Report(REPORT.about, Results([VIEW, MEMORY, fast], [PROFILE]))
    write_page(report, tmp_path / "performance.md")
    lines = (tmp_path / "performance.md").read_text().splitlines()
    assert lines[0] == "# Performance"
    assert "- command: facerot bench me.jpg" in lines
    head, generator = lines.index("## Part `head`"), lines.index("## Part `generator`")
    assert head < lines.index("| view | 2 | 4 | 3.5 ms | 2.75 ms | 3.5 x copy, 0.01 x naive |")
    assert lines.index("| peak | 1 | 1 | 300 MiB | 0 MiB | 10 x numpy |") < generator
    as_trained = "generator, times as fast as in float32 as trained"
    assert f"| {as_trained} | ≥ 2.5 x | 8 x | met |" in lines
    assert "| facerot rotate on one photo | ≤ 2.5 s | not measured |  |" in lines
    assert "| the generator, per view | 0.82 s | 100 ms | 8.2 |" in lines
    left = lines.index("### A fit")
    assert left < lines.index("| `render/cpu.py: fill` | 9.5 | 12.3 ms | 25.0% |")


@pytest.mark.parametrize(
    ("name", "one", "figure", "is_met"),
    [
        ("fit of a", measurement(names.FIT, 2, [0.1501], {}), 150.1, False),
        ("a further view", measurement(names.VIEW, 2, [0.004], {}), 4.0, True),
        ("a view of 1024", measurement(names.LARGE_VIEW, 2, [6], {names.SINGLE_VIEW: 1}), 6, True),
        # 100 MiB are 104.86 MB.
        (
            "peak memory of facerot",
            measurement(names.ROTATE_MEMORY, 2, [430.0], {}, MEBIBYTES),
            450.888,
            False,
        ),
        ("node, nine", measurement(names.NODE_PERIOD, 2, [0.05, 0.05, 0.14], {}), 12.5, True),
        (
            "generator, share",
            measurement(names.FAST, 2, [0.2], {names.PRODUCTS: 0.1}),
            50.0,
            False,
        ),
        ("generator, pixels", measurement(names.INEXACT, 2, [0.004], {}, SHARE), 99.6, True),
    ],
)
def test_targets(name: str, one: Measurement, figure: float, is_met: bool) -> None:
    fewer_cores = replace(one, threads=1, values=(1e9,), ratios={})
    found = {o.target.what: o for o in outcomes([one, fewer_cores]) if o.figure is not None}
    (outcome,) = (o for what, o in found.items() if what.startswith(name))
    assert outcome.figure == pytest.approx(figure)
    assert outcome.target.is_met(figure) is is_met


def test_age_is_judged_in_periods() -> None:
    period = measurement(names.NODE_PERIOD, 2, [0.1] * 100, {})
    ages = measurement(names.NODE_AGE, 2, [0.05] * 98 + [0.25] * 3, {})
    figures = {o.target.what: o.figure for o in outcomes([period, ages])}
    assert figures["age of these at the 99th percentile, over their period"] == pytest.approx(2.5)


def test_figures_on_most_cores() -> None:
    one, two = (measurement("x", threads, [threads], {}) for threads in (1, 2))
    assert on_most_cores([two, one, MEMORY]) == {"x": two, MEMORY.name: MEMORY}


def test_stage_times_add_up() -> None:
    stages = StageTimes()
    stages.add({"detect": 1.0, "fit": 2.0})
    stages.add({"detect": 3.0})
    assert stages.seconds == {"detect": [1.0, 3.0], "fit": [2.0]}


def spin() -> float:
    return sum(k**0.5 for k in range(100_000))


def test_profile_names_what_takes_the_time() -> None:
    found = profile("Spinning", spin, runs=3)
    assert found.title == "Spinning"
    first = found.rows[0]
    assert first.function == "test/test_benchmark.py: <genexpr>"
    assert first.calls == pytest.approx(100_001)
    assert first.share > 0.5
    assert sum(row.share for row in found.rows) == pytest.approx(1.0)
    assert all(a.seconds >= b.seconds for a, b in pairwise(found.rows))


def test_memory_of_another_process() -> None:
    program = "x = bytearray(50 << 20); del x; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 50 < peak_memory(process.pid) < 100
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (12.34, "12.3"), (11042.6, "11043"), (0.0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_pixels_that_are_off_are_counted_by_their_worst_colour() -> None:
    pytest.importorskip("torch")
    from opendr_facerot.benchmark.scenarios.generator import share_off

    exact = np.zeros((2, 3, 4, 4), np.float32)
    result = exact.copy()
    result[0, 1, 2, 3] = 2.1 / 127.5
    result[1, :, 0, 0] = -2.1 / 127.5
    result[1, 0, 1, 1] = 1.9 / 127.5
    assert share_off(result, exact) == 2 / 32


def test_report_says_where_it_was_made() -> None:
    about = about_this_run("facerot bench me.jpg")
    assert about["command"] == "facerot bench me.jpg"
    assert "cores" in about["processor"]
    assert f"numpy {np.__version__}" in about["versions"]


def test_ellipsoid_covers_its_share_of_the_image() -> None:
    vertices, faces = ellipsoid(24, 30)
    assert len(faces) == 2 * 30 * 23
    seen = rasterize(vertices, faces, 64, backend="cpu").face_index >= 0
    assert 0.45 < seen.mean() < 0.56  # half-axes 0.7 and 0.9 of half the side, without perspective


def test_scenes_are_what_their_names_say() -> None:
    assert len(face_mesh()[1]) == 105840
    assert [len(views) for views in VIEW_SERIES] == [1, 9, 37, 169]
    photo = np.zeros((300, 600, 3), np.uint8)
    photo[:, 300:] = 255
    square = square_photo(photo)
    assert square.shape == (512, 512, 3)
    assert (square[:, :250] == 0).all()
    assert (square[:, 262:] == 255).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "missing.png"),
        ([str(PHOTO), "--threads", "0"], "--threads is 0: give 1 to"),
        ([str(PHOTO), "--runs", "0"], "--runs is 0: give 1 or more"),
        ([str(PHOTO), "--tolerance", "-1"], "--tolerance is -1.0"),
        ([str(PHOTO), "--compare", str(PHOTO)], "not a report of facerot bench"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_short_run_and_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, page = tmp_path / "report.json", tmp_path / "page.md"
    command = ["bench", str(PHOTO), "--runs", "3", "--only", "rasterizer", "--threads", "1"]
    assert main([*command, "--json", str(path), "--markdown", str(page)]) == 0
    report = Report.read(path)
    small, *_, memory = report.measurements
    assert (small.threads, len(small.values), memory.unit) == (1, 3, MEBIBYTES)
    assert small.ratios["the naive rasteriser"] < 0.5
    assert memory.ratios["importing NumPy"] > 1.0
    assert report.about["command"] == (
        "facerot bench astronaut.png --only rasterizer --threads 1 --runs 3 "
        "--json report.json --markdown page.md"
    )
    assert f"| {small.name.removeprefix('rasterizer, ')} |" in page.read_text()
    assert small.name in capsys.readouterr().out

    faster = replace(small, ratios={"the naive rasteriser": 1e-9})
    Report(report.about, Results([faster])).write(path)
    assert main([*command, "--compare", str(path)]) == 1
    assert f"worse: {small.name}, 1 threads, over the naive" in capsys.readouterr().out


@pytest.mark.slow
def test_a_part_that_fails_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, path = tmp_path / "nobody.png", tmp_path / "report.json"
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(photo)
    parts = ["--only", "head", "machine", "--threads", "1", "--runs", "1"]
    assert main(["bench", str(photo), *parts, "--json", str(path)]) == 1
    assert "the scenario head failed" in capsys.readouterr().err
    assert all("head" not in one.name for one in Report.read(path).measurements)
    assert len(Report.read(path).measurements) > 3


@pytest.mark.slow
def test_every_target_and_every_cost_has_its_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from opendr_facerot.benchmark.scenarios import (
        generator,
        head,
        machine,
        profiles,
        rasterizer,
        rotate_and_render,
    )
    from opendr_facerot.weights.synthetic import synthetic_generator, write_synthetic

    # The real sizes take minutes.
    two_views = NINE_VIEWS[:2]
    monkeypatch.setattr(head, "NINE_VIEWS", two_views)
    monkeypatch.setattr(head, "VIEW_SERIES", (VIEW_SERIES[0], two_views))
    monkeypatch.setattr(
        generator, "synthetic_generator", lambda seed, ngf: synthetic_generator(seed, ngf // 32)
    )
    monkeypatch.setattr(
        rotate_and_render, "write_synthetic", lambda folder, ngf: write_synthetic(folder)
    )
    conditions = Conditions(PHOTO, threads=1, runs=1, numpy_memory=30.0)
    found = [
        one
        for part in (machine, head, rasterizer, generator, rotate_and_render)
        for one in part.scenario(conditions)
    ]
    found += startup(PHOTO, threads=1, runs=1, with_node=False)
    assert len({one.name for one in found}) == len(found)
    assert all(one.median > 0.0 for one in found if one.unit != SHARE)
    missing = [o.target.what for o in outcomes(found) if o.figure is None]
    node = ["node, nine views of", "age of these", "node ready"]
    assert all(what.startswith(start) for what, start in zip(missing, node, strict=True))
    assert len(list(compared(found))) == len(COSTS)
    write_page(Report({}, Results(found)), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text().count("## Part `") == 6
    titles = [one.title for one in profiles.scenario(conditions)]
    assert titles == ["A fit", "Nine views of 256 pixels", "A tracked frame"]


@pytest.mark.slow
def test_throughput_of_the_node(tmp_path: Path) -> None:
    pytest.importorskip("opendr_facerot_interfaces.msg", reason="ROS 2 is not installed")
    path = tmp_path / "report.json"
    command = ["bench", str(PHOTO), "--only", "node", "--runs", "3", "--json", str(path)]
    assert main(command) == 0
    figures = {one.name: one for one in Report.read(path).measurements}
    between = figures[names.NODE_PERIOD]
    assert len(figures[names.NODE_AGE].values) == len(between.values) + 1
    assert 1.0 < sum(between.values) < 3.5  # of the three seconds
    assert between.ratios["the camera's"] > 0.9
    assert figures[names.NODE_AGE].median > 0.0
    assert (
        0.0 < figures[names.NODE_WORK].ratios["the time between two"] < len(os.sched_getaffinity(0))
    )
