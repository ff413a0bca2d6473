"""Triangle meshes: normals, and smooth fields over their vertices."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import cg


def unique_edges(faces: NDArray[np.integer]) -> NDArray[np.int32]:
    """Undirected edges ``(E, 2)`` int32 of triangles ``(F, 3)``, each once, sorted."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(pairs, axis=0).astype(np.int32)


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
        corners = self.faces.ravel()
        rows = np.repeat(np.arange(len(self.faces)), 3)
        self._incidence = sp.csr_matrix(
            (np.ones(corners.size), (corners, rows)), shape=(vertex_count, len(self.faces))
        )
        neighbours = self._symmetric(np.ones(len(self.edges)))
        degree = np.maximum(np.asarray(neighbours.sum(1)).ravel(), 1.0)
        self._average = (sp.diags(1.0 / degree) @ neighbours).tocsr()

    def _symmetric(self, edge_values: NDArray[np.float64]) -> sp.csr_matrix:
        i, j = self.edges.T
        return sp.coo_matrix(
            (np.r_[edge_values, edge_values], (np.r_[i, j], np.r_[j, i])),
            shape=(self._count, self._count),
        ).tocsr()

    def vertex_normals(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Area-weighted unit normals ``(V, 3)``; zero at a vertex without area around it.

        They point to the side from which the triangles run counter-clockwise in a right-handed
        coordinate system.
        """
        a, b, c = (vertices[self.faces[:, k]] for k in range(3))
        normals = self._incidence @ np.cross(b - a, c - a)
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return normals / np.maximum(length, 1e-12)

    def neighbour_mean(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean over each vertex's neighbours of ``(V,)`` or ``(V, K)`` values."""
        return self._average @ values

    def neighbour_min(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Minimum of ``(V,)`` values over each vertex and its neighbours."""
        lowest = np.array(values, np.float64)
        i, j = self.edges.T
        np.minimum.at(lowest, i, values[j])
        np.minimum.at(lowest, j, values[i])
        return lowest

    def smooth_field(
        self,
        data: NDArray[np.floating],
        weight: NDArray[np.floating],
        stiffness: NDArray[np.floating] | float = 1.0,
        *,
        tolerance: float = 1e-4,
    ) -> NDArray[np.float64]:
        """The field that follows ``data`` where it has weight and is harmonic elsewhere.

        Minimises ``sum_v weight_v |x_v - data_v|^2 + sum_edges stiffness_e |x_i - x_j|^2``.

        Args:
            data: ``(V,)`` or ``(V, K)``; ignored where ``weight`` is 0.
            weight: ``(V,)`` non-negative, not all 0.
            stiffness: ``(E,)`` non-negative, or one number for all edges.
            tolerance: Relative residual, at least 1e-5, at which the conjugate-gradient solver
                stops.

        Returns:
            Field of the shape of ``data``.
        """
        edge_values = np.broadcast_to(np.asarray(stiffness, np.float64), len(self.edges))
        off_diagonal = self._symmetric(edge_values)
        # A vertex that touches neither data nor a stiff edge would make the matrix singular.
        diagonal = np.asarray(off_diagonal.sum(1)).ravel() + weight + 1e-7
        # Scaled to a unit diagonal: the Jacobi preconditioner, without a call per iteration.
        scale = 1.0 / np.sqrt(diagonal)
        matrix = (sp.eye(self._count) - sp.diags(scale) @ off_diagonal @ sp.diags(scale)).tocsr()
        columns = np.asarray(data, np.float64).reshape(self._count, -1)
        mean = (weight @ columns) / max(float(weight.sum()), 1e-12)
        field = np.empty_like(columns)
        for k, column in enumerate(columns.T):
            rhs = scale * weight * (column - mean[k])
            # By its absolute tolerance: the name of the relative one changed with SciPy 1.12.
            solution, _ = cg(matrix, rhs, atol=tolerance * np.linalg.norm(rhs), maxiter=2000)
            field[:, k] = scale * solution + mean[k]
        return field.reshape(np.shape(data))
