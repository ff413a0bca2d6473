"""Loading weights: what fits, what does not, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from filled_weights import ALIASES, filled_weights
from safetensors.torch import save_file
from torch import Tensor, nn

from opendr_facerot.errors import WeightsError
from opendr_facerot.generate.checkpoints import generator_options, load_generator, load_weights
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator

pytestmark = pytest.mark.slow

OPTIONS = GeneratorOptions(ngf=2, n_downsample=2, n_blocks=3)
ALIASED = ["resnet_layers1.conv_block4.weight_orig", "resnet_layers1.conv_1.weight_orig"]


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """Weights of a small generator, each under one name."""
    with torch.device("meta"):
        return filled_weights(RotateSpadeGenerator(OPTIONS))


def assert_loaded(network: nn.Module, weights: dict[str, Tensor]) -> None:
    state = network.state_dict()
    for name, tensor in weights.items():
        assert torch.equal(state[name], tensor), name


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the second names of the tensors that have two."""
    result = {}
    for name, tensor in weights.items():
        for second, first in ALIASES.items():
            name = name.replace(first, second)
        result[name] = tensor
    return result


def test_first_names_second_names_or_both(weights: dict[str, Tensor]) -> None:
    second = renamed(weights)
    assert len(second.keys() - weights.keys()) == 3 * 2 * 4
    for checkpoint in (weights, second, weights | second):
        generator = load_generator(checkpoint)
        assert_loaded(generator, weights)
        assert not generator.training
        assert generator.options == OPTIONS


def test_saved_state_has_both_names(weights: dict[str, Tensor]) -> None:
    generator = load_generator(weights)
    saved = generator.state_dict()
    assert saved.keys() == (weights | renamed(weights)).keys()
    assert generator.blocks[1].conv_block4 is generator.blocks[1].conv_1
    assert_loaded(load_generator(saved), weights)


def test_names_of_data_parallel_training(weights: dict[str, Tensor]) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
    assert_loaded(load_generator(wrapped), weights)
    wrapped["final_layer.1.bias"] = wrapped.pop("module.final_layer.1.bias")
    with pytest.raises(WeightsError, match="no checkpoint of a RotateSPADE generator"):
        load_generator(wrapped)


def test_safetensors_file(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    save_file(weights, path)
    assert_loaded(load_generator(path), weights)
    assert_loaded(load_generator(str(path)), weights)


def test_half_precision_becomes_single(weights: dict[str, Tensor]) -> None:
    half = {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}
    generator = load_generator(half)
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}
    assert_loaded(generator, {name: t.to(weights[name].dtype) for name, t in half.items()})


def test_copying_leaves_the_checkpoint_alone(weights: dict[str, Tensor]) -> None:
    generator = RotateSpadeGenerator(OPTIONS)
    assert not load_weights(generator, weights)
    assert_loaded(generator, weights)
    generator.train()(torch.zeros(2, 3, 16, 16), torch.zeros(2, 5, 16, 16))  # changes the buffers
    with torch.device("meta"):
        again = filled_weights(generator)
    for name, tensor in weights.items():
        assert torch.equal(tensor, again[name])


