from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import spsolve

from opendr_facerot.geometry.mesh import HarmonicFill, MeshTopology, curved_midpoints, unique_edges
from opendr_facerot.reconstruct.head_model import HeadModel, Part, subdivide


@pytest.fixture(scope="module")
def grid() -> tuple[NDArray[np.float64], MeshTopology]:
    """A flat 9 x 9 grid of vertices in the plane z = 0."""
    side = 9
    y, x = np.mgrid[0:side, 0:side]
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.stack([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)
    vertices = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float)
    return vertices, MeshTopology(faces, side * side)


def test_edges_of_two_triangles() -> None:
    edges = unique_edges(np.array([[0, 1, 2], [2, 1, 3]]))
    np.testing.assert_array_equal(edges, [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]])


def test_normals_of_a_plane(grid: tuple[NDArray[np.float64], MeshTopology]) -> None:
    vertices, topology = grid
    np.testing.assert_allclose(topology.vertex_normals(vertices), [[0, 0, 1]] * 81, atol=1e-12)


def test_normals_of_a_sphere_point_outwards() -> None:
    model = HeadModel.load().fine
    sphere = model.vertices - model.vertices.mean(0)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    a, b, c = (sphere[model.topology.faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # > 0: counter-clockwise outside
    assert volume > 0


def test_curved_midpoints_lie_near_the_sphere_that_the_vertices_are_on() -> None:
    corners = np.array([[1.0, 0, 0], [0, 1, 0], [0.8, 0.6, 0]])
    edges = np.array([[0, 2], [1, 2]])
    straight = 0.5 * (corners[edges[:, 0]] + corners[edges[:, 1]])
    curved = curved_midpoints(corners, corners, edges)
    sag = 1.0 - np.linalg.norm(straight, axis=1)
    assert (np.abs(np.linalg.norm(curved, axis=1) - 1.0) < 0.2 * sag).all()


def test_curved_midpoints_of_a_plane_are_straight(
    grid: tuple[NDArray[np.float64], MeshTopology],
) -> None:
    vertices, topology = grid
    i, j = topology.edges.T
    normals = topology.vertex_normals(vertices)
    midpoints = curved_midpoints(vertices, normals, topology.edges)
    np.testing.assert_allclose(midpoints, 0.5 * (vertices[i] + vertices[j]), atol=1e-12)


def test_neighbour_mean_and_min(grid: tuple[NDArray[np.float64], MeshTopology]) -> None:
    _, topology = grid
    values = np.arange(81.0)
    around = {
        int(k): sorted({int(v) for e in topology.edges if k in e for v in e} - {int(k)})
        for k in (0, 40, 80)
    }
    for k, neighbours in around.items():
        assert topology.neighbour_mean(values)[k] == pytest.approx(values[neighbours].mean())
        assert topology.neighbour_min(values)[k] == values[[*neighbours, k]].min()


def test_smooth_field_solves_the_dense_normal_equations(
    grid: tuple[NDArray[np.float64], MeshTopology],
) -> None:
    _, topology = grid
    rng = np.random.default_rng(0)
    data, weight = rng.normal(size=(81, 3)), rng.uniform(0, 1, 81) * (rng.random(81) < 0.2)
    stiffness = rng.uniform(0.1, 2.0, len(topology.edges))
    matrix = np.diag(weight + 1e-7)
    for (i, j), w in zip(topology.edges, stiffness, strict=True):
        matrix[[i, j], [i, j]] += w
        matrix[[i, j], [j, i]] -= w
    mean = weight @ data / weight.sum()
    expected = mean + np.linalg.solve(matrix, weight[:, None] * (data - mean))
    found = topology.smooth_field(data, weight, stiffness, tolerance=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_smooth_field_on_the_head_agrees_with_a_direct_solver() -> None:
    """Stiffnesses as they are between skin and hair, and data on few vertices only."""
    topology, count = HeadModel.load().coarse.topology, len(HeadModel.load().coarse.vertices)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(count, 3))
    weight = np.where(rng.random(count) < 0.05, rng.random(count), 0.004)
    stiffness = np.where(rng.random(len(topology.edges)) < 0.1, 0.005, 1.0)
    i, j = topology.edges.T
    laplacian = sp.csgraph.laplacian(
        sp.coo_matrix((np.r_[stiffness, stiffness], (np.r_[i, j], np.r_[j, i])))
    )
    matrix = (laplacian + sp.diags(weight + 1e-7)).tocsc()
    mean = weight @ data / weight.sum()
    expected = mean + spsolve(matrix, weight[:, None] * (data - mean))
    found = topology.smooth_field(data, weight, stiffness)
    np.testing.assert_allclose(found, expected, atol=0.03)
    closer = topology.smooth_field(data, weight, stiffness, tolerance=1e-4)
    np.testing.assert_allclose(closer, expected, atol=5e-3)
    precise = topology.smooth_field(data, weight, stiffness, tolerance=1e-8)
    np.testing.assert_allclose(precise, expected, atol=1e-6)
    alone = topology.smooth_field(data[:, 1], weight, stiffness)
    np.testing.assert_allclose(alone, found[:, 1], atol=1e-12)


def test_harmonic_values_are_means_of_their_neighbours() -> None:
    model = HeadModel.load().fine
    free = model.zones.ear_surround
    fill = HarmonicFill(model.topology, free)
    found = fill(model.vertices)
    np.testing.assert_array_equal(found[~free], model.vertices[~free])
    np.testing.assert_allclose(model.topology.neighbour_mean(found)[free], found[free], atol=1e-9)
    soft = model.topology.smooth_field(model.vertices, np.where(free, 0.0, 1e5), tolerance=1e-10)
    np.testing.assert_allclose(found, soft, atol=1e-3)
    np.testing.assert_allclose(fill(model.vertices[:, 2]), found[:, 2], atol=1e-12)


def test_harmonic_values_are_the_same_in_any_number_of_threads() -> None:
    model = HeadModel.load()
    shapes = [scale * model.fine.vertices for scale in np.linspace(0.5, 2.0, 60)]
    alone = [model.flatten_ears(shape) for shape in shapes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(model.flatten_ears, shapes))
    np.testing.assert_array_equal(together, alone)


def test_neighbour_min_and_normals_of_the_head_against_loops() -> None:
    model = HeadModel.load().coarse
    faces, vertices = model.topology.faces, model.vertices
    lowest, normals = vertices[:, 0].copy(), np.zeros_like(vertices)
    for face in faces:
        a, b, c = vertices[face]
        for corner in face:
            lowest[corner] = min(lowest[corner], vertices[face, 0].min())
            normals[corner] += np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_array_equal(model.topology.neighbour_min(vertices[:, 0]), lowest)
    np.testing.assert_allclose(model.topology.vertex_normals(vertices), normals, atol=1e-9)


def test_subdivision_appends_midpoints() -> None:
    points = np.array([[0.0, 0.0, 0.0], [2.0, 4.0, 6.0]])
    np.testing.assert_array_equal(subdivide(points, np.array([[0, 1]]))[2], [1.0, 2.0, 3.0])


def test_the_head_model_is_consistent() -> None:
    model = HeadModel.load()
    coarse, fine = model.coarse, model.fine
    assert model.identity.shape[1:] == model.expression.shape[1:] == coarse.vertices.shape
    assert len(fine.vertices) == len(coarse.vertices) + len(model.coarse_edges)
    np.testing.assert_allclose(fine.vertices, model.subdivide(coarse.vertices))
    np.testing.assert_allclose(model.landmark_weights.sum(1), 1.0, atol=1e-6)
    # A mirrored vertex lies at the mirrored place, and the mirror of the mirror is itself.
    mirrored = fine.vertices[fine.mirror] * [-1.0, 1.0, 1.0]
    assert np.linalg.norm(mirrored - fine.vertices, axis=1).max() < 0.3  # centimetres
    assert (fine.mirror[fine.mirror] == np.arange(len(fine.mirror))).mean() > 0.999
    assert coarse.mirror.max() < len(coarse.vertices)
    swapped = {Part.LEFT_EYE: Part.RIGHT_EYE, Part.RIGHT_EYE: Part.LEFT_EYE}
    for part in Part:
        np.testing.assert_array_equal(
            np.unique(fine.part[fine.mirror[fine.part == part]]), [swapped.get(part, part)]
        )


def test_zones_lie_where_their_names_say() -> None:
    fine = HeadModel.load().fine
    zones, (x, y, z) = fine.zones, fine.vertices.T
    assert zones.ear.sum() > 200
    assert np.abs(x[zones.ear]).min() > 6.6
    assert y[zones.scalp].max() == pytest.approx(y.max(), abs=0.1)
    assert not (zones.scalp & (z > 14) & (y < 90)).any()  # no hair on the face
    assert zones.neck_weight[y > 80].min() == 1.0
    assert zones.neck_weight[y < 60].max() == 0.0
    nose_tip = np.argmax(np.where(zones.skin, z, -np.inf))
    assert not (zones.mouth_bag | zones.ear_surround)[nose_tip]
