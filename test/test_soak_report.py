from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.soak_report import Measurements, Usage, growth, judge, summarize

MEBIBYTE = 2.0**20


def run() -> Measurements:
    """Five minutes in which everything went well: 10 Hz out of 30 Hz."""
    times = np.arange(300.0)
    usage = Usage(
        times=times.tolist(),
        resident=[int(500 * MEBIBYTE)] * 300,
        anonymous=[int(400 * MEBIBYTE)] * 300,
        shared=[int(30 * MEBIBYTE)] * 300,
        cpu=(0.5 * times).tolist(),
    )
    stamps = (np.arange(3000) * 100_000_000).tolist()
    counts = {"received": 8990, "unwanted": 10, "processed": 3000, "rejected": 0, "failed": 0}
    counts |= {"dropped": 5990, "pending": 0, "without a face": 0}
    return Measurements(
        seconds=300.0,
        usage={"node": usage, "camera": usage},
        counts=[counts],
        camera={"published": 9100, "seconds": 300.0, "slowest_publish_ms": 3.0},
        stamps=stamps,
        arrivals=[stamp + 130_000_000 for stamp in stamps],
        faces=[2] * 3000,
        service_seconds=[0.1] * 60,
        exit_status=0,
    )


def failures(measured: Measurements) -> list[str]:
    return [c.name for c in judge(summarize(measured)) if not c.passed]


def test_figures_of_a_good_run() -> None:
    summary = summarize(run())
    assert failures(run()) == []
    assert summary["transport_lost"] == 100
    assert summary["output"]["rate_hz"] == pytest.approx(10.0)
    assert summary["output"]["age_periods"]["p99"] == pytest.approx(1.3)
    assert summary["node"]["cpu_cores"] == pytest.approx(0.5)


def crash(measured: Measurements) -> None:
    measured.exit_status = -11


def end_early(measured: Measurements) -> None:
    measured.ended_early = True


def grow_late(measured: Measurements) -> None:
    measured.usage["node"].resident[-100:] = [int(506 * MEBIBYTE)] * 100


def grow_slowly(measured: Measurements) -> None:
    usage = measured.usage["node"]
    usage.resident = [int((500 + 0.025 * t) * MEBIBYTE) for t in usage.times]


def hold_up_some(measured: Measurements) -> None:
    for index in range(0, 3000, 50):
        measured.arrivals[index] += 80_000_000


def lose_a_frame_within(measured: Measurements) -> None:
    measured.counts[-1]["dropped"] -= 1


def count_one_twice(measured: Measurements) -> None:
    measured.counts.insert(0, {**measured.counts[-1], "received": 8989})


def reject_one(measured: Measurements) -> None:
    measured.counts[-1]["rejected"] += 1
    measured.counts[-1]["dropped"] -= 1


def refuse_a_call(measured: Measurements) -> None:
    measured.service_failures.append("busy")


def never_answer(measured: Measurements) -> None:
    measured.service_seconds.clear()


def publish_nothing(measured: Measurements) -> None:
    for series in (measured.stamps, measured.arrivals, measured.faces):
        series.clear()


@pytest.mark.parametrize(
    ("spoil", "failing"),
    [
        (crash, ["crashes"]),
        (end_early, ["crashes"]),
        (grow_late, ["memory, last window over first"]),
        (grow_slowly, ["memory, slope over the run"]),
        (hold_up_some, ["age of output, p99"]),
        (
            lose_a_frame_within,
            ["received - processed - rejected - failed - dropped, after the last frame"],
        ),
        (count_one_twice, ["the same in each report"]),
        (reject_one, ["frames unusable or failed"]),
        (refuse_a_call, ["service calls not answered well"]),
        (never_answer, ["service calls not answered well"]),
        (publish_nothing, ["age of output, p99"]),
    ],
)
def test_each_defect_fails_its_criterion(
    spoil: Callable[[Measurements], None], failing: list[str]
) -> None:
    measured = run()
    spoil(measured)
    assert failures(measured) == failing


def test_growth_leaves_out_the_warm_up() -> None:
    times = np.arange(600.0)
    values = np.where(times < 55.0, 100.0, 500.0)
    assert growth(times.tolist(), values.tolist())["of_medians"] == 0.0
    assert growth(times.tolist(), values.tolist())["of_slope"] == pytest.approx(0.0)


def test_growth_of_a_line() -> None:
    times = np.arange(601.0)
    found = growth(times.tolist(), (1000.0 + times).tolist())
    assert found["first"] == pytest.approx(1089.5)
    assert found["last"] == pytest.approx(1570.5)
    assert found["of_slope"] == pytest.approx(540.0 / 1089.5)
