"""How far from a triangle's box the rasteriser's edge tests can pass.

A centre outside a triangle can pass the float32 edge tests by rounding, farther out the thinner the
triangle is. With u = 2^-24, the sign of an edge function is wrong only where its value is below
6 u D L, D being the distance from the edge's start and L the triangle's longest side. So such a
centre lies within 36 u L^3 / A of the triangle's box, as long as A, twice the area, is above
54 u L^2; below that, the whole image has to be tested. The constants leave some room.
"""

from __future__ import annotations

from typing import NamedTuple

_UNIT_ROUNDOFF = 2.0**-24


class PixelBounds(NamedTuple):
    """Constants of the bound; a tuple, which Numba's kernels take as an argument.

    Kernels must not read them as globals: Numba's cache does not notice that another file changed.

    Attributes:
        margin: The box grows by ``margin * L**3 / A`` on each side.
        thin: A triangle has no useful box where ``A < thin * L**2``.
        min_side: Nor where L is smaller than this,
        max_side: or larger: products of sides may leave float32's range.
        slack: Pixels; covers the rounding of the pixel centres.
    """

    margin: float = 40.0 * _UNIT_ROUNDOFF
    thin: float = 64.0 * _UNIT_ROUNDOFF
    min_side: float = 1e-12
    max_side: float = 1e15
    slack: float = 1e-3


BOUNDS = PixelBounds()
