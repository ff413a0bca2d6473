"""MediaPipe's canonical face, from the metadata of its face geometry module."""

from __future__ import annotations

import json
import re

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from assets.npz import npz_bytes
from assets.sources import FACE_MESH, Sources

MEMBER = "package/face_mesh_solution_packed_assets.data"
_LOADER = "package/face_mesh_solution_packed_assets_loader.js"
_PACKED_FILE = "geometry_pipeline_metadata_landmarks.binarypb"

_FLOATS_PER_VERTEX = 5  # x, y, z, u, v
_FIELD = descriptor_pb2.FieldDescriptorProto
# The fields that are read here of mediapipe/modules/face_geometry/protos/.
_SCHEMA = {
    "Mesh": {
        3: ("vertex_buffer", _FIELD.LABEL_REPEATED, _FIELD.TYPE_FLOAT),
        4: ("index_buffer", _FIELD.LABEL_REPEATED, _FIELD.TYPE_UINT32),
    },
    "Weight": {
        1: ("landmark_id", _FIELD.LABEL_OPTIONAL, _FIELD.TYPE_UINT32),
        2: ("weight", _FIELD.LABEL_OPTIONAL, _FIELD.TYPE_FLOAT),
    },
    "Metadata": {
        1: ("canonical_mesh", _FIELD.LABEL_OPTIONAL, "Mesh"),
        2: ("procrustes_landmark_basis", _FIELD.LABEL_REPEATED, "Weight"),
    },
}


def build_canonical_face(sources: Sources) -> bytes:
    """The canonical face as an ``.npz`` file.

    ``vertices`` (468, 3) float32 centimetres, y up, z to the front; ``uv`` (468, 2) float32, v
    up; ``faces`` (898, 3) int32; ``procrustes_weights`` (468,) float32, 0 where a point says
    little about the pose.
    """
    metadata = _message_class()()
    metadata.ParseFromString(_packed_file(sources))
    mesh = metadata.canonical_mesh
    vertices = np.array(mesh.vertex_buffer, np.float32).reshape(-1, _FLOATS_PER_VERTEX)
    weights = np.zeros(len(vertices), np.float32)
    for reference in metadata.procrustes_landmark_basis:
        weights[reference.landmark_id] = reference.weight
    return npz_bytes(
        {
            "vertices": vertices[:, :3],
            "uv": vertices[:, 3:],
            "faces": np.array(mesh.index_buffer, np.int32).reshape(-1, 3),
            "procrustes_weights": weights,
        }
    )


def _packed_file(sources: Sources) -> bytes:
    """One file out of the package's archive, found by the index in the archive's loader."""
    loader = sources.read(FACE_MESH, _LOADER).decode()
    index = re.search(r'loadPackage\((\{"files".*?\})\)', loader)
    if index is None:
        raise SystemExit(f"{_LOADER} of {FACE_MESH} has no index of files")
    for entry in json.loads(index.group(1))["files"]:
        if entry["filename"].endswith("/" + _PACKED_FILE):
            return sources.read(FACE_MESH, MEMBER)[entry["start"] : entry["end"]]
    raise SystemExit(f"{MEMBER} of {FACE_MESH} does not hold {_PACKED_FILE}")


def _message_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="geometry.proto", package="geometry")
    for message_name, fields in _SCHEMA.items():
        message = file.message_type.add(name=message_name)
        for number, (name, label, kind) in fields.items():
            if isinstance(kind, str):
                message.field.add(
                    name=name,
                    number=number,
                    label=label,
                    type=_FIELD.TYPE_MESSAGE,
                    type_name=f".geometry.{kind}",
                )
            else:
                message.field.add(name=name, number=number, label=label, type=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("geometry.Metadata"))
