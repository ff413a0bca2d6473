"""What a run of the benchmark, or of a part of it, has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opendr_facerot.benchmark.measurement import Measurement
from opendr_facerot.benchmark.profile import Profile, ProfileRow


@dataclass(frozen=True)
class Results:
    """Figures and profiles, in the order in which they were made."""

    measurements: list[Measurement] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Results:
        """What ``dataclasses.asdict`` has made of results, perhaps by way of JSON.

        Raises:
            KeyError: Something is missing.
            TypeError: Something is there that results have not.
        """
        return cls(
            [
                Measurement(**{**row, "values": tuple(row["values"])})
                for row in content["measurements"]
            ],
            [
                Profile(one["title"], [ProfileRow(**row) for row in one["rows"]])
                for one in content["profiles"]
            ],
        )

    def add(self, others: Results) -> None:
        """Append other results."""
        self.measurements.extend(others.measurements)
        self.profiles.extend(others.profiles)
