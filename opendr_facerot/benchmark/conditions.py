"""Under which conditions a scenario runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opendr_facerot.benchmark.measurement import (
    MEBIBYTES,
    SECONDS,
    Measurement,
    measurement,
)
from opendr_facerot.benchmark.memory import peak_memory


@dataclass(frozen=True)
class Conditions:
    """What the scenarios have in common.

    Attributes:
        photo: Photo of a face.
        threads: Cores that this process may use.
        runs: Of each figure, after a first one that is not counted.
        numpy_memory: MiB that this process has used when it had imported NumPy and nothing else.
    """

    photo: Path
    threads: int
    runs: int
    numpy_memory: float

    def measured(
        self,
        name: str,
        values: Sequence[float],
        baselines: Mapping[str, float],
        unit: str = SECONDS,
    ) -> Measurement:
        """A measurement under these conditions."""
        return measurement(name, self.threads, values, baselines, unit)

    def peak_memory(self, name: str) -> Measurement:
        """Most memory that this process has used up to now."""
        over = {"importing NumPy": self.numpy_memory}
        return self.measured(name, [peak_memory()], over, MEBIBYTES)
