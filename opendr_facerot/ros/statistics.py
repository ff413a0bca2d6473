"""Counters and latencies of the node."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

WINDOW = 200
"""Most durations of one kind that are kept, the latest ones: a few seconds of a camera."""


class Count(Enum):
    """What is counted. Each frame that is received ends as one of the next four."""

    RECEIVED = "frames received"
    PROCESSED = "frames processed"
    REJECTED = "frames rejected"  # unusable images
    FAILED = "frames failed"  # the pipeline raised an unexpected error
    DROPPED = "frames dropped"  # replaced by a newer one, or abandoned
    UNWANTED = "frames unwanted"  # nobody subscribes, or disabled: not counted as received
    NO_FACE = "frames without a face"
    AHEAD = "frames stamped ahead"  # of this machine's clock: their output has no age
    FACES = "faces"
    REQUESTS = "requests"
    REFUSED = "requests refused"  # too many at once


class Timing(Enum):
    """What is measured, in seconds."""

    LATENCY = "latency"  # from taking a frame up to publishing its last face
    AGE = "output age"  # from a frame's stamp to publishing its last face


@dataclass(frozen=True)
class Summary:
    """Statistics of some durations, in seconds; all zero if there are none.

    Attributes:
        count: Number of durations.
        p50: Median; percentiles are interpolated linearly.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Summary:
        """The statistics of ``(N,)`` durations."""
        if not len(seconds):
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        p50, p90, p99 = np.percentile(seconds, (50, 90, 99)).tolist()
        return cls(len(seconds), float(seconds.mean()), p50, p90, p99, float(seconds.max()))


@dataclass(frozen=True)
class Snapshot:
    """The statistics at one moment.

    Attributes:
        counts: Since the node was started.
        measured: Durations of each kind that were measured since then.
        timings: ``(N,)`` seconds of the latest frames, oldest first.
        stages: Seconds that each stage of the latest fit took.
        last_error: Text of the latest error; empty if there was none.
        uptime: Seconds since the node was started.
    """

    counts: Mapping[Count, int]
    measured: Mapping[Timing, int]
    timings: Mapping[Timing, NDArray[np.float64]]
    stages: Mapping[str, float]
    last_error: str
    uptime: float

    @property
    def pending(self) -> int:
        """Frames that have been received and not ended yet: 0 to 3.

        One waits for its turn, one is being worked on, and one may have been abandoned during a
        step that has not come to its end.
        """
        ended = (Count.PROCESSED, Count.REJECTED, Count.FAILED, Count.DROPPED)
        return self.counts[Count.RECEIVED] - sum(self.counts[kind] for kind in ended)

    def since(self, earlier: Snapshot, what: Timing) -> NDArray[np.float64]:
        """``(N,)`` durations measured since an earlier snapshot, the latest of them at least."""
        values = self.timings[what]
        new = self.measured[what] - earlier.measured[what]
        return values[max(len(values) - new, 0) :]


class Statistics:
    """Counters and latencies that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._counts: Counter[Count] = Counter()
        self._measured: Counter[Timing] = Counter()
        self._timings = {kind: deque[float](maxlen=WINDOW) for kind in Timing}
        self._stages: Mapping[str, float] = {}
        self._last_error = ""

    def count(self, *what: Count) -> None:
        """Count one of each that is named; no snapshot has a part of them only."""
        with self._lock:
            self._counts.update(what)

    def measure(self, what: Timing, seconds: float) -> None:
        with self._lock:
            self._timings[what].append(seconds)
            self._measured[what] += 1

    def record_stages(self, seconds: Mapping[str, float]) -> None:
        with self._lock:
            self._stages = dict(seconds)

    def record_error(self, error: BaseException) -> None:
        with self._lock:
            self._last_error = f"{type(error).__name__}: {error}"

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                {kind: self._counts[kind] for kind in Count},
                {kind: self._measured[kind] for kind in Timing},
                {kind: np.array(values, np.float64) for kind, values in self._timings.items()},
                self._stages,
                self._last_error,
                time.monotonic() - self._started,
            )