def test_everything_that_does_not_fit_is_listed(weights: dict[str, Tensor]) -> None:
    del weights["final_layer.1.bias"]
    del weights[ALIASED[1]]
    weights["encoder.weight"] = torch.zeros(1)
    weights["upsample_layers.0.1.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        load_generator(weights)
    message = str(caught.value)
    assert f"2 missing (final_layer.1.bias, {ALIASED[1]})" in message
    assert "1 unexpected (encoder.weight)" in message
    assert "1 of the wrong shape (upsample_layers.0.1.bias (7,), not (4,))" in message


def test_long_lists_are_cut() -> None:
    network = nn.Sequential(*(nn.Linear(1, 1) for _ in range(20)))
    with pytest.raises(WeightsError, match=r"40 missing \(0\.weight, .*4\.bias and 30 more\)"):
        load_weights(network, {})


def test_one_block_of_several_is_missing(weights: dict[str, Tensor]) -> None:
    without = {n: t for n, t in weights.items() if not n.startswith("resnet_layers1.")}
    with pytest.raises(WeightsError, match=r"missing \(resnet_layers1\..*unexpected \(resnet_lay"):
        load_generator(without)


def test_wanted_architecture_is_checked(weights: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match="of the wrong shape"):
        load_generator(weights, GeneratorOptions(ngf=4, n_downsample=2, n_blocks=3))


def test_two_names_with_different_values(weights: dict[str, Tensor]) -> None:
    weights[ALIASED[0]] = weights[ALIASED[1]] + 1.0
    with pytest.raises(WeightsError, match="different values"):
        load_generator(weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_that_is_no_number(weights: dict[str, Tensor], value: float) -> None:
    weights["final_layer.1.bias"][1] = value
    with pytest.raises(WeightsError, match=r"final_layer\.1\.bias that are not finite"):
        load_generator(weights)


def test_nothing_is_changed_by_a_checkpoint_that_is_refused(weights: dict[str, Tensor]) -> None:
    generator = RotateSpadeGenerator(OPTIONS)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    weights["final_layer.1.bias"][:] = float("nan")
    with pytest.raises(WeightsError):
        load_weights(generator, weights)
    assert_loaded(generator, before)


def test_warm_start_takes_what_fits(weights: dict[str, Tensor]) -> None:
    other = GeneratorOptions(ngf=2, n_downsample=2, n_blocks=2, initial_kernel_size=5)
    generator = RotateSpadeGenerator(other)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    del weights["final_layer.1.weight"]
    mismatch = load_weights(generator, weights, strict=False)
    assert mismatch
    assert mismatch.missing == ["final_layer.1.weight"]
    assert all(name.startswith("resnet_layers2.") for name in mismatch.unexpected)
    assert mismatch.shapes == {
        "first_layer.1.0.weight_orig": ((2, 3, 7, 7), (2, 3, 5, 5)),
        "first_layer.1.0.weight_v": ((147,), (75,)),
    }
    left = {"final_layer.1.weight", *mismatch.shapes}
    assert_loaded(generator, {name: before[name] for name in left})
    state = generator.state_dict()
    assert_loaded(generator, {n: t for n, t in weights.items() if n in state and n not in left})


def test_warm_start_needs_values_to_start_from(weights: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        generator = RotateSpadeGenerator(OPTIONS)
    del weights["final_layer.1.weight"]
    with pytest.raises(WeightsError, match=r"1 missing \(final_layer\.1\.weight\)"):
        load_weights(generator, weights, strict=False)


def test_architecture_is_read_from_shapes() -> None:
    options = GeneratorOptions(
        3, 4, n_downsample=3, n_blocks=2, kernel_size=5, initial_kernel_size=9
    )
    with torch.device("meta"):
        assert generator_options(RotateSpadeGenerator(options).state_dict()) == options


@pytest.mark.parametrize(
    "checkpoint",
    [{}, {"weight": torch.zeros(3)}, {"first_layer.1.0.weight_orig": torch.zeros(3)}],
)
def test_checkpoint_of_something_else(checkpoint: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"first_layer\.1\.0\.weight_orig: it is no checkpoint"):
        load_generator(checkpoint)


def test_even_kernel(weights: dict[str, Tensor]) -> None:
    weights["first_layer.1.0.weight_orig"] = torch.zeros(2, 3, 4, 4)
    with pytest.raises(WeightsError, match="initial_kernel_size is 4"):
        load_generator(weights)


def test_value_that_is_no_tensor(weights: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match="has a dict as state_dict"):
        load_generator({"state_dict": weights})  # type: ignore[dict-item]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.float8_e4m3fn])
def test_tensor_of_another_kind_of_number(weights: dict[str, Tensor], dtype: torch.dtype) -> None:
    weights["final_layer.1.bias"] = torch.zeros(3).to(dtype)
    with pytest.raises(WeightsError, match=r"final_layer\.1\.bias as torch\.(complex|bool|float8)"):
        load_generator(weights)


def test_files_that_are_missing_or_damaged(weights: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*absent\.safetensors"):
        load_generator(tmp_path / "absent.safetensors")
    path = tmp_path / "cut.safetensors"
    save_file(weights, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"cut\.safetensors cannot be read"):
        load_generator(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"cut\.safetensors cannot be read"):
        load_generator(path)
