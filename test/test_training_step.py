"""One training step against the original's, losses and discriminators against their formulas."""

from __future__ import annotations

import ast
import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from filled_weights import filled_weights
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from opendr_facerot.errors import SettingsError
from opendr_facerot.generate.checkpoints import load_weights
from opendr_facerot.generate.discriminator import DiscriminatorOptions, MultiscaleDiscriminator
from opendr_facerot.generate.landmark_labels import label_from_heat_maps, line_heat_maps
from opendr_facerot.generate.losses import (
    PERCEPTUAL_WEIGHTS,
    feature_matching_loss,
    hinge_loss_fake,
    hinge_loss_generator,
    hinge_loss_real,
    perceptual_loss,
)
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator
from opendr_facerot.generate.training_step import (
    AdversarialTrainer,
    LossWeights,
    StepResult,
    TrainingBatch,
)
from opendr_facerot.generate.weight_init import initialise_weights

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "data" / "golden_generate"

SMALL_GENERATOR = GeneratorOptions(ngf=2, n_downsample=2, n_blocks=1)
SMALL_DISCRIMINATOR = DiscriminatorOptions(ndf=2)


def filled(network: nn.Module) -> nn.Module:
    load_weights(network, filled_weights(network))
    return network


def small_trainer(*, rotated: bool = True, **settings: object) -> AdversarialTrainer:
    return AdversarialTrainer(
        filled(RotateSpadeGenerator(SMALL_GENERATOR)),
        filled(MultiscaleDiscriminator(SMALL_DISCRIMINATOR)),
        filled(MultiscaleDiscriminator(SMALL_DISCRIMINATOR)) if rotated else None,
        **settings,  # type: ignore[arg-type]
    )


def small_batch(seed: int = 0) -> TrainingBatch:
    random = torch.Generator().manual_seed(seed)

    def image() -> Tensor:
        return torch.rand(2, 3, 32, 32, generator=random) * 2.0 - 1.0

    def label() -> Tensor:
        return (torch.rand(2, 5, 32, 32, generator=random) > 0.8).float()

    return TrainingBatch(image(), label(), image(), image(), label())


def copied_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def gradient_norms(network: nn.Module) -> dict[str, float]:
    return {
        name: float(parameter.grad.double().norm())
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.float64]]:
    with np.load(GOLDEN / "training_step.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def trainer() -> AdversarialTrainer:
    """Generator of 4 and discriminators of 8 channels."""
    discriminator = DiscriminatorOptions(ndf=8)
    return AdversarialTrainer(
        filled(RotateSpadeGenerator(GeneratorOptions(ngf=4))),
        filled(MultiscaleDiscriminator(discriminator)),
        filled(MultiscaleDiscriminator(discriminator)),
    )


@pytest.fixture(scope="module")
def result(trainer: AdversarialTrainer, golden: dict[str, NDArray[np.float32]]) -> StepResult:
    """Of a sample and its mirror image."""

    def with_mirror(array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.stack([array, array[..., ::-1]]))

    label, rotated_label = (
        label_from_heat_maps(line_heat_maps(golden[name], 256, 2.5))
        for name in ("landmarks68", "rotated_landmarks68")
    )
    photo = golden["photo"].astype(np.float32) / np.float32(255) * 2 - 1
    return trainer.step(
        TrainingBatch(
            rotated_back=with_mirror(golden["rotated_back"]),
            label=with_mirror(label),
            photo=with_mirror(photo),
            rotated=with_mirror(golden["rotated"]),
            rotated_label=with_mirror(rotated_label),
        )
    )


def test_images_of_the_original(result: StepResult, golden: dict[str, NDArray[np.float32]]) -> None:
    np.testing.assert_allclose(result.fake[..., ::4, ::4], golden["fake"], atol=1e-4)
    np.testing.assert_allclose(result.rotated_fake[..., ::4, ::4], golden["fake_rotate"], atol=1e-4)


def test_losses_of_the_original(result: StepResult, golden: dict[str, NDArray[np.float32]]) -> None:
    generator, discriminator = result.generator_losses, result.discriminator_losses
    for loss, name in (
        (generator["adversarial"], "g_GAN"),
        (generator["feature_matching"], "g_GAN_Feat"),
        (generator["rotated_adversarial"], "g_GAN_rotate"),
        (discriminator["fake"], "d_D_Fake"),
        (discriminator["real"], "d_D_real"),
        (discriminator["rotated_fake"], "d_D_rotate_Fake"),
        (discriminator["rotated_real"], "d_D_rotate_real"),
    ):
        assert loss.item() == pytest.approx(float(golden[name][0]), rel=1e-4), name
    assert len(generator) == 3
    assert len(discriminator) == 4


@pytest.mark.parametrize("who", ["generator", "discriminator"])
@pytest.mark.usefixtures("result")
def test_gradients_of_the_original(
    who: str, trainer: AdversarialTrainer, golden: dict[str, NDArray[np.float64]]
) -> None:
    norms = gradient_norms(getattr(trainer, who))
    assert list(norms) == list(golden[f"{who[0]}_grad_names"])
    # A bias that batch normalisation removes has a gradient of rounding errors only.
    np.testing.assert_allclose(
        list(norms.values()), golden[f"{who[0]}_grad_norms"], rtol=1e-4, atol=1e-6
    )


@pytest.mark.usefixtures("result")
def test_learning_rates_of_the_original(
    trainer: AdversarialTrainer, golden: dict[str, NDArray[np.float64]]
) -> None:
    settings = [
        (group["lr"], *group["betas"])
        for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer)
        for group in optimizer.param_groups
    ]
    np.testing.assert_allclose(np.ravel(settings), golden["adam"], rtol=1e-12)


