"""Whether a newer report is worse than an older one, in ratios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opendr_facerot.benchmark.measurement import Measurement


def regressions(
    old: Sequence[Measurement], new: Sequence[Measurement], tolerance: float
) -> list[str]:
    """What has become worse, in words, an empty list if nothing has.

    A ratio of the old report that the new one lacks counts, too: it might hide a regression.

    Args:
        old: Earlier measurements.
        new: Later measurements, of the same kind.
        tolerance: Share by which a ratio may grow, e.g. 0.25; noise is below it.
    """
    later = dict(_ratios(new))
    found = []
    for what, before in _ratios(old):
        after = later.get(what)
        if after is None:
            found.append(f"{_words(what)}: not measured any more")
        elif after > before * (1.0 + tolerance):
            found.append(f"{_words(what)}: {before:.3g} before, now {after:.3g}")
    return found


def _ratios(
    measurements: Sequence[Measurement],
) -> Iterator[tuple[tuple[str, int, str], float]]:
    for one in measurements:
        for baseline, ratio in one.ratios.items():
            yield (one.name, one.threads, baseline), ratio


def _words(what: tuple[str, int, str]) -> str:
    name, threads, baseline = what
    return f"{name}, {threads} threads, over {baseline}"
