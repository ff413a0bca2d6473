"""Each part of the look that the ablation switches off makes a difference."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import cast
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import ablate_head
from benchmarks.ablate_head import ALL_PARTS, PARTS, costs
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.rotator import FaceRotator
from opendr_facerot.views import View

VIEWS = [View(math.radians(yaw), 0.0) for yaw in (-60.0, 45.0)]


def views_without(part: str, rotator: HeadRotator, photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    with PARTS[part]():
        face = rotator.fit(photo)[0]
    return np.array([view.image for view in rotator.render(face, VIEWS)], np.float64)


@pytest.mark.slow
def test_every_part_switched_off_changes_the_views(
    rotator: HeadRotator, astronaut: NDArray[np.uint8]
) -> None:
    whole = views_without(ALL_PARTS, rotator, astronaut)
    for part in PARTS:
        difference = np.abs(views_without(part, rotator, astronaut) - whole).mean()
        if part == ALL_PARTS:
            assert difference == 0.0
        else:
            assert difference > 0.01, part


class Sleeper:
    """A rotator whose fit and views take a time that a part of it can be switched off from."""

    seconds = 0.03

    def fit(self, image: NDArray[np.uint8]) -> list[None]:
        time.sleep(0.01 + self.seconds)
        return [None]

    def render(self, face: None, views: Sequence[View]) -> Iterator[None]:
        for _ in views:
            time.sleep(0.001 + 0.1 * self.seconds)
            yield


def test_costs_are_told_apart(
    astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {"sleep": lambda: mock.patch.object(Sleeper, "seconds", 0.0)}
    monkeypatch.setattr(ablate_head, "PARTS", {ALL_PARTS: nullcontext, **part})
    found = costs(cast(FaceRotator, Sleeper()), astronaut, rounds=3)
    assert found.keys() == {ALL_PARTS, "sleep"}
    photo = statistics.median(one.photo for one in found["sleep"])
    view = statistics.median(one.view for one in found["sleep"])
    assert photo == pytest.approx(30.0, abs=15.0)
    assert view == pytest.approx(3.0, abs=2.0)
    assert statistics.median(one.photo for one in found[ALL_PARTS]) > 35.0
