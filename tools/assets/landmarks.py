"""Where the points of the attention mesh lie on the MakeHuman head.

The head is drawn from a few sides, the landmark net finds its mesh in the drawings, and every
point is carried back to the surface that it was found on.
"""

from __future__ import annotations

import math

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from assets.npz import npz_bytes, read_npz
from opendr_facerot.detect.attention_mesh import AttentionMesh
from opendr_facerot.detect.mesh_topology import FACE_POINT_COUNT
from opendr_facerot.detect.yunet import FaceDetector
from opendr_facerot.geometry import (
    MODEL_TO_CAMERA,
    Intrinsics,
    fit_similarity,
    rotation_from_euler,
)
from opendr_facerot.geometry.mesh import MeshTopology
from opendr_facerot.render.projection import view_fragments

# Yaw and pitch: near the front for the features, from the sides for the cheeks and the jaw.
_VIEWS_DEG = (
    *((0, 0), (0, 8), (0, -8), (12, 0), (-12, 0)),
    *((22, 0), (-22, 0), (35, 0), (-35, 0)),
)
_SIZE = 768
_CAMERA = Intrinsics(focal=2.0 * _SIZE, cx=(_SIZE - 1) / 2, cy=(_SIZE - 1) / 2)
_DISTANCE = 60.0  # centimetres
_HEAD_HEIGHT, _CENTRE_BELOW_CROWN = 25.0, 14.0

_SKIN, _LEFT_EYE, _RIGHT_EYE = 0, 1, 2
_LIGHT = np.array([0.25, 0.35, 0.9])
_AMBIENT, _DIFFUSE = 0.3, 0.75
_SKIN_COLOUR, _BACKGROUND = (205, 150, 120), (130, 140, 150)
_SCLERA, _IRIS, _PUPIL = (232, 228, 225), (110, 85, 60), (15, 15, 15)
_IRIS_RADIUS, _PUPIL_RADIUS = 0.5, 0.24  # of the eyeball's

_MIN_WEIGHT = 0.15  # a point that was seen less is taken from the canonical face
_WARP_SMOOTHING, _WARP_NEIGHBOURS = 1.0, 80

_Array = NDArray[np.float64]


def build_landmarks(makehuman_head: bytes, canonical_face: bytes) -> bytes:
    """The correspondence as an ``.npz`` file.

    ``i`` (468, 3) int32 vertices of ``makehuman_head.npz`` around each point; ``b`` (468, 3)
    float64 their barycentric weights.
    """
    head = read_npz(makehuman_head)
    canonical_data = read_npz(canonical_face)
    canonical = canonical_data["vertices"].astype(np.float64)
    vertices, faces, labels = head["v"].astype(np.float64), head["tri"], head["lab"]
    subject = _Subject(vertices, faces, labels)
    points, weight = _found_points(subject, MeshTopology(canonical_data["faces"], len(canonical)))
    points, weight = _symmetric(points, weight, canonical)
    points = _completed(points, weight, canonical)
    skin = faces[labels == _SKIN]
    surface = trimesh.Trimesh(vertices, skin, process=False)
    on_surface, _, face = trimesh.proximity.closest_point(surface, points)
    barycentric = trimesh.triangles.points_to_barycentric(surface.triangles[face], on_surface)
    barycentric = barycentric.clip(0, 1)
    barycentric /= barycentric.sum(1, keepdims=True)
    return npz_bytes({"i": skin[face].astype(np.int32), "b": barycentric})


class _Subject:
    """The head as the thing that is drawn.

    Attributes:
        vertices: ``(n, 3)`` centimetres.
        normals: ``(n, 3)`` unit normals.
        faces: ``(t, 3)`` triangles.
        centre: ``(3,)`` where the cameras look.
    """

    def __init__(
        self, vertices: _Array, faces: NDArray[np.integer], labels: NDArray[np.integer]
    ) -> None:
        topology = MeshTopology(faces, len(vertices))
        self.vertices = vertices
        self.normals = topology.vertex_normals(vertices)
        self.faces = topology.faces
        self._labels = labels
        crown = vertices[:, 1].max()
        depth = vertices[vertices[:, 1] > crown - _HEAD_HEIGHT, 2].mean()
        self.centre = np.array([0.0, crown - _CENTRE_BELOW_CROWN, depth])

    def colours(
        self, points: _Array, light: _Array, face_index: NDArray[np.integer]
    ) -> NDArray[np.uint8]:
        """RGB of surface points ``(..., 3)`` under ``light`` (...): shaded skin, plain eyes."""
        colours = np.asarray(_SKIN_COLOUR) * light[..., None]
        for label in (_LEFT_EYE, _RIGHT_EYE):
            ball = self.vertices[np.unique(self.faces[self._labels == label])]
            middle = ball.mean(0)
            radius = np.ptp(ball[:, 0]) / 2
            off_axis = np.linalg.norm((points - middle)[..., :2], axis=-1) / radius
            front = points[..., 2] > middle[2]
            eye = self._labels[face_index] == label
            colours[eye] = _SCLERA
            colours[eye & front & (off_axis < _IRIS_RADIUS)] = _IRIS
            colours[eye & front & (off_axis < _PUPIL_RADIUS)] = _PUPIL
        colours[face_index < 0] = _BACKGROUND
        return colours.clip(0, 255).astype(np.uint8)


