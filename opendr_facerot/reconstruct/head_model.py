"""The parametric head: MakeHuman's CC0 base mesh with identity and expression modes.

Template space is the model space of :mod:`opendr_facerot.geometry`, in centimetres: the chin is at
y = 73, the hairline at y = 90, the crown at y = 97, the nose tip at z = 17.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve

from opendr_facerot.assets import asset_path
from opendr_facerot.filters import smoothstep
from opendr_facerot.geometry.mesh import HarmonicFill, MeshTopology, curved_midpoints

PIVOT = np.array([0.0, 78.0, 4.0])
"""Point about which the head turns on the neck, template space."""


class Part(IntEnum):
    """What a vertex belongs to."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    UPPER_TEETH = 3
    LOWER_TEETH = 4
    TONGUE = 5


@dataclass(frozen=True, eq=False)
class HeadZones:
    """Regions of the fine template mesh, ``(V,)`` each: bool, or float64 in [0, 1] for weights.

    Attributes:
        skin: The outer surface, scalp and neck included.
        mouth_bag: The inside of the mouth, hidden while it is closed.
        ear: The ears.
        ear_surround: The ears and the skin that they grow from.
        pinna: The ears alone.
        scalp: Where hair grows.
        neck_weight: How far a vertex follows the head's rotation: 0 on the shoulders, 1 on the
            head.
    """

    skin: NDArray[np.bool_]
    mouth_bag: NDArray[np.bool_]
    ear: NDArray[np.bool_]
    ear_surround: NDArray[np.bool_]
    pinna: NDArray[np.bool_]
    scalp: NDArray[np.bool_]
    neck_weight: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class HeadSurface:
    """The template's surface at one resolution, ``(V, ...)`` per vertex and ``(F, ...)`` per face.

    Attributes:
        vertices: ``(V, 3)`` float64, template space.
        topology: Connectivity.
        part: ``(V,)`` :class:`Part` of each vertex.
        mirror: ``(V,)`` the vertex at the mirrored place of each vertex.
        ambient_occlusion: ``(V,)`` float64 in [0, 1], 1 = open to light from all sides.
        outward: ``(V, 3)`` unit directions in which hair lifts the surface.
        earless: ``(V, 3)`` the vertices with the ears smoothed away.
        zones: Regions.
    """

    vertices: NDArray[np.floating]
    topology: MeshTopology
    part: NDArray[np.uint8]
    mirror: NDArray[np.int32]
    ambient_occlusion: NDArray[np.floating]
    outward: NDArray[np.floating]
    earless: NDArray[np.floating]
    zones: HeadZones


