"""The benchmark: its statistics, reports and comparison, and a short run of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opendr_facerot.benchmark.comparison import regressions
from opendr_facerot.benchmark.measurement import (
    MEBIBYTES,
    Measurement,
    durations,
    measurement,
)
from opendr_facerot.benchmark.report import Report, about_this_run
from opendr_facerot.benchmark.scenarios import ellipsoid
from opendr_facerot.cli import main
from opendr_facerot.errors import SettingsError
from opendr_facerot.render.rasterize import rasterize

PHOTO = Path(__file__).parent / "data" / "astronaut.png"

VIEW = measurement("view", 2, [0.004, 0.002, 0.003, 0.010], {"copy": 0.001, "naive": 0.35})
MEMORY = measurement("peak", 1, [300.0], {"numpy": 30.0}, MEBIBYTES)
REPORT = Report({"command": "facerot bench me.jpg", "processor": "any"}, [VIEW, MEMORY])


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
                "view, 2 threads, over copy: 3.5 before, now 4.41",
                "view, 2 threads, over naive: 0.01 before, now 0.0126",
            ],
        ),
        ([VIEW], ["peak, 1 threads, over numpy: not measured any more"]),
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
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "about": {}, "measurements": [{}]}']
)
def test_files_that_are_no_reports(content: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="not a report of facerot bench"):
        Report.read(path)
    with pytest.raises(SettingsError, match="not a report of facerot bench"):
        Report.read(tmp_path / "missing.json")


def test_table_and_page(tmp_path: Path) -> None:
    assert REPORT.table().splitlines() == [
        "what  threads  runs  median   spread  ratio",
        "view  2        4     3.5 ms   2.7 ms  3.5 x copy, 0.01 x naive",
        "peak  1        1     300 MiB  0 MiB   10 x numpy",
    ]
    REPORT.write_markdown(tmp_path / "performance.md")
    lines = (tmp_path / "performance.md").read_text().splitlines()
    assert lines[0] == "# Performance"
    assert "- command: facerot bench me.jpg" in lines
    assert "| view | 2 | 4 | 3.5 ms | 2.7 ms | 3.5 x copy, 0.01 x naive |" in lines


def test_report_says_where_it_was_made() -> None:
    about = about_this_run("facerot bench me.jpg")
    assert about["command"] == "facerot bench me.jpg"
    assert "cores" in about["processor"]
    assert f"numpy {np.__version__}" in about["versions"]


def test_ellipsoid_covers_its_share_of_the_image() -> None:
    vertices, faces = ellipsoid(24)
    assert len(faces) == 2 * 24 * 23
    seen = rasterize(vertices, faces, 64, backend="cpu").face_index >= 0
    assert 0.45 < seen.mean() < 0.56  # half-axes 0.7 and 0.9 of half the side, without perspective


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "missing.png"),
        ([str(PHOTO), "--threads", "0"], "--threads is 0: give 1 to"),
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
    command = ["bench", str(PHOTO), "--quick", "--only", "rasterizer", "--threads", "1"]
    assert main([*command, "--json", str(path), "--markdown", str(page)]) == 0
    report = Report.read(path)
    small, large, memory = report.measurements
    assert (small.threads, len(small.values), memory.unit) == (1, 3, MEBIBYTES)
    assert small.ratios["the naive rasteriser"] < 0.5
    assert large.median > 0.0
    assert memory.ratios["importing NumPy"] > 1.0
    assert report.about["command"] == (
        "facerot bench astronaut.png --only rasterizer --threads 1 --quick "
        "--json report.json --markdown page.md"
    )
    assert f"| {small.name} |" in page.read_text()
    assert small.name in capsys.readouterr().out

    faster = replace(small, ratios={"the naive rasteriser": 1e-9})
    Report(report.about, [faster]).write(path)
    assert main([*command, "--compare", str(path)]) == 1
    assert f"worse: {small.name}, 1 threads, over the naive" in capsys.readouterr().out
