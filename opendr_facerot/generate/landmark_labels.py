"""Heat maps of facial feature lines, the label that conditions the RotateSPADE generator.

Lines run through the 68 landmarks of the iBUG 300-W order. Each is drawn as single pixels along a
natural cubic spline and blurred into a truncated Gaussian of the distance to them; sums of lines
make the label's five channels: image-left eye, image-right eye, nose, mouth, chin.

Coordinates are pixels with centres at integers, x to the right, y down.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from opendr_facerot.errors import ImageError, SettingsError

LINES: tuple[tuple[int, ...], ...] = (
    (7, 8, 9),
    (17, 18, 19, 20, 21),
    (22, 23, 24, 25, 26),
    (27, 28, 29, 30),
    (31, 32, 33, 34, 35),
    (36, 37, 38, 39),
    (36, 41, 40, 39),
    (42, 43, 44, 45),
    (42, 47, 46, 45),
    (48, 49, 50, 51, 52, 53, 54),
    (60, 61, 62, 63, 64),
    (60, 67, 66, 65, 64),
    (48, 59, 58, 57, 56, 55, 54),
)
"""Landmarks of each line: chin, brows, nose bridge and base, eyelids, lips."""

CHIN, NOSE_BASE = 0, 4
"""Indices into :data:`LINES`."""

CHANNELS: tuple[tuple[int, ...], ...] = ((5, 6), (7, 8), (3, NOSE_BASE), (9, 10, 11, 12), (CHIN,))
"""Lines that are summed into each channel of a label; the brows are in none."""

SAMPLES_PER_LANDMARK = 10
"""Points drawn along a line for each landmark it is given by."""

_MIN_SPACING = 1e-3  # a landmark nearer than this to the one before it is left out of the spline


def sample_line(points: ArrayLike, count: int) -> NDArray[np.float64]:
    """Points along the natural cubic spline through control points, evenly spaced along it.

    The spline's parameter is the cumulative chord length. Every one of its n segments is sampled at
    ``int(count / n + 1)`` equal parameter steps that start at its first control point and leave
    out its last; the polyline through the samples, which so ends a step before the last control
    point, is divided into equal arc lengths.

    Args:
        points: ``(N, 2)`` finite control points; one nearer than 1e-3 to its predecessor is left
            out.
        count: Number of points to return, at least 2.

    Returns:
        ``(count, 2)`` float64, or ``(0, 2)`` where fewer than two control points remain.

    Raises:
        ImageError: The points have another shape.
    """
    control = np.asarray(points, np.float64)
    if control.ndim != 2 or control.shape[0] < 1 or control.shape[1] != 2:
        raise ImageError(f"control points have shape {control.shape}: give (N, 2), N at least 1")
    chords = np.linalg.norm(np.diff(control, axis=0), axis=1)
    control = control[np.r_[True, chords >= _MIN_SPACING]]
    segments = len(control) - 1
    if segments == 0:
        return np.empty((0, 2))
    chords = np.linalg.norm(np.diff(control, axis=0), axis=1)
    knots = np.r_[0.0, np.cumsum(chords)]
    steps = int(count / segments + 1)
    parameters = knots[:-1, None] + chords[:, None] * (np.arange(steps) / steps)
    polyline = CubicSpline(knots, control, bc_type="natural")(parameters.ravel())
    return _evenly_spaced(polyline, count)


def line_heat_maps(landmarks68: ArrayLike, size: int, sigma: float) -> NDArray[np.float32]:
    """Heat map of each line of :data:`LINES`.

    A map is ``exp(-d² / (2 sigma²))`` of the distance d to the line's drawn pixels where
    d < 3 sigma and 0 elsewhere, stretched to [0, 1]. A line without a pixel in the image leaves its
    map all 0.

    Args:
        landmarks68: ``(68, 2)`` or ``(68, 3)`` finite pixels; a third coordinate is ignored.
        size: Side of the square maps in pixels.
        sigma: Width in pixels, > 0; 1 is OpenDR's default, 2.5 that of the published model.

    Returns:
        ``(13, size, size)`` float32 in [0, 1].

    Raises:
        SettingsError: ``size`` or ``sigma`` is out of range.
        ImageError: The landmarks have another shape or are not finite.
    """
    if size < 1:
        raise SettingsError(f"label size is {size}: give at least 1 pixel")
    if not (math.isfinite(sigma) and sigma > 0.0):
        raise SettingsError(f"heat map sigma is {sigma}: give a positive number of pixels")
    landmarks = _checked(landmarks68)
    maps = np.zeros((len(LINES), size, size), np.float32)
    for heat_map, line in zip(maps, LINES, strict=True):
        points = sample_line(landmarks[list(line)], SAMPLES_PER_LANDMARK * len(line))
        _draw_blurred(heat_map, points, sigma)
    return maps


def label_from_heat_maps(
    heat_maps: NDArray[np.float32], *, binary: bool = True
) -> NDArray[np.float32]:
    """Label of the generator from the heat maps of :func:`line_heat_maps`.

    Args:
        heat_maps: ``(13, S, S)``.
        binary: 1 wherever a line's heat reaches and 0 elsewhere (what the published model was
            trained with), instead of the sum of the heat clipped to [0, 1].

    Returns:
        ``(5, S, S)`` float32 in [0, 1].
    """
    label = np.stack([heat_maps[list(lines)].sum(axis=0) for lines in CHANNELS])
    if binary:
        return (label > 0.0).astype(np.float32)
    return label.clip(0.0, 1.0)


def _checked(landmarks68: ArrayLike) -> NDArray[np.float64]:
    landmarks = np.asarray(landmarks68, np.float64)
    if landmarks.ndim != 2 or landmarks.shape[0] != 68 or landmarks.shape[1] not in (2, 3):
        raise ImageError(f"landmarks have shape {landmarks.shape}: give (68, 2) or (68, 3)")
    if not np.isfinite(landmarks[:, :2]).all():
        bad = np.flatnonzero(~np.isfinite(landmarks[:, :2]).all(axis=1))
        raise ImageError(f"landmarks {bad.tolist()} are not finite")
    return landmarks[:, :2]


def _evenly_spaced(polyline: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    travelled = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(polyline, axis=0), axis=1))]
    stops = np.linspace(0.0, travelled[-1], count)
    return np.stack([np.interp(stops, travelled, axis) for axis in polyline.T], axis=1)


def _draw_blurred(heat_map: NDArray[np.float32], points: NDArray[np.float64], sigma: float) -> None:
    size = len(heat_map)
    # Truncation towards zero, not floor: a coordinate in (-1.5, -0.5) lands on pixel 0.
    pixels = np.trunc(points + 0.5)
    pixels = pixels[((pixels >= 0) & (pixels < size)).all(axis=1)].astype(np.intp)
    if len(pixels) == 0:
        return
    # Beyond this window the map is 0, so that only the window's distances are needed.
    reach = math.ceil(3.0 * sigma)
    x0, y0 = np.maximum(pixels.min(axis=0) - reach, 0)
    x1, y1 = np.minimum(pixels.max(axis=0) + reach + 1, size)
    empty = np.ones((y1 - y0, x1 - x0), np.uint8)
    empty[pixels[:, 1] - y0, pixels[:, 0] - x0] = 0
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    heat = np.where(distance < 3.0 * sigma, np.exp(distance**2 / (-2.0 * sigma**2)), 0.0)
    lowest = heat.min() if empty.shape == heat_map.shape else 0.0
    highest = heat.max()
    if highest > lowest:
        heat_map[y0:y1, x0:x1] = (heat - lowest) / (highest - lowest)