@dataclass(frozen=True, eq=False)
class LandmarkWarp:
    """Smoothed interpolation of displacements, with radial basis functions -r and a constant.

    Fasshauer, "Meshfree Approximation Methods with MATLAB", 2007, chapters 6 and 19. The system
    is kept in factors: its inverse is no smaller, and its computation would delay the start.

    Attributes:
        factors: LU factors ``(k + 1, k + 1)`` and pivots ``(k + 1,)`` of the system whose solution
            are the weights of k functions and the constant.
        basis: ``(n, k + 1)`` float32, the functions at each vertex.
    """

    factors: tuple[NDArray[np.floating], NDArray[np.integer]]
    basis: NDArray[np.float32]

    def __call__(self, displacements: NDArray[np.floating]) -> NDArray[np.floating]:
        """Smooth ``(n, 3)`` displacement of the mesh that vanishes at the back of the head.

        Args:
            displacements: ``(468, 3)``, of each point of the attention mesh.
        """
        wanted = np.zeros((self.basis.shape[1], displacements.shape[1]))
        wanted[: len(displacements)] = displacements
        # SciPy's wrapper of LAPACK's getrs adds 1 to the pivots while it runs, and 1 to those of
        # another thread's call: a copy each.
        triangular, pivots = self.factors
        weights = lu_solve((triangular, pivots.copy()), wanted)
        return np.asarray(self.basis @ weights.astype(np.float32))


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The head: modes of shape on a coarse mesh of n vertices, and a fine mesh that is drawn.

    The fine mesh is one midpoint subdivision of the coarse one; its first n vertices are the
    coarse mesh's.

    Attributes:
        identity: ``(I, n, 3)`` float64, one standard deviation each, strongest first.
        expression: ``(X, n, 3)`` float64, full activation each.
        landmark_vertices: ``(468, 3)`` coarse vertices around each point of the attention mesh.
        landmark_weights: ``(468, 3)`` their barycentric weights.
        warp: Carries displacements at the landmarks on to the whole mesh.
        coarse_edges: ``(V - n, 2)``: fine vertex n + k is the midpoint of edge k.
        coarse: The surface that the modes act on.
        fine: The surface that is drawn.
        flatten_ears: Smooths the ears away, for values at the fine vertices.
    """

    identity: NDArray[np.floating]
    expression: NDArray[np.floating]
    landmark_vertices: NDArray[np.int32]
    landmark_weights: NDArray[np.floating]
    warp: LandmarkWarp
    coarse_edges: NDArray[np.int32]
    coarse: HeadSurface
    fine: HeadSurface
    flatten_ears: HarmonicFill

    @property
    def mean(self) -> NDArray[np.floating]:
        """``(n, 3)`` the coarse template."""
        return self.coarse.vertices

    @cached_property
    def landmark_modes(self) -> NDArray[np.floating]:
        """``(I + X, 468, 3)`` identity, then expression modes, at the attention mesh's points."""
        modes = self.landmarks(np.concatenate([self.identity, self.expression]))
        return np.ascontiguousarray(modes)

    @cached_property
    def turning_faces(self) -> NDArray[np.int32]:
        """``(K, 3)`` fine faces that turn with the head, the lower neck left out."""
        faces = self.fine.topology.faces
        return np.ascontiguousarray(faces[(self.fine.zones.neck_weight > 0.5)[faces].all(axis=1)])

    @cached_property
    def outline_faces(self) -> NDArray[np.int32]:
        """``(K, 3)`` fine faces of the skin of head and neck, the shoulders left out."""
        faces = self.fine.topology.faces
        skin = (self.fine.part == Part.SKIN) & (self.fine.zones.neck_weight > 0.3)
        return np.ascontiguousarray(faces[skin[faces].all(axis=1)])

    @cached_property
    def outline_vertices(self) -> NDArray[np.bool_]:
        """``(V,)`` the vertices of :attr:`outline_faces`."""
        corner = np.zeros(len(self.fine.vertices), bool)
        corner[self.outline_faces] = True
        return corner

    @cached_property
    def landmark_normals(self) -> NDArray[np.floating]:
        """``(468, 3)`` the template's normals at the attention mesh's points, not quite unit."""
        return self.landmarks(self.coarse.topology.vertex_normals(self.mean))

    @classmethod
    def load(cls) -> HeadModel:
        """The packaged model; read once per process and shared, so do not write into it."""
        return _load()

    def landmarks(self, coarse: NDArray[np.floating]) -> NDArray[np.floating]:
        """Points ``(..., 468, 3)`` of the attention mesh on coarse vertices ``(..., n, 3)``."""
        corners = coarse[..., self.landmark_vertices, :]
        return (corners * self.landmark_weights[..., None]).sum(-2)

    def subdivide(self, coarse: NDArray[np.floating]) -> NDArray[np.floating]:
        """Fine values ``(V, ...)`` of coarse per-vertex values ``(n, ...)``."""
        return subdivide(coarse, self.coarse_edges)

    def refine(self, coarse: NDArray[np.floating]) -> NDArray[np.floating]:
        """Fine vertices ``(V, 3)`` on the curved surface through coarse vertices ``(n, 3)``."""
        normals = self.coarse.topology.vertex_normals(coarse)
        return np.concatenate([coarse, curved_midpoints(coarse, normals, self.coarse_edges)])