def test_step_changes_every_network() -> None:
    trainer = small_trainer()
    networks = [trainer.generator, trainer.discriminator, trainer.rotated_discriminator]
    before = [copied_state(network) for network in networks if network]
    trainer.step(small_batch())
    for network, old in zip(networks, before, strict=True):
        assert network is not None
        for name, parameter in network.named_parameters():
            # Batch normalisation removes these biases: nothing depends on them.
            if not name.endswith(("conv_0.bias", "conv_1.bias")):
                assert not torch.equal(parameter, old[name]), name


def test_generator_comes_nearer_to_the_photo() -> None:
    trainer = small_trainer(
        learning_rate=2e-2,
        weights=LossWeights(adversarial=0.0, feature_matching=0.0, rotated=0.0),
        feature_extractor=lambda images: [images] * 5,
    )
    batch = small_batch()
    distances = [float((trainer.step(batch).fake - batch.photo).abs().mean()) for _ in range(20)]
    assert max(distances[-5:]) < 0.9 * distances[0]


def test_discriminators_learn_to_tell() -> None:
    trainer = small_trainer(
        learning_rate=2e-3, weights=LossWeights(feature_matching=0.0, rotated=0.75)
    )
    for group in trainer.generator_optimizer.param_groups:
        group["lr"] = 0.0
    batch = small_batch()
    losses = [trainer.step(batch).discriminator_losses for _ in range(20)]
    for kind in ("", "rotated_"):
        first, last = (float(step[f"{kind}fake"] + step[f"{kind}real"]) for step in losses[::19])
        assert last < 0.8 * first


def test_without_rotated_discriminator() -> None:
    """No loss, but the statistics of batch normalisation still know rotated faces."""
    batch = small_batch()
    outcomes = []
    for rotated in (batch.rotated, -batch.rotated):
        trainer = small_trainer(rotated=False)
        changed = TrainingBatch(
            batch.rotated_back, batch.label, batch.photo, rotated, batch.rotated_label
        )
        result = trainer.step(changed)
        assert result.generator_losses.keys() == {"adversarial", "feature_matching"}
        assert result.discriminator_losses.keys() == {"fake", "real"}
        outcomes.append((gradient_norms(trainer.generator), copied_state(trainer.generator)))
    assert outcomes[0][0] == pytest.approx(outcomes[1][0], rel=1e-5, abs=1e-6)
    mean = "first_layer.1.1.running_mean"
    assert not torch.equal(outcomes[0][1][mean], outcomes[1][1][mean])


def test_loss_weights() -> None:
    batch = small_batch()
    once = small_trainer(weights=LossWeights(1.0, 1.0, 1.0, 1.0, 1.0)).step(batch)
    weighted = small_trainer(weights=LossWeights(2.0, 3.0, 1.0, 1.0, 5.0)).step(batch)
    for name, factor in (
        ("adversarial", 2.0),
        ("feature_matching", 3.0),
        ("rotated_adversarial", 5),
    ):
        expected = factor * float(once.generator_losses[name])
        assert float(weighted.generator_losses[name]) == pytest.approx(expected, rel=1e-5), name


def test_perceptual_loss_takes_any_feature_extractor() -> None:
    def features(images: Tensor) -> Sequence[Tensor]:
        return [functional.avg_pool2d(images, 2**level) for level in range(5)]

    batch = small_batch()
    without, with_features = small_trainer(), small_trainer(feature_extractor=features)
    plain, result = without.step(batch), with_features.step(batch)
    assert "perceptual" not in plain.generator_losses
    expected = 10.0 * sum(
        weight * (f - r).abs().mean()
        for weight, f, r in zip(
            PERCEPTUAL_WEIGHTS, features(result.fake), features(batch.photo), strict=True
        )
    )
    assert float(result.generator_losses["perceptual"]) == pytest.approx(float(expected), rel=1e-5)
    assert gradient_norms(without.generator) != gradient_norms(with_features.generator)


def outputs_of(*scores: list[float]) -> list[list[Tensor]]:
    """A discriminator's outputs with these scores, one list for each scale."""
    return [[torch.zeros(1), torch.tensor(score)] for score in scores]


