"""Faces in a visibility buffer against those of the reference rasteriser."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from opendr_facerot.render.rasterize import ndc_from_pixels, rasterize
from opendr_facerot.render.visibility import VisibleFaces

SIZE = 48
NEAREST = 1.0


def seen(
    screen: NDArray[np.floating],
    faces: NDArray[np.int32],
    *,
    size: int = SIZE,
    rows: int | None = None,
    threads: int = 1,
) -> NDArray[np.int32]:
    """Faces ``(size, size)`` that the samples see, drawn ``rows`` rows at a time."""
    visible = VisibleFaces(screen.astype(np.float32), faces, size, NEAREST, threads)
    keys = np.full((size, size), 7, np.uint64)  # what is left of an earlier picture
    for top in range(0, size, rows or size):
        visible.draw(top, keys[top : top + (rows or size)])
    return ~keys.astype(np.uint32).view(np.int32)


def soup(seed: int, count: int = 400) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Triangles of all sizes and both orientations that pass through each other."""
    random = np.random.default_rng(seed)
    middle = random.uniform(-4, SIZE + 3, (count, 1, 2))
    corner = random.normal(size=(count, 3, 2)) * random.choice([1.0, 4.0, 20.0], (count, 1, 1))
    depth = random.uniform(2.0, 9.0, (count, 3, 1))
    screen = np.concatenate([middle + corner, 1.0 / depth], axis=2).reshape(-1, 3)
    return screen.astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def distance_to_edges(triangle: NDArray[np.floating], x: float, y: float) -> float:
    """Distance of a point to the nearest line through two corners ``(3, 2)``."""
    ahead = np.roll(triangle, -1, axis=0) - triangle
    away = np.array([x, y]) - triangle
    cross = ahead[:, 0] * away[:, 1] - ahead[:, 1] * away[:, 0]
    return float(np.min(np.abs(cross) / np.hypot(*ahead.T)))


def depth_at(triangle: NDArray[np.floating], x: float, y: float) -> float:
    """1 / depth of a triangle ``(3, 3)`` at a sample."""
    plane = np.linalg.solve(np.column_stack([triangle[:, :2], np.ones(3)]), triangle[:, 2])
    return float(plane @ [x, y, 1.0])


@pytest.mark.parametrize("seed", range(4))
def test_samples_see_the_reference_rasteriser_s_faces(seed: int) -> None:
    screen, faces = soup(seed)
    ndc = np.column_stack([ndc_from_pixels(screen[:, :2], SIZE), 1.0 / screen[:, 2]])
    expected = rasterize(ndc, faces, SIZE, near=1.0, backend="reference").face_index
    found = seen(screen, faces)
    assert len(np.unique(expected)) > 50
    differ = np.argwhere(found != expected)
    assert len(differ) <= 2e-3 * SIZE**2
    for y, x in differ:  # where rounding decides: on an edge, or where two faces meet
        triangles = [
            screen[faces[face]].astype(np.float64)
            for face in (found[y, x], expected[y, x])
            if face >= 0
        ]
        on_an_edge = min(distance_to_edges(t[:, :2], x, y) for t in triangles) < 1e-4
        near, far = (depth_at(t, x, y) for t in (triangles[0], triangles[-1]))
        assert on_an_edge or near == pytest.approx(far, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 5, 32])
def test_bands_of_rows_make_up_the_picture(rows: int) -> None:
    screen, faces = soup(0)
    np.testing.assert_array_equal(seen(screen, faces, rows=rows), seen(screen, faces))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_the_faces(threads: int) -> None:
    screen, faces = soup(1, 9000)  # three blocks of faces
    np.testing.assert_array_equal(seen(screen, faces, threads=threads), seen(screen, faces))


WHOLE = np.array([[-99.0, -99.0, 0.5], [-99.0, 299.0, 0.5], [299.0, -99.0, 0.5]])
"""A triangle over the whole picture."""


def test_nearest_face_wins_and_the_lowest_among_equals() -> None:
    screen = np.concatenate([WHOLE, WHOLE * [1, 1, 1.5], WHOLE])
    faces = np.arange(9, dtype=np.int32).reshape(-1, 3)
    assert (seen(screen, faces) == 1).all()
    assert (seen(screen, faces[[0, 2]]) == 0).all()
    assert (seen(screen, faces[[1, 0]]) == 0).all()


def test_faces_turned_away_are_not_drawn() -> None:
    assert (seen(WHOLE, np.array([[0, 2, 1]], np.int32)) == -1).all()


@pytest.mark.parametrize(
    ("corner", "column", "value"),
    [(0, 2, 1.1), (1, 2, 0.0), (2, 2, -0.5), (0, 2, np.nan), (1, 0, np.nan), (2, 1, -np.inf)],
    ids=["too near", "at infinity", "behind", "depth nan", "x nan", "y infinite"],
)
def test_faces_that_the_camera_cannot_see_whole_are_not_drawn(
    corner: int, column: int, value: float
) -> None:
    screen = WHOLE.copy()
    screen[corner, column] = value
    assert (seen(screen, np.array([[0, 1, 2]], np.int32)) == -1).all()


def test_slivers_keep_their_depth() -> None:
    """Their slopes are huge; extrapolated, some would stand in front of everything."""
    random = np.random.default_rng(0)
    faces = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 4]], np.int32)
    for _ in range(500):
        first, last = random.uniform(0, SIZE - 1, (2, 2)).round()
        middle = (first + last) / 2 + random.normal(size=2) * 10.0 ** random.uniform(-7, -4)
        sliver = np.array([[*first, 0.1], [*last, 0.2], [*middle, 0.4]])
        assert (seen(np.concatenate([WHOLE, sliver]), faces) == 0).all()