class _View:
    """A drawing of the subject, turned by yaw and pitch in radians.

    Attributes:
        image: ``(S, S, 3)`` uint8 RGB.
        points: ``(S, S, 3)`` the surface points that its pixels show.
        facing: ``(S, S)`` cosine between the surface and the camera; 0 beside the head.
    """

    def __init__(self, subject: _Subject, yaw: float, pitch: float) -> None:
        rotation = rotation_from_euler(yaw, pitch)
        turned = (subject.vertices - subject.centre) @ rotation.T
        in_camera = turned @ MODEL_TO_CAMERA + [0.0, 0.0, _DISTANCE]
        fragments = view_fragments(in_camera, subject.faces, _CAMERA, _SIZE)
        corners = subject.faces[fragments.face_index]
        # From weights on the screen to weights on the surface.
        weights = fragments.barycentric / in_camera[corners, 2]
        weights /= weights.sum(-1, keepdims=True).clip(1e-9)
        normals = (subject.normals[corners] * weights[..., None]).sum(-2) @ rotation.T
        self.points = (subject.vertices[corners] * weights[..., None]).sum(-2)
        self.facing = np.where(fragments.face_index >= 0, normals[..., 2].clip(0, 1), 0.0)
        light = _AMBIENT + _DIFFUSE * (normals @ _LIGHT).clip(0, 1)
        self.image = subject.colours(self.points, light, fragments.face_index)


def _found_points(subject: _Subject, mesh: MeshTopology) -> tuple[_Array, _Array]:
    """Mean place ``(468, 3)`` of each point over the views, and the sum of its weights.

    A view counts by the squared cosine of the angle at which it sees the point: on the surface
    that it shows there, and by the net's own mesh, which knows when the point is behind it.
    """
    detector, mesh_net = FaceDetector(), AttentionMesh()
    total, weight = np.zeros((FACE_POINT_COUNT, 3)), np.zeros(FACE_POINT_COUNT)
    for yaw_deg, pitch_deg in _VIEWS_DEG:
        view = _View(subject, math.radians(yaw_deg), math.radians(pitch_deg))
        (face,) = detector.detect(view.image, min_score=0.5, min_size=100)
        found = mesh_net.landmarks(view.image, face).points[:FACE_POINT_COUNT]
        column, row = np.round(found[:, :2]).astype(int).T
        mesh_facing = mesh.vertex_normals(found * [1, -1, -1])[:, 2].clip(0, 1)
        share = np.minimum(view.facing[row, column], mesh_facing) ** 2
        total += view.points[row, column] * share[:, None]
        weight += share
    return total / weight[:, None].clip(1e-6), weight


def _symmetric(points: _Array, weight: _Array, canonical: _Array) -> tuple[_Array, _Array]:
    """Points and weights averaged with their mirror images: the head is symmetric."""
    _, mirror = cKDTree(canonical).query(canonical * [-1, 1, 1])
    both = weight + weight[mirror]
    mirrored = points[mirror] * [-1, 1, 1]
    mean = points * weight[:, None] + mirrored * weight[mirror, None]
    return mean / both[:, None].clip(1e-6), both / 2


def _completed(points: _Array, weight: _Array, canonical: _Array) -> _Array:
    """Smoothed points, those that were hardly seen taken from the canonical face.

    The canonical face is moved onto the points as a rigid body, then by a thin-plate spline.
    """
    seen = weight > _MIN_WEIGHT
    moved = fit_similarity(canonical[seen], points[seen]).apply(canonical)
    warp = RBFInterpolator(
        moved[seen],
        (points - moved)[seen],
        kernel="thin_plate_spline",
        smoothing=_WARP_SMOOTHING,
        neighbors=_WARP_NEIGHBOURS,
    )
    return moved + warp(moved)
