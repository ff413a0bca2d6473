"""What the head pipeline needs to know about its template mesh, computed once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assets.npz import npz_bytes, read_npz
from opendr_facerot.geometry import rotation_from_euler
from opendr_facerot.geometry.mesh import MeshTopology, unique_edges
from opendr_facerot.render.rasterize import ndc_from_pixels, rasterize

SCALE = 1 / 0.864
"""Template units per centimetre of ``makehuman_head.npz``. The unit is that of the constants of the
head pipeline: the mean head is 24.5 units high from chin to crown. Projection does not depend on
it, nor does the fit."""

_MIRRORED_LABEL = np.array([0, 2, 1, 3, 4, 5])  # left eye and right eye change places
_MIRROR_TOLERANCE = 0.3

_VIEWS = 96
_LOWEST_VIEW = math.radians(-60)  # light from straight below is rare
_VIEW_SIZE = 400  # pixels
_VIEW_EXTENT = 20.0  # template units from the middle of the view to its border
_VIEW_CENTRE_BELOW_CROWN = 16.0
_VIEW_DISTANCE = 1000.0  # far enough to be orthographic
_DEPTH_TOLERANCE = 0.35
_OCCLUSION_SMOOTHINGS = 2

_SHAPE_SMOOTHINGS, _SHAPE_STEP = 60, 0.7
_DIRECTION_SMOOTHINGS = 10

_Array = NDArray[np.float64]


def build_head_template(makehuman_head: bytes) -> bytes:
    """The template as an ``.npz`` file; lengths in template units, see :data:`SCALE`.

    The fine mesh is the coarse one of ``makehuman_head.npz`` after one midpoint subdivision: n
    coarse vertices, k edges, m = n + k fine vertices, t fine triangles.

    ``scale`` () float64, :data:`SCALE`; ``vertices`` (n, 3) float32; ``edges`` (k, 2) int32, fine
    vertex n + j is the midpoint of edge j; ``fine_faces`` (t, 3) int32; ``fine_labels`` (t,)
    uint8, as ``lab`` there; ``mirror`` (m,) int32, the vertex at the mirrored place;
    ``ambient_occlusion`` (m,) float32, share of the directions that light comes from, weighted by
    cosine; ``smooth`` (m, 3) float32, the head without its features; ``outward`` (m, 3) float32,
    its unit normals.
    """
    head = read_npz(makehuman_head)
    coarse = head["v"].astype(np.float64) * SCALE
    faces, labels = head["tri"].astype(np.int64), head["lab"]
    edges = unique_edges(faces)
    fine_faces = _split(faces, edges, len(coarse))
    fine = np.concatenate([coarse, coarse[edges].mean(1)])
    topology = MeshTopology(fine_faces, len(fine))
    smooth = fine
    for _ in range(_SHAPE_SMOOTHINGS):
        smooth = (1 - _SHAPE_STEP) * smooth + _SHAPE_STEP * topology.neighbour_mean(smooth)
    outward = topology.vertex_normals(smooth)
    for _ in range(_DIRECTION_SMOOTHINGS):
        outward = topology.neighbour_mean(outward)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    return npz_bytes(
        {
            "scale": np.array(SCALE),
            "vertices": coarse.astype(np.float32),
            "edges": edges,
            "fine_faces": fine_faces.astype(np.int32),
            "fine_labels": np.tile(labels, 4),
            "mirror": _mirror(fine, fine_faces, np.tile(labels, 4)).astype(np.int32),
            "ambient_occlusion": _ambient_occlusion(fine, topology).astype(np.float32),
            "smooth": smooth.astype(np.float32),
            "outward": outward.astype(np.float32),
        }
    )


def _split(
    faces: NDArray[np.int64], edges: NDArray[np.int32], vertex_count: int
) -> NDArray[np.int64]:
    """Every triangle as its three corners and its middle, those of all triangles in turn."""
    keys = edges[:, 0].astype(np.int64) * vertex_count + edges[:, 1]

    def midpoint(p: NDArray[np.int64], q: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = np.minimum(p, q) * vertex_count + np.maximum(p, q)
        return vertex_count + np.searchsorted(keys, wanted)

    a, b, c = faces.T
    ab, bc, ca = midpoint(a, b), midpoint(b, c), midpoint(c, a)
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(corner, axis=1) for corner in corners])


def _mirror(vertices: _Array, faces: NDArray[np.int64], labels: NDArray[Any]) -> NDArray[np.intp]:
    """The vertex at the mirrored place of each, of the same part of the head.

    A few quadrilaterals are not cut into triangles symmetrically: the middles of their cuts get
    the nearest vertex.
    """
    label = np.zeros(len(vertices), np.int64)
    label[faces.ravel()] = np.repeat(labels, 3)
    # Parts that touch are kept apart by a fourth coordinate.
    apart = 1e3
    tree = cKDTree(np.column_stack([vertices, apart * label]))
    mirrored = np.column_stack([vertices * [-1, 1, 1], apart * _MIRRORED_LABEL[label]])
    distance, nearest = tree.query(mirrored)
    if distance.max() > _MIRROR_TOLERANCE:
        raise ValueError(f"the mesh is not symmetric: a vertex is {distance.max():.2f} off")
    return nearest


def _ambient_occlusion(vertices: _Array, topology: MeshTopology) -> _Array:
    """Visibility from directions all around, seen in depth images from there."""
    normals = topology.vertex_normals(vertices)
    both_sides = np.concatenate([topology.faces, topology.faces[:, ::-1]])
    centre = np.array([0.0, vertices[:, 1].max() - _VIEW_CENTRE_BELOW_CROWN, vertices[:, 2].mean()])
    seen, possible = np.zeros(len(vertices)), np.zeros(len(vertices))
    for yaw, pitch in _directions(_VIEWS):
        if pitch < _LOWEST_VIEW:
            continue
        # Turned about the head's own axis first, then tilted towards the camera.
        rotation = rotation_from_euler(0.0, pitch) @ rotation_from_euler(yaw)
        turned = (vertices - centre) @ rotation.T
        depth = _VIEW_DISTANCE - turned[:, 2]
        middle = _VIEW_SIZE / 2
        pixels = middle + turned[:, :2] * [1, -1] * (middle / _VIEW_EXTENT)
        ndc = np.column_stack([ndc_from_pixels(pixels, _VIEW_SIZE), depth])
        nearest = rasterize(ndc, both_sides, _VIEW_SIZE, near=1.0, far=2 * _VIEW_DISTANCE).depth
        column, row = np.clip(np.round(pixels), 0, _VIEW_SIZE - 1).astype(int).T
        visible = depth < nearest[row, column] + _DEPTH_TOLERANCE
        cosine = (normals @ rotation.T)[:, 2].clip(0)
        seen += cosine * visible
        possible += cosine
    occlusion = seen / possible.clip(1e-6)
    for _ in range(_OCCLUSION_SMOOTHINGS):
        occlusion = (occlusion + topology.neighbour_mean(occlusion)) / 2
    return occlusion


def _directions(count: int) -> _Array:
    """Yaw and pitch ``(count, 2)`` of directions evenly spread over the sphere.

    The points of a Fibonacci lattice: González, "Measurement of areas on a sphere using Fibonacci
    and latitude-longitude lattices", Mathematical Geosciences 42, 2010.
    """
    k = np.arange(count)
    golden = (1 + math.sqrt(5)) / 2
    yaw = 2 * np.pi * (k / golden % 1.0)
    pitch = np.arcsin(1 - (2 * k + 1) / count)
    return np.column_stack([yaw, pitch])
