"""What the code of Rotate-and-Render and OpenDR takes, beside this package's figures.

The costs were measured on the original code, on a machine of the same kind as the reports in
``docs`` come from: two cores, no graphics card. They are constants here: that code is not part of
this package, and its renderer needs an old PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opendr_facerot.benchmark import names
from opendr_facerot.benchmark.measurement import Measurement, on_most_cores


@dataclass(frozen=True)
class OriginalCost:
    """One cost of the original code.

    Attributes:
        what: What takes it.
        seconds: How long; of a range its lower end.
        words: The same in words.
        ours: Name of the measurement of the same work in this package.
    """

    what: str
    seconds: float
    words: str
    ours: str


COSTS = (
    OriginalCost(
        "rasterising a view of 105840 triangles, every triangle against every pixel",
        42.0, "42 to 59 s", names.MESH,
    ),
    OriginalCost("the same with tile binning", 0.171, "171 ms", names.MESH),
    OriginalCost("the triangles' colours", 0.012, "12 ms", names.MESH_COLOURS),
    OriginalCost("two pictures and the erosion, per view", 0.356, "356 ms", names.MESH_VIEW),
    OriginalCost("a view's label", 0.016, "16 ms", names.LABEL),
    OriginalCost("the generator, per view", 0.82, "0.82 s", names.FAST),
    OriginalCost("a photo to nine views", 10.7, "10.7 s", names.NINE_GENERATED),
)  # fmt: skip


def compared(measurements: Sequence[Measurement]) -> Iterator[tuple[OriginalCost, Measurement]]:
    """Each cost with this package's figure on the most cores, where it was measured."""
    figures = on_most_cores(measurements)
    for cost in COSTS:
        if cost.ours in figures:
            yield cost, figures[cost.ours]
