"""3DDFA: the network against the original's outputs, the fit against its steps done by hand."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.bfm import MorphableModel
from opendr_facerot.reconstruct.face_parameters import FaceParameters, PixelConvention, Whitening
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1, check_state_dict, from_checkpoint
from opendr_facerot.reconstruct.roi import crop_roi, roi_from_box, roi_from_landmarks
from opendr_facerot.reconstruct.tddfa import Tddfa

GOLDEN = Path(__file__).parent / "data" / "golden_tddfa"


def golden_entries() -> list[dict[str, str]]:
    with (GOLDEN / "mobilenet_v1_w1.0_state_dict.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def seeded_state() -> dict[str, torch.Tensor]:
    """Weights by the rule that the reference output was made with."""
    state = {}
    for index, row in enumerate(golden_entries()):
        key, shape = row["key"], ast.literal_eval(row["shape"])
        random = np.random.RandomState(1000 + index)
        if key.endswith("num_batches_tracked"):
            values = np.zeros(shape, np.int64)
        elif key.endswith("running_var"):
            values = (0.5 + random.rand(*shape)).astype(np.float32)
        elif key.endswith("running_mean"):
            values = (0.1 * random.randn(*shape)).astype(np.float32)
        elif ".bn" in f".{key}" and key.endswith("weight"):
            values = (0.5 + random.rand(*shape)).astype(np.float32)
        elif key.endswith("bias"):
            values = (0.1 * random.randn(*shape)).astype(np.float32)
        else:
            deviation = np.sqrt(2.0 / np.prod(shape[1:]))
            values = (random.randn(*shape) * deviation).astype(np.float32)
        state[key] = torch.from_numpy(values)
    return state


def random_model(vertex_count: int = 120) -> MorphableModel:
    random = np.random.default_rng(1)
    return MorphableModel(
        mean=random.normal(0, 6e4, 3 * vertex_count).astype(np.float32),
        shape_basis=random.normal(0, 0.02, (3 * vertex_count, 40)).astype(np.float32),
        expression_basis=random.normal(0, 2e3, (3 * vertex_count, 10)).astype(np.float32),
        faces=random.integers(0, vertex_count, (50, 3)).astype(np.int32),
        keypoints=random.permutation(vertex_count)[:68].astype(np.int32),
        alignment_vertices=random.permutation(vertex_count)[:5].astype(np.int32),
    )


def random_whitening() -> Whitening:
    random = np.random.default_rng(2)
    camera = np.array([[5e-4, 0, 0, 60], [0, 5e-4, 0, 62], [0, 0, 5e-4, -70]])
    mean = np.concatenate([camera.ravel(), random.normal(0, 1e5, 40), random.normal(0, 1, 10)])
    std = np.concatenate([np.full(12, 1e-6), np.full(40, 1e4), np.full(10, 0.1)])
    return Whitening(mean.astype(np.float32), std.astype(np.float32))


def assert_same_parameters(one: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """Within 1e-4 of what the network says, and the rounding of adding the mean."""
    whitening = random_whitening()
    tolerance = 1e-4 * whitening.std + 1e-6 * np.abs(whitening.mean)
    assert (np.abs(one - other) <= tolerance).all()


@pytest.fixture(scope="module")
def tddfa() -> Tddfa:
    return Tddfa(MobileNetV1.from_state_dict(seeded_state()), random_whitening(), random_model())


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC))


def test_entries_are_those_of_the_original() -> None:
    entries = MobileNetV1(1.0).state_dict()
    rows = golden_entries()
    assert list(entries) == [row["key"] for row in rows]
    for row in rows:
        assert tuple(entries[row["key"]].shape) == ast.literal_eval(row["shape"])
    assert sum(p.numel() for p in MobileNetV1(1.0).parameters()) == 3_270_526


def test_seeded_weights_are_those_of_the_reference() -> None:
    state = seeded_state()
    for row in golden_entries():
        total = float(state[row["key"]].double().sum())
        assert total == pytest.approx(float(row["sum_of_seeded_values"]), abs=1e-6)


def test_network_output_matches_the_original() -> None:
    bgr = np.random.RandomState(7).randint(0, 256, (2, 120, 120, 3)).astype(np.uint8)
    identity = Whitening(np.zeros(62, np.float32), np.ones(62, np.float32))
    checkpoint = {f"module.{key}": value for key, value in seeded_state().items()}
    network = MobileNetV1.from_state_dict(from_checkpoint(checkpoint))
    output = Tddfa(network, identity, random_model()).regress(bgr[..., ::-1])
    with np.load(GOLDEN / "mobilenet_v1_output.npz") as golden:
        np.testing.assert_allclose(output, golden["output"], atol=1e-4, rtol=0)


def test_second_generation_checkpoint_has_its_head_renamed() -> None:
    with (GOLDEN / "mb05_checkpoint_keys.tsv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    entries = {key: torch.zeros(ast.literal_eval(shape)) for key, shape, _ in rows}
    entries["module.fc_param.bias"] += 7.0
    entries["module.fc_lm.bias"] += 9.0
    network = MobileNetV1.from_state_dict(from_checkpoint(entries))
    assert network.fc.in_features == 512
    assert (network.fc.bias == 7.0).all()


@pytest.mark.parametrize("width", [0.1, 0.25, 0.3, 0.75, 1.3])
def test_width_is_found_from_the_weights(width: float) -> None:
    original = MobileNetV1(width)
    copy = MobileNetV1.from_state_dict(original.state_dict())
    shapes = {key: tuple(value.shape) for key, value in original.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in copy.state_dict().items()} == shapes
    assert shapes["dw3_2.conv_sep.weight"] == (int(256 * width), int(128 * width), 1, 1)
    assert not copy.training


def test_network_runs_on_the_device_of_its_weights() -> None:
    with torch.device("meta"):
        output = MobileNetV1(0.5)(torch.empty(5, 3, 120, 120))
    assert output.shape == (5, 62)
    assert output.device.type == "meta"


def test_wrong_entries_are_named() -> None:
    state = MobileNetV1(0.25).state_dict()
    lacking = {k: v for k, v in state.items() if k != "dw5_3.bn_sep.bias"}
    with pytest.raises(WeightsError, match=r"lacks dw5_3\.bn_sep\.bias"):
        check_state_dict(lacking)
    with pytest.raises(WeightsError, match=r"unknown entries: dw7\.weight"):
        check_state_dict(state | {"dw7.weight": torch.zeros(3)})
    with pytest.raises(
        WeightsError, match=r"conv1\.weight has shape \(9, 3, 3, 3\).*\(8, 3, 3, 3\)"
    ):
        check_state_dict(state | {"conv1.weight": torch.zeros(9, 3, 3, 3)})
    with pytest.raises(WeightsError, match=r"bn1\.bias holds numbers that are not finite"):
        check_state_dict(state | {"bn1.bias": torch.full((8,), torch.nan)})
    with pytest.raises(WeightsError, match=r"no usable fc\.weight"):
        check_state_dict({})


def test_one_step_fit_is_crop_network_whitening(tddfa: Tddfa, photo: NDArray[np.uint8]) -> None:
    roi = roi_from_box([120, 80, 260, 210])
    (face,) = tddfa.fit(photo, [roi], two_step=False)
    bgr = crop_roi(photo, roi)[..., ::-1]
    inputs = (bgr.astype(np.float32) - 127.5) / 128
    network = MobileNetV1.from_state_dict(seeded_state())
    output = network(torch.from_numpy(inputs.transpose(2, 0, 1)[None].copy()))[0].numpy()
    whitening = random_whitening()
    assert_same_parameters(face.values, output * whitening.std + whitening.mean)
    np.testing.assert_array_equal(face.roi, roi)


def test_second_step_looks_at_the_landmarks_of_the_first(
    tddfa: Tddfa, photo: NDArray[np.uint8]
) -> None:
    roi = roi_from_box([120, 80, 260, 210])
    (first,) = tddfa.fit(photo, [roi], two_step=False)
    (second,) = tddfa.fit(photo, [roi])
    expected_roi = roi_from_landmarks(tddfa.landmarks(first))
    np.testing.assert_array_equal(second.roi, expected_roi)
    assert np.abs(expected_roi - roi).max() > 5
    (expected,) = tddfa.fit(photo, [expected_roi], two_step=False)
    assert_same_parameters(second.values, expected.values)


def test_faces_of_one_image_are_fitted_together(tddfa: Tddfa, photo: NDArray[np.uint8]) -> None:
    rois = [[10.0, 20.0, 150.0, 160.0], [200.0, 90.0, 330.0, 220.0], [-30.0, 5.0, 90.0, 125.0]]
    together = tddfa.fit(photo, rois)
    for roi, face in zip(rois, together, strict=True):
        (alone,) = tddfa.fit(photo, [roi])
        np.testing.assert_allclose(face.roi, alone.roi, atol=1e-3)
        assert_same_parameters(face.values, alone.values)
    assert tddfa.fit(photo, []) == []


def test_landmarks_are_vertices_of_the_mesh(tddfa: Tddfa, photo: NDArray[np.uint8]) -> None:
    (face,) = tddfa.fit(photo, [[10.0, 20.0, 150.0, 160.0]])
    vertices = tddfa.vertices(face)
    assert vertices.shape == (120, 3)
    np.testing.assert_allclose(
        tddfa.landmarks(face), vertices[tddfa.model.keypoints], rtol=1e-5, atol=1e-3
    )


def test_vertices_are_mean_plus_modes() -> None:
    model = random_model()
    random = np.random.default_rng(4)
    shape, expression = random.normal(0, 2e5, 40), random.normal(0, 1, 10)
    vertices = model.vertices(shape, expression)
    assert vertices.dtype == np.float32
    for v in (0, 17, 119):
        for axis in range(3):
            row = 3 * v + axis
            expected = float(model.mean[row])
            expected += sum(
                float(w) * a for w, a in zip(model.shape_basis[row], shape, strict=True)
            )
            expected += sum(
                float(w) * a for w, a in zip(model.expression_basis[row], expression, strict=True)
            )
            assert vertices[v, axis] == pytest.approx(expected, abs=0.1)  # of some 1e5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", np.zeros(361, np.float32), "mean has 361 numbers"),
        ("mean", np.full(360, np.nan, np.float32), "mean holds numbers that are not finite"),
        ("shape_basis", np.zeros((360, 39), np.float32), r"shape_basis .*\(360, 39\).*\(360, 40\)"),
        ("expression_basis", np.zeros((360, 10)), "expression_basis is float64"),
        ("faces", np.array([[0, 1, 120]], np.int32), "names vertices 0 to 120.*0 to 119"),
        ("keypoints", np.arange(-1, 67, dtype=np.int32), "names vertices -1 to 66"),
        ("alignment_vertices", np.arange(4, dtype=np.int32), r"\(4,\): expected int32 \(5,\)"),
    ],
)
def test_model_refuses_wrong_arrays(field: str, value: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MorphableModel(**{**vars(random_model()), field: value})


def test_convention_reaches_the_result(photo: NDArray[np.uint8]) -> None:
    network = MobileNetV1.from_state_dict(seeded_state())
    second = Tddfa(network, random_whitening(), random_model(), convention=PixelConvention.TDDFA_V2)
    values = np.concatenate([[5e-4, 0, 0, 60, 0, 5e-4, 0, 62, 0, 0, 5e-4, -70], np.zeros(50)])
    face = FaceParameters(values, np.array([0.0, 0.0, 240.0, 240.0]))
    first = Tddfa(network, random_whitening(), random_model())
    shift = first.vertices(face) - second.vertices(face)
    np.testing.assert_allclose(shift[:, 0], 2.0, atol=1e-3)  # a pixel of the crop is two here
    np.testing.assert_allclose(shift[:, 1], 2.0, atol=1e-3)
    assert second.vertices(face)[:, 2].min() == 0.0
