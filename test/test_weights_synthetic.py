"""The random weights with which anyone can run the rotate_and_render pipeline."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import published_files as files
import pytest
import torch

from opendr_facerot.errors import WeightsError
from opendr_facerot.generate.checkpoints import load_generator
from opendr_facerot.reconstruct.face_parameters import FaceParameters
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1
from opendr_facerot.reconstruct.roi import roi_from_box
from opendr_facerot.reconstruct.tddfa import Tddfa
from opendr_facerot.weights.importing import import_weights
from opendr_facerot.weights.installed import (
    RotateAndRenderWeights,
    installed_weights,
    weights_status,
)
from opendr_facerot.weights.manifest import Component
from opendr_facerot.weights.store import component_path
from opendr_facerot.weights.synthetic import write_synthetic


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def weights(root: Path) -> RotateAndRenderWeights:
    return installed_weights(root)


def test_set_is_complete_and_small(root: Path) -> None:
    states = weights_status(root)
    assert {state.fault for state in states} == {None}
    assert {state.licence for state in states} == {"CC0-1.0"}
    assert sum(state.size or 0 for state in states) < 12e6


def test_seed_fixes_every_byte(root: Path, tmp_path: Path) -> None:
    again, other = write_synthetic(tmp_path / "again"), write_synthetic(tmp_path / "other", seed=1)
    for component in Component:
        content = component_path(root, component).read_bytes()
        assert component_path(again, component).read_bytes() == content
    network = component_path(root, Component.NETWORK).read_bytes()
    assert component_path(other, Component.NETWORK).read_bytes() != network


def test_random_state_of_the_caller_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    write_synthetic(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_mesh_is_a_face_in_the_units_of_the_published_one(weights: RotateAndRenderWeights) -> None:
    model = weights.model
    vertices = model.vertices(np.zeros(40), np.zeros(10))
    landmarks = vertices[model.keypoints]
    assert 1.2e5 < np.ptp(landmarks[:, 0]) < 1.6e5  # cheek to cheek, micrometres
    right_eye, left_eye = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    nose, chin = landmarks[30], landmarks[8]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert chin[1] < nose[1] < right_eye[1]
    assert landmarks[:, 2].argmax() == 30
    expected = np.stack([right_eye, left_eye, nose, landmarks[48], landmarks[54]])
    distance = np.linalg.norm(vertices[model.alignment_vertices] - expected, axis=1)
    assert distance.max() < 1e4  # a centimetre
    first, second, third = (vertices[model.faces[:, k]] for k in range(3))
    normals = np.cross(second - first, third - first)
    assert normals[:, 2].sum() > 0  # counter-clockwise from the front


def test_zero_output_is_a_frontal_face_that_fills_its_region(
    weights: RotateAndRenderWeights,
) -> None:
    roi = np.array([100.0, 50.0, 340.0, 290.0])
    face = FaceParameters(weights.whitening.mean.astype(np.float64), roi)
    np.testing.assert_allclose((face.pose.yaw, face.pose.pitch, face.pose.roll), 0, atol=1e-6)
    network = MobileNetV1.from_state_dict(weights.network)
    landmarks = Tddfa(network, weights.whitening, weights.model).landmarks(face)[:, :2]
    centre = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    np.testing.assert_allclose(centre, [220.0, 172.0], atol=0.1)  # y flips about 121 of 120
    side = (landmarks.max(axis=0) - landmarks.min(axis=0)).max()
    assert side == pytest.approx(240 / math.sqrt(2), abs=0.1)


def test_any_image_gives_a_plausible_face(weights: RotateAndRenderWeights) -> None:
    network = MobileNetV1.from_state_dict(weights.network)
    tddfa = Tddfa(network, weights.whitening, weights.model, convention=weights.convention)
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    images = [noise, np.zeros_like(noise), np.full_like(noise, 255), noise // 4 + 100]
    box = [40.0, 40.0, 160.0, 160.0]
    seen = set()
    for image in images:
        (face,) = tddfa.fit(image, [roi_from_box(box)])
        assert max(abs(face.pose.yaw), abs(face.pose.pitch), abs(face.pose.roll)) < 0.6
        centre = tddfa.landmarks(face)[:, :2].mean(axis=0)
        np.testing.assert_allclose(centre, [100.0, 110.0], atol=40.0)
        seen.add(tuple(face.values))
    assert len(seen) == len(images)


def test_generator_runs_and_does_not_saturate(weights: RotateAndRenderWeights) -> None:
    generator = load_generator(weights.generator)
    torch.manual_seed(0)
    with torch.inference_mode():
        rendered = torch.full((1, 3, 128, 128), -1.0)
        coarse = torch.rand(1, 3, 5, 5) * 2 - 1
        rendered[..., 24:104, 24:104] = torch.nn.functional.interpolate(coarse, size=80)
        image = generator(rendered, torch.zeros(1, 5, 128, 128))
    assert image.shape == (1, 3, 128, 128)
    assert float(image.std()) > 0.1
    assert float((image.abs() > 0.99).float().mean()) < 0.05


def test_other_weights_are_not_overwritten(tmp_path: Path) -> None:
    generator = files.write_generator(tmp_path / "latest_net_G.pth")
    import_weights([generator], tmp_path / "root")
    installed = component_path(tmp_path / "root", Component.GENERATOR)
    before = installed.read_bytes()
    with pytest.raises(WeightsError, match=r"generator\.safetensors is not synthetic .*--dest"):
        write_synthetic(tmp_path / "root")
    assert installed.read_bytes() == before
    assert not component_path(tmp_path / "root", Component.NETWORK).exists()


def test_synthetic_and_published_weights_do_not_mix(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "root")
    source = files.write_3ddfa(tmp_path / "3ddfa")
    import_weights([source / "models"], tmp_path / "root", allow_modified=True)
    with pytest.raises(WeightsError, match="network is of 3ddfa but the whitening of synthetic"):
        installed_weights(tmp_path / "root")
    import_weights(
        [source / "train.configs" / "param_whitening.pkl"], tmp_path / "root", allow_modified=True
    )
    with pytest.raises(WeightsError, match="synthetic and published weights are mixed"):
        installed_weights(tmp_path / "root")
    import_weights([source], tmp_path / "root", allow_modified=True)
    assert installed_weights(tmp_path / "root").model.vertex_count == files.VERTEX_COUNT