def test_hinge_losses() -> None:
    outputs = outputs_of([2.0, 0.5, -1.0, -3.0], [1.0, 0.0])
    real = [(0.0 + 0.5 + 2.0 + 4.0) / 4, (0.0 + 1.0) / 2]
    fake = [(3.0 + 1.5 + 0.0 + 0.0) / 4, (2.0 + 1.0) / 2]
    assert float(hinge_loss_real(outputs)) == pytest.approx(sum(real) / 2)
    assert float(hinge_loss_fake(outputs)) == pytest.approx(sum(fake) / 2)
    assert float(hinge_loss_generator(outputs)) == pytest.approx(-(-1.5 / 4 + 1.0 / 2) / 2)


def test_feature_matching() -> None:
    def layers(*values: float) -> list[Tensor]:
        return [torch.full((2, 3), value, requires_grad=True) for value in values]

    fake = [layers(1.0, 2.0, 100.0), layers(0.0, -1.0, 100.0)]
    real = [layers(1.5, 4.0, 0.0), layers(3.0, -1.5, 0.0)]
    loss = feature_matching_loss(fake, real, first_layer_weight=3.0)
    assert loss.item() == pytest.approx(((3 * 0.5 + 2.0) + (3 * 3.0 + 0.5)) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(layer.grad is None for scale in real for layer in scale)
    assert all(layer.grad is not None for scale in fake for layer in scale[:-1])


def test_perceptual_loss() -> None:
    fake = [torch.full((2,), float(k), requires_grad=True) for k in range(5)]
    real = [torch.full((2,), 1.0, requires_grad=True) for _ in range(5)]
    loss = perceptual_loss(fake, real)
    assert loss.item() == pytest.approx(1 / 32 + 0 / 16 + 1 / 8 + 2 / 4 + 3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(feature.grad is None for feature in real)


def test_names_and_shapes_of_the_published_discriminator() -> None:
    with torch.device("meta"):
        discriminator = MultiscaleDiscriminator()
    with (GOLDEN / "discriminator_state_dict.tsv").open(newline="") as file:
        expected = {
            row["key"]: ast.literal_eval(row["shape"])
            for row in csv.DictReader(file, delimiter="\t")
        }
    state = discriminator.state_dict()
    assert list(state) == list(expected)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 5_541_506


def test_shapes_of_the_discriminator_at_full_size() -> None:
    with torch.device("meta"):
        outputs = MultiscaleDiscriminator()(torch.empty(2, 8, 256, 256))
    channels = [64, 128, 256, 512, 1]
    sides = [[129, 65, 33, 34, 35], [65, 33, 17, 18, 19]]
    assert [[tuple(layer.shape) for layer in scale] for scale in outputs] == [
        [(2, c, side, side) for c, side in zip(channels, scale, strict=True)] for scale in sides
    ]


def test_second_scale_sees_means_of_what_is_inside_the_image() -> None:
    discriminator = filled(MultiscaleDiscriminator(SMALL_DISCRIMINATOR)).eval()
    image = torch.rand(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    halved = torch.empty(1, 8, 8, 8)
    for y, x in np.ndindex(8, 8):
        window = image[..., max(2 * y - 1, 0) : 2 * y + 2, max(2 * x - 1, 0) : 2 * x + 2]
        halved[..., y, x] = window.mean(dim=(2, 3))
    with torch.no_grad():
        seen = discriminator(image)[1]
        expected = discriminator.get_submodule("discriminator_1")(halved)
    for layer, wanted in zip(seen, expected, strict=True):
        np.testing.assert_allclose(layer, wanted, atol=1e-5)


def test_width_of_the_discriminator_is_limited() -> None:
    with torch.device("meta"):
        outputs = MultiscaleDiscriminator(DiscriminatorOptions(ndf=200, n_scales=1))(
            torch.empty(1, 8, 64, 64)
        )
    assert [layer.shape[1] for layer in outputs[0]] == [200, 400, 512, 512, 1]


@pytest.mark.parametrize("name", ["ndf", "input_channels", "n_layers", "n_scales"])
def test_discriminator_options_out_of_range(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 0"):
        DiscriminatorOptions(**{name: 0})


def test_initial_weights() -> None:
    generator = RotateSpadeGenerator(GeneratorOptions(ngf=16, n_downsample=2, n_blocks=1))
    initialise_weights(generator, torch.Generator().manual_seed(0))
    for name, parameter in generator.named_parameters():
        values = parameter.detach()
        if name.endswith("bias"):
            assert not values.any(), name
        elif values.ndim == 1:
            assert abs(float(values.mean()) - 1.0) < 0.02, name
            assert 0.01 < float(values.std()) < 0.03, name
        else:
            outputs, inputs, height, width = values.shape
            expected = 0.02 * math.sqrt(2.0 / ((inputs + outputs) * height * width))
            assert float(values.std()) == pytest.approx(expected, rel=0.1), name
            assert abs(float(values.mean())) < expected / 5, name


def test_initial_weights_are_reproducible() -> None:
    first, second = (MultiscaleDiscriminator(SMALL_DISCRIMINATOR) for _ in range(2))
    for network in (first, second):
        initialise_weights(network, torch.Generator().manual_seed(7))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
