"""The generator against the original's outputs, and its folded form against itself."""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filled_weights import filled_weights
from numpy.typing import NDArray
from torch import Tensor, nn

from opendr_facerot.errors import DeviceError, ImageError, SettingsError
from opendr_facerot.generate.checkpoints import load_generator
from opendr_facerot.generate.inference import InferenceGenerator, fast_generator, generate_views
from opendr_facerot.generate.label_mask import mask_lines, needs_mask
from opendr_facerot.generate.landmark_labels import label_from_heat_maps, line_heat_maps
from opendr_facerot.generate.packed_convolution import PackedConvolution
from opendr_facerot.generate.precision import network_dtype
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator, SpadeNorm
from opendr_facerot.weights.synthetic import synthetic_generator

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "data" / "golden_generate"
TOLERANCE = 1e-4
CPU = torch.device("cpu")

UNUSUAL = [
    GeneratorOptions(ngf=3, n_downsample=2, n_blocks=1, kernel_size=5, initial_kernel_size=3),
    GeneratorOptions(ngf=2, n_downsample=3, n_blocks=4, kernel_size=1, initial_kernel_size=1),
    GeneratorOptions(ngf=2, n_downsample=1, n_blocks=2, label_channels=2),
]


def generator_with(options: GeneratorOptions) -> RotateSpadeGenerator:
    with torch.device("meta"):
        empty = RotateSpadeGenerator(options)
    return load_generator(filled_weights(empty), options)


