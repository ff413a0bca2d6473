"""How far from a triangle's box the rasteriser's edge tests can pass.

A centre outside a triangle can pass the float32 edge tests by rounding, farther out the thinner the
triangle is. With u = 2^-24, the sign of an edge function is wrong only where its value is below
6 u D L, D being the distance from the edge's start and L the triangle's longest side. So such a
centre lies within 36 u L^3 / A of the triangle's box, as long as A, twice the area, is above
54 u L^2; below that, the whole image has to be tested. The constants leave some room.
"""

from __future__ import annotations

_UNIT_ROUNDOFF = 2.0**-24

MARGIN = 40.0 * _UNIT_ROUNDOFF
"""The box grows by ``MARGIN * L**3 / A`` on each side."""

THIN = 64.0 * _UNIT_ROUNDOFF
"""A triangle has no useful box where ``A < THIN * L**2``."""

MIN_SIDE, MAX_SIDE = 1e-12, 1e15
"""It has none either when L is outside this range: products may leave float32's."""

PIXEL_SLACK = 1e-3
"""Pixels; covers the rounding of the pixel centres."""
