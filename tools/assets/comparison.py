"""Whether a rebuilt file says the same as the one that is shipped.

Every function returns what differs, or None. Compressed archives may differ in bytes between
versions of zlib, and what is computed in floating point between processors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.npz import read_npz

Built = Mapping[str, bytes]
"""Files by name."""


def same_bytes(rebuilt: bytes, shipped: bytes, built: Built) -> str | None:
    """Nothing may differ."""
    return None if rebuilt == shipped else "the files differ"


class SameArrays:
    """The arrays of ``.npz`` files are equal, up to a tolerance where one is given.

    Args:
        largest: Largest absolute difference of an array's elements, by name.
        mean: Their largest mean difference, by name, where single elements may jump.
    """

    def __init__(
        self, largest: Mapping[str, float] | None = None, mean: Mapping[str, float] | None = None
    ) -> None:
        self._largest = dict(largest or {})
        self._mean = dict(mean or {})

    def __call__(self, rebuilt: bytes, shipped: bytes, built: Built) -> str | None:
        new, old = read_npz(rebuilt), read_npz(shipped)
        if new.keys() != old.keys():
            return f"arrays {sorted(new)} instead of {sorted(old)}"
        for name in new:
            if new[name].dtype != old[name].dtype or new[name].shape != old[name].shape:
                return f"{name} is {new[name].dtype} {new[name].shape}"
            if name not in self._largest and name not in self._mean:
                if not np.array_equal(new[name], old[name]):
                    return f"{name} differs"
                continue
            difference = np.abs(new[name].astype(np.float64) - old[name].astype(np.float64))
            if difference.max() > self._largest.get(name, np.inf):
                return f"{name} differs by up to {difference.max():.2g}"
            if difference.mean() > self._mean.get(name, np.inf):
                return f"{name} differs by {difference.mean():.2g} on average"
        return None


class SameLandmarks:
    """The landmarks lie at the same places of the head, whatever triangle says so.

    Args:
        largest: Largest distance of two places, centimetres.
    """

    def __init__(self, largest: float) -> None:
        self._largest = largest

    def __call__(self, rebuilt: bytes, shipped: bytes, built: Built) -> str | None:
        vertices = read_npz(built["makehuman_head.npz"])["v"]
        new, old = (_places(read_npz(data), vertices) for data in (rebuilt, shipped))
        distance = np.linalg.norm(new - old, axis=1)
        if distance.max() > self._largest:
            return f"points differ by up to {distance.max():.2g} cm"
        return None


def _places(landmarks: Mapping[str, NDArray[Any]], vertices: NDArray[Any]) -> NDArray[Any]:
    return (vertices[landmarks["i"]] * landmarks["b"][..., None]).sum(1)
