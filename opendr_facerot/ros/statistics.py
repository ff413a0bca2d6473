"""Counters and latencies of the node."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

_WINDOW = 200  # samples: a few seconds of a camera


class Count(Enum):
    """What is counted. Each frame that is received ends as one of the next three or is dropped."""

    RECEIVED = "frames received"
    PROCESSED = "frames processed"
    REJECTED = "frames rejected"  # unusable images
    FAILED = "frames failed"  # the pipeline raised an unexpected error
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
class Snapshot:
    """The statistics at one moment.

    Attributes:
        counts: Since the node was started.
        timings: ``(N,)`` seconds of the latest frames, oldest first.
        stages: Seconds that each stage of the latest fit took.
        last_error: Text of the latest error; empty if there was none.
    """

    counts: Mapping[Count, int]
    timings: Mapping[Timing, NDArray[np.float64]]
    stages: Mapping[str, float]
    last_error: str


class Statistics:
    """Counters and latencies that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Count] = Counter()
        self._timings = {kind: deque[float](maxlen=_WINDOW) for kind in Timing}
        self._stages: Mapping[str, float] = {}
        self._last_error = ""

    def count(self, what: Count, number: int = 1) -> None:
        with self._lock:
            self._counts[what] += number

    def measure(self, what: Timing, seconds: float) -> None:
        with self._lock:
            self._timings[what].append(seconds)

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
                {kind: np.array(values, np.float64) for kind, values in self._timings.items()},
                self._stages,
                self._last_error,
            )