def random_views(
    count: int, side: int, label_channels: int = 5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(0)
    rotated = random.uniform(-1.0, 1.0, (count, 3, side, side)).astype(np.float32)
    labels = random.random((count, label_channels, side, side)) > 0.8
    return rotated, labels.astype(np.float32)


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN / "generator.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def inputs(
    golden: dict[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The original's inputs, with labels and masks of our own."""
    with np.load(GOLDEN / "labels.npz") as file:
        heat_maps = [line_heat_maps(landmarks, 256, 2.5) for landmarks in file["landmarks68"]]
    masked = [
        mask_lines(rotated, maps, masked=needs_mask(yaw))
        for rotated, maps, yaw in zip(
            golden["rotated"], heat_maps, golden["photo_yaw"], strict=True
        )
    ]
    return np.stack(masked), np.stack([label_from_heat_maps(maps) for maps in heat_maps])


def test_names_and_shapes_of_the_published_weights() -> None:
    with torch.device("meta"):
        generator = RotateSpadeGenerator()
    with (GOLDEN / "generator_state_dict.tsv").open(newline="") as file:
        expected = {
            row["key"]: ast.literal_eval(row["shape"])
            for row in csv.DictReader(file, delimiter="\t")
        }
    state = generator.state_dict()
    assert list(state) == list(expected)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected
    assert sum(parameter.numel() for parameter in generator.parameters()) == 225_056_387


def test_shapes_at_full_size() -> None:
    with torch.device("meta"):
        generator = RotateSpadeGenerator().eval()
        folded = InferenceGenerator(generator)
        image, label = torch.empty(3, 3, 256, 256), torch.empty(3, 5, 256, 256)
    assert generator(image, label).shape == (3, 3, 256, 256)
    assert folded(image, label).shape == (3, 3, 256, 256)
    short = folded.in_format(torch.bfloat16)(image, label)
    assert (short.shape, short.dtype) == ((3, 3, 256, 256), torch.bfloat16)


def test_layers_and_output_of_the_original(
    golden: dict[str, NDArray[np.float32]], inputs: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    generator = generator_with(GeneratorOptions(ngf=4))
    seen: dict[str, NDArray[np.float32]] = {}

    def record(name: str, output: Tensor) -> None:
        seen[name] = output.numpy()

    for name, layer in generator.named_children():
        layer.register_forward_hook(lambda _, __, output, name=name: record(name, output))
    output = generate_views(generator, *inputs)
    np.testing.assert_allclose(output[..., ::4, ::4], golden["ngf4_output"], atol=TOLERANCE)
    for name in ("first_layer", "upsample_layers"):
        np.testing.assert_allclose(
            seen[name][..., ::8, ::8], golden[f"ngf4_{name}"], atol=TOLERANCE
        )
    for name in ("downsample_layers", "resnet_layers0", "resnet_layers8"):
        np.testing.assert_allclose(seen[name][:, ::4], golden[f"ngf4_{name}"], atol=TOLERANCE)


def test_folded_output_of_the_original(
    golden: dict[str, NDArray[np.float32]], inputs: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    folded = InferenceGenerator(generator_with(GeneratorOptions(ngf=4)))
    output = generate_views(folded, *inputs)
    np.testing.assert_allclose(output[..., ::4, ::4], golden["ngf4_output"], atol=TOLERANCE)


def test_full_size_output_of_the_original(
    golden: dict[str, NDArray[np.float32]], inputs: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    generator = generator_with(GeneratorOptions())
    rotated, labels = inputs
    output = generate_views(generator, rotated[1:], labels[1:])
    np.testing.assert_allclose(output[..., ::4, ::4], golden["ngf64_output"][1:], atol=TOLERANCE)


@pytest.mark.parametrize("options", UNUSUAL)
def test_folding_changes_nothing(options: GeneratorOptions) -> None:
    generator = generator_with(options)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    views = random_views(2, 32, options.label_channels)
    expected = generate_views(generator, *views)
    folded = InferenceGenerator(generator)
    assert expected.std() > 0.05
    np.testing.assert_allclose(generate_views(folded, *views), expected, atol=1e-5)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_folded_generator_is_plain_and_its_own() -> None:
    generator = generator_with(GeneratorOptions(ngf=2))
    folded = InferenceGenerator(generator)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(module._forward_pre_hooks for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    views = random_views(1, 32)
    expected = generate_views(folded, *views)
    with torch.no_grad():
        for tensor in generator.state_dict().values():
            tensor.zero_()
    np.testing.assert_array_equal(generate_views(folded, *views), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [GeneratorOptions(ngf=4), *UNUSUAL])
def test_packing_changes_nothing(options: GeneratorOptions, dtype: torch.dtype) -> None:
    generator = generator_with(options)
    plain = InferenceGenerator(generator).in_format(dtype)
    packed = fast_generator(generator, CPU, dtype)
    assert any(isinstance(module, PackedConvolution) for module in packed.modules())
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.ReLU | nn.Tanh
    assert not any(isinstance(module, kinds) for module in packed.modules())
    views = random_views(3, 32, options.label_channels)
    # Fused activations see the sums before they are rounded.
    tolerance = 1e-5 if dtype == torch.float32 else 2.0 / 127.5
    np.testing.assert_allclose(
        generate_views(packed, *views), generate_views(plain, *views), atol=tolerance
    )


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(5, 7, 3, stride=2, padding=1),
        nn.ConvTranspose2d(5, 7, 3, stride=2, padding=1, output_padding=1),
    ],
)
@pytest.mark.parametrize(
    ("activation", "formula"),
    [("none", torch.nn.Identity()), ("relu", torch.relu), ("tanh", torch.tanh)],
)
def test_packed_convolution(
    conv: nn.Conv2d | nn.ConvTranspose2d, activation: str, formula: Callable[[Tensor], Tensor]
) -> None:
    conv.requires_grad_(False)
    x = torch.randn(2, 5, 12, 10).contiguous(memory_format=torch.channels_last)
    expected = formula(conv(x))
    torch.testing.assert_close(PackedConvolution(conv, activation)(x), expected)


def reference_generator() -> RotateSpadeGenerator:
    """The weights of the original's recorded outputs."""
    return generator_with(GeneratorOptions())


def random_faces_generator() -> RotateSpadeGenerator:
    """The published architecture with weights whose pictures use the whole range of colours."""
    return load_generator(synthetic_generator(0, ngf=64).state_dict(), GeneratorOptions())


@pytest.mark.parametrize(
    "make", [lambda: generator_with(GeneratorOptions()), random_faces_generator]
)
def test_bfloat16_is_within_two_steps_of_a_colour(
    make: Callable[[], RotateSpadeGenerator],
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """At full size, in 99.5 % of the pixels, all three colours."""
    generator = make()
    rotated, labels = inputs
    exact = generate_views(generator, rotated[:1], labels[:1])
    short = generate_views(fast_generator(generator, CPU, torch.bfloat16), rotated[:1], labels[:1])
    assert short.dtype == np.float32
    assert exact.std() > 0.2
    steps = 127.5 * np.abs(short - exact)
    assert 0.0 < steps.mean() < 0.6
    assert (steps.max(axis=1) <= 2.0).mean() >= 0.995


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_automatic_precision_of_a_processor(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert network_dtype("auto", CPU) == expected
    assert network_dtype("float32", CPU) == torch.float32
    assert network_dtype("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)]
)
def test_automatic_precision_of_a_graphics_card(
    capability: tuple[int, int], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: capability >= (8, 0))
    card = torch.device("cuda:1")
    assert network_dtype("auto", card) == expected
    if expected == torch.float32:
        with pytest.raises(DeviceError, match="cuda:1 has no bfloat16"):
            network_dtype("bfloat16", card)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_size_of_batches_does_not_matter(batch_size: int) -> None:
    folded = InferenceGenerator(generator_with(GeneratorOptions(ngf=2)))
    rotated, labels = random_views(5, 32)
    outputs = generate_views(folded, rotated, labels, batch_size=batch_size)
    for view in range(5):
        alone = generate_views(folded, rotated[view, None], labels[view, None])
        np.testing.assert_allclose(outputs[view], alone[0], atol=1e-5)


def test_no_views() -> None:
    folded = InferenceGenerator(generator_with(GeneratorOptions(ngf=2)))
    assert generate_views(folded, *random_views(0, 32)).shape == (0, 3, 32, 32)


def test_spade_norm_is_its_formula() -> None:
    """At every pixel (x - mean) / sqrt(variance + eps) * (1 + gamma) + beta."""
    torch.manual_seed(0)
    norm = SpadeNorm(2, 3).eval()
    norm.param_free_norm.running_mean = mean = torch.tensor([0.5, -1.0])
    norm.param_free_norm.running_var = variance = torch.tensor([4.0, 0.25])
    x, label = torch.randn(1, 2, 5, 5), torch.rand(1, 3, 5, 5)
    with torch.no_grad():
        result = norm(x, label)
        hidden = norm.mlp_shared(label)
        gamma, beta = norm.mlp_gamma(hidden), norm.mlp_beta(hidden)
    for c, i, j in np.ndindex(2, 5, 5):
        normalised = (x[0, c, i, j] - mean[c]) / (variance[c] + 1e-5) ** 0.5
        expected = normalised * (1.0 + gamma[0, c, i, j]) + beta[0, c, i, j]
        assert float(result[0, c, i, j]) == pytest.approx(float(expected), abs=1e-5)


def test_label_reaches_the_blocks_at_every_16th_pixel() -> None:
    folded = InferenceGenerator(generator_with(GeneratorOptions(ngf=2)))
    rotated, labels = random_views(1, 64)
    expected = generate_views(folded, rotated, labels)
    unseen = labels.copy()
    unseen[..., 1:16, :] = 1.0 - unseen[..., 1:16, :]
    np.testing.assert_array_equal(generate_views(folded, rotated, unseen), expected)
    seen = labels.copy()
    seen[..., 16, 32] = 1.0 - seen[..., 16, 32]
    assert np.abs(generate_views(folded, rotated, seen) - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        ((1, 1, 32, 32), (1, 5, 32, 32), "give \\(B, 3, S, S\\)"),
        ((3, 32, 32), (5, 32, 32), "give \\(B, 3, S, S\\)"),
        ((1, 3, 32, 32), (1, 4, 32, 32), "expected \\(1, 5, 32, 32\\)"),
        ((1, 3, 32, 32), (1, 5, 32, 16), "expected \\(1, 5, 32, 32\\)"),
        ((1, 3, 40, 32), (1, 5, 40, 32), "multiples of 16, at least 32"),
        ((1, 3, 16, 16), (1, 5, 16, 16), "multiples of 16, at least 32"),
    ],
)
def test_wrong_shapes(image: tuple[int, ...], label: tuple[int, ...], message: str) -> None:
    with torch.device("meta"):
        generator = RotateSpadeGenerator().eval()
        folded = InferenceGenerator(generator)
        inputs = torch.empty(image), torch.empty(label)
    with pytest.raises(ImageError, match=message):
        generator(*inputs)
    with pytest.raises(ImageError, match=message):
        folded(*inputs)


def test_views_without_labels() -> None:
    folded = InferenceGenerator(generator_with(GeneratorOptions(ngf=2)))
    rotated, labels = random_views(3, 32)
    with pytest.raises(ImageError, match="3 rendered faces and 2 labels"):
        generate_views(folded, rotated, labels[:2], batch_size=1)


@pytest.mark.parametrize(
    "options",
    [{"ngf": 0}, {"n_blocks": -1}, {"n_downsample": 0}, {"kernel_size": 4}, {"label_channels": 0}],
)
def test_options_out_of_range(options: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        GeneratorOptions(**options)