def subdivide(
    coarse: NDArray[np.floating], coarse_edges: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Append the midpoints of ``(k, 2)`` edges to ``(n, ...)`` per-vertex values."""
    i, j = coarse_edges.T
    return np.concatenate([coarse, 0.5 * (coarse[i] + coarse[j])])


@cache
def _load() -> HeadModel:
    with np.load(asset_path("head_template.npz"), allow_pickle=False) as template:
        coarse_vertices = template["vertices"].astype(np.float64)
        coarse_edges = template["edges"]
        fine_faces = template["fine_faces"]
        fine_labels = template["fine_labels"]
        mirror = template["mirror"]
        ambient_occlusion = template["ambient_occlusion"].astype(np.float64)
        outward = template["outward"].astype(np.float64)
        smooth = template["smooth"].astype(np.float64)
        scale = float(template["scale"])  # of the template, from MakeHuman's own unit
    with np.load(asset_path("makehuman_head.npz"), allow_pickle=False) as head:
        coarse_faces = head["tri"]
        identity = head["id"].astype(np.float64) * scale
        # The attention mesh says nothing about gaze or tongue: those modes would fit noise.
        fitted = [not str(n).startswith(("eyeLook", "tongue")) for n in head["ex_names"]]
        expression = head["ex"][fitted].astype(np.float64) * scale
    with np.load(asset_path("makehuman_landmarks.npz"), allow_pickle=False) as landmarks:
        landmark_vertices, landmark_weights = landmarks["i"], landmarks["b"]
    vertices = subdivide(coarse_vertices, coarse_edges)
    topology = MeshTopology(fine_faces, len(vertices))
    part = np.zeros(len(vertices), np.uint8)
    for label in Part:
        part[fine_faces[fine_labels == label]] = label
    zones = _zones(vertices, part, ambient_occlusion, topology)
    flatten_ears = HarmonicFill(topology, zones.ear_surround)
    without_ears = flatten_ears(smooth)
    outward = flatten_ears(outward)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    fine = HeadSurface(
        vertices=vertices,
        topology=topology,
        part=part,
        mirror=mirror,
        ambient_occlusion=ambient_occlusion,
        outward=outward,
        earless=np.where(zones.ear_surround[:, None], without_ears, vertices),
        zones=zones,
    )
    return HeadModel(
        identity=identity,
        expression=expression,
        landmark_vertices=landmark_vertices,
        landmark_weights=landmark_weights,
        warp=_landmark_warp(coarse_vertices, landmark_vertices, landmark_weights),
        coarse_edges=coarse_edges,
        coarse=_coarsened(fine, coarse_faces, len(coarse_vertices)),
        fine=fine,
        flatten_ears=flatten_ears,
    )


def _coarsened(fine: HeadSurface, faces: NDArray[np.integer], count: int) -> HeadSurface:
    """The coarse surface that the first ``count`` vertices of the fine one make."""
    zones = {f.name: getattr(fine.zones, f.name)[:count] for f in fields(HeadZones)}
    return HeadSurface(
        vertices=fine.vertices[:count],
        topology=MeshTopology(faces, count),
        part=fine.part[:count],
        mirror=fine.mirror[:count],
        ambient_occlusion=fine.ambient_occlusion[:count],
        outward=fine.outward[:count],
        earless=fine.earless[:count],
        zones=HeadZones(**zones),
    )


def _landmark_warp(
    vertices: NDArray[np.floating],
    landmark_vertices: NDArray[np.integer],
    landmark_weights: NDArray[np.floating],
) -> LandmarkWarp:
    points = (vertices[landmark_vertices] * landmark_weights[..., None]).sum(1)
    depth = vertices[:, 2]
    anchors = vertices[depth < np.median(depth) - 4.0][::15]
    centres = np.vstack([points, anchors])
    count = len(centres)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = np.eye(count) - _distances(centres, centres)  # smoothed by 1
    system[count, count] = 0.0
    basis = np.ones((len(vertices), count + 1), np.float32)
    near = _distances(vertices.astype(np.float32), centres.astype(np.float32))
    np.negative(near, out=basis[:, :count])
    return LandmarkWarp(lu_factor(system), basis)


def _distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """``(N, M)`` between ``(N, 3)`` and ``(M, 3)`` points."""
    squares = np.zeros((len(a), len(b)), a.dtype)
    for p, q in zip(a.T, b.T, strict=True):
        squares += np.subtract.outer(p, q) ** 2
    return np.sqrt(squares, out=squares)


def _zones(
    vertices: NDArray[np.floating],
    part: NDArray[np.uint8],
    ambient_occlusion: NDArray[np.floating],
    topology: MeshTopology,
) -> HeadZones:
    x, y, z = vertices.T
    skin = part == Part.SKIN
    ear = (np.hypot((y - 83.2) / 5.0, (z - 5.2) / 3.4) < 1.0) & (np.abs(x) > 6.6) & skin
    up, forward = y - 82.7, z - 5.1 + 0.2 * (y - 82.7)
    pinna = (np.hypot(up / 3.3, forward / 1.9) < 1.0) & ear
    ear_surround = ear.astype(np.float64)
    for _ in range(2):
        ear_surround = np.maximum(ear_surround, topology.neighbour_mean(ear_surround) > 0.01)
    mouth_bag = skin & (ambient_occlusion < 0.05) & (np.abs(x) < 4.5) & (y > 71) & (y < 79)
    mouth_bag &= (z > 2) & (z < 16)
    # The hairline, as height over depth: nape, behind the ear, sideburn, temple, forehead.
    hairline_z = [-6, -2, 1.5, 3.4, 6.0, 6.4, 8.0, 8.6, 9.6, 11, 13.5, 15, 16]
    hairline_y = [75.5, 76, 77.5, 79.5, 81.0, 83.0, 83.0, 85.5, 88.0, 89.8, 91.5, 92.3, 92.5]
    scalp = (y > np.interp(z, hairline_z, hairline_y)) & skin & ~pinna
    neck_weight = smoothstep(66.5, 75.0, y + 0.25 * (z - 5.0))
    # Shoulders reach up behind the neck: they stay, however high.
    from_neck_axis = np.hypot(x, np.minimum(z - 3.0, 0.0)) + np.maximum(0.0, -z - 4.0)
    neck_weight = neck_weight * np.where(y < 77, smoothstep(10.5, 7.5, from_neck_axis), 1.0)
    return HeadZones(
        skin=skin,
        mouth_bag=mouth_bag,
        ear=ear,
        ear_surround=(ear_surround > 0) & skin,
        pinna=pinna,
        scalp=scalp,
        neck_weight=neck_weight,
    )
