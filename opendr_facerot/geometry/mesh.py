"""Triangle meshes: normals, and smooth fields over their vertices."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from opendr_facerot.render.bands import run_bands
from opendr_facerot.render.kernels import kernel

_MOST_ITERATIONS = 2000


def unique_edges(faces: NDArray[np.integer]) -> NDArray[np.int32]:
    """Undirected edges ``(E, 2)`` int32 of triangles ``(F, 3)``, each once, sorted."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    low, high = ends.min(axis=1), ends.max(axis=1)
    count = int(high.max()) + 1
    # As single numbers they are sorted ten times as fast as by rows.
    return np.stack(np.divmod(np.unique(low * count + high), count), axis=1).astype(np.int32)


def curved_midpoints(
    vertices: NDArray[np.floating],
    normals: NDArray[np.floating],
    edges: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Midpoints of edges on the curved surface that the vertex normals suggest.

    The middle of each edge's cubic curve, Vlachos et al., "Curved PN triangles", I3D 2001,
    section 3; it leaves the straight midpoint by a quarter of the edge's length at most.

    Args:
        vertices: ``(V, 3)``.
        normals: ``(V, 3)`` unit normals.
        edges: ``(E, 2)`` vertex indices.

    Returns:
        ``(E, 3)``.
    """
    i, j = edges.T
    chord = vertices[j] - vertices[i]
    rise_i = (chord * normals[i]).sum(1, keepdims=True)
    rise_j = (chord * normals[j]).sum(1, keepdims=True)
    bulge = 0.125 * (rise_j * normals[j] - rise_i * normals[i])
    return np.asarray(0.5 * (vertices[i] + vertices[j]) + bulge)


class MeshTopology:
    """The connectivity of one mesh, with what is derived from it once and used often.

    Args:
        faces: ``(F, 3)`` vertex indices.
        vertex_count: Number of vertices V.

    Attributes:
        faces: ``(F, 3)`` int32.
        edges: ``(E, 2)`` int32, undirected, each once.
    """

    def __init__(self, faces: NDArray[np.integer], vertex_count: int) -> None:
        self.faces = np.ascontiguousarray(faces, np.int32)
        self.edges = unique_edges(faces)
        self._count = vertex_count
        i, j = self.edges.T
        order = np.lexsort((np.r_[j, i], np.r_[i, j]))
        self._neighbours = np.r_[j, i][order]
        self._edge = np.tile(np.arange(len(self.edges), dtype=np.int32), 2)[order]
        degree = np.bincount(np.r_[i, j], minlength=vertex_count)
        self._starts = np.r_[0, degree.cumsum()].astype(np.int32)
        self._average = sp.csr_matrix(
            (np.repeat(1.0 / np.maximum(degree, 1), degree), self._neighbours, self._starts),
            shape=(vertex_count, vertex_count),
        )

    def vertex_normals(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Area-weighted unit normals ``(V, 3)``; zero at a vertex without area around it.

        They point to the side from which the triangles run counter-clockwise in a right-handed
        coordinate system.
        """
        normals = np.zeros((self._count, 3))
        _add_face_normals(np.ascontiguousarray(vertices, np.float64), self.faces, normals)
        length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
        return normals / np.maximum(length, 1e-12)[:, None]

    def neighbour_mean(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean over each vertex's neighbours of ``(V,)`` or ``(V, K)`` values."""
        return self._average @ values

    def neighbour_min(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Minimum of ``(V,)`` values over each vertex and its neighbours."""
        lowest = np.empty(self._count)
        _neighbour_min(
            self._starts, self._neighbours, np.ascontiguousarray(values, np.float64), lowest
        )
        return lowest

    def smooth_field(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        stiffness: NDArray[np.floating] | float = 1.0,
        *,
        tolerance: float = 1e-3,
    ) -> NDArray[np.float64]:
        """The field that follows ``data`` where it has weight and is harmonic elsewhere.

        Minimises ``sum_v weight_v |x_v - data_v|^2 + sum_edges stiffness_e |x_i - x_j|^2``.

        Args:
            data: ``(V,)`` or ``(V, K)``; ignored where ``weight`` is 0.
            weight: ``(V,)`` non-negative, not all 0.
            stiffness: ``(E,)`` non-negative, or one number for all edges.
            tolerance: Relative residual at which the conjugate-gradient solver
                stops.

        Returns:
            Field of the shape of ``data``.
        """
        edge_values = np.empty(len(self.edges))  # a kernel is compiled for each kind of array
        edge_values[:] = stiffness
        columns = np.asarray(data, np.float64).reshape(self._count, -1).T
        vertex_weight = np.ascontiguousarray(weight, np.float64)
        mean = (columns @ vertex_weight) / max(float(vertex_weight.sum()), 1e-12)
        scale, couplings = np.empty(self._count), np.empty(len(self._neighbours))
        _scaled_matrix(
            self._starts, self._neighbours, self._edge, edge_values, vertex_weight, scale, couplings
        )
        field = np.ascontiguousarray(columns - mean[:, None])
        field *= scale * vertex_weight

        _solve_all(self._starts, self._neighbours, couplings, tolerance, field)
        return np.ascontiguousarray((scale * field + mean[:, None]).T).reshape(np.shape(data))


class HarmonicFill:
    """Makes values harmonic on a part of a mesh: means of their neighbours. Thread-safe.

    The limit of :meth:`MeshTopology.smooth_field` for infinite weight elsewhere. The part's matrix
    is factorised once.

    Args:
        topology: The mesh.
        free: ``(V,)`` bool, the part; some vertex of each connected part of the mesh is not free.
    """

    def __init__(self, topology: MeshTopology, free: NDArray[np.bool_]) -> None:
        ends = np.r_[topology.edges, topology.edges[:, ::-1]].T
        count = len(free)
        beside = sp.csr_matrix((np.ones(ends.shape[1]), ends), shape=(count, count))[free]
        degree = sp.diags(np.diff(beside.indptr).astype(np.float64))
        self._free = free
        self._from_kept = beside[:, ~free]
        matrix = (degree - beside[:, free]).tocsc()
        # Symmetric and diagonally dominant: no pivots, and an order that keeps symmetry.
        self._factors = splu(
            matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """A copy of ``(V,)`` or ``(V, K)`` values with those of the free vertices replaced."""
        filled = np.array(values, np.float64)
        filled[self._free] = self._factors.solve(self._from_kept @ filled[~self._free])
        return filled


def _solve_all(
    starts: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    couplings: NDArray[np.float64],
    tolerance: float,
    columns: NDArray[np.float64],
) -> None:
    """Solve for each of ``(K, V)`` right-hand sides, in place; see :func:`_solve`."""

    def solve(first: int, last: int) -> None:
        for k in range(first, last):
            _solve(starts, neighbours, couplings, tolerance, _MOST_ITERATIONS, columns[k])

    run_bands(solve, len(columns))


@kernel
def _add_face_normals(vertices, faces, normals):  # type: ignore[no-untyped-def]
    """Add to the normal of each vertex twice the area vectors of its faces."""
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz


@kernel
def _neighbour_min(starts, neighbours, values, lowest):  # type: ignore[no-untyped-def]
    for v in range(len(lowest)):
        least = values[v]
        for entry in range(starts[v], starts[v + 1]):
            least = min(least, values[neighbours[entry]])
        lowest[v] = least


@kernel
def _scaled_matrix(  # type: ignore[no-untyped-def]
    starts, neighbours, edge, stiffness, weight, scale, couplings
):
    """The matrix of a smooth field, scaled on both sides to a unit diagonal.

    ``scale`` gets the scaling, ``couplings`` the off-diagonal entries with their signs changed.
    """
    for v in range(len(scale)):
        # A vertex that touches neither data nor a stiff edge would make the matrix singular.
        diagonal = weight[v] + 1e-7
        for entry in range(starts[v], starts[v + 1]):
            diagonal += stiffness[edge[entry]]
        scale[v] = 1.0 / np.sqrt(diagonal)
    for v in range(len(scale)):
        for entry in range(starts[v], starts[v + 1]):
            couplings[entry] = stiffness[edge[entry]] * scale[v] * scale[neighbours[entry]]


@kernel
def _solve(starts, neighbours, couplings, tolerance, most, x):  # type: ignore[no-untyped-def]
    """Replace the right-hand side ``x`` by the solution of ``A x = b``.

    Conjugate gradients on ``(I + L)^-1 A (I + L)^-T``, for ``A = I + L + L^T`` with the strictly
    lower triangle L: symmetric Gauss-Seidel preconditioning at no cost, because the product is
    ``t + (I + L)^-1 (p - t)`` with ``t = (I + L)^-T p`` (Eisenstat, SIAM J. Sci. Stat. Comput. 2,
    1981). Neighbours are in ascending order.
    """
    count = len(x)
    residual, direction = np.empty(count), np.empty(count)
    upper, lower, product = np.empty(count), np.empty(count), np.empty(count)
    middle = np.empty(count, np.int32)  # of each row: where the higher neighbours begin
    square = 0.0
    for v in range(count):
        entry = starts[v]
        value = x[v]
        while entry < starts[v + 1] and neighbours[entry] < v:
            value += couplings[entry] * residual[neighbours[entry]]
            entry += 1
        middle[v] = entry
        residual[v] = direction[v] = value
        x[v] = 0.0
        square += value * value
    enough = tolerance * tolerance * square
    for _ in range(most):
        if square <= enough:
            break
        for v in range(count - 1, -1, -1):
            value = direction[v]
            for entry in range(middle[v], starts[v + 1]):
                value += couplings[entry] * upper[neighbours[entry]]
            upper[v] = value
        curvature = 0.0
        for v in range(count):
            value = direction[v] - upper[v]
            for entry in range(starts[v], middle[v]):
                value += couplings[entry] * lower[neighbours[entry]]
            lower[v] = value
            product[v] = value + upper[v]
            curvature += direction[v] * product[v]
        step = square / curvature
        before, square = square, 0.0
        for v in range(count):
            x[v] += step * upper[v]
            residual[v] -= step * product[v]
            square += residual[v] * residual[v]
        keep = square / before
        for v in range(count):
            direction[v] = residual[v] + keep * direction[v]
