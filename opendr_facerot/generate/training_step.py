"""One step of the generator's adversarial training; the loop around it is the caller's.

The generator learns to undo the artefacts of rendering: its input is the photo's face rotated away
and back again, its target the photo. A second discriminator may judge what it makes of the rotated
face, for which there is no target. Zhou et al., CVPR 2020, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from opendr_facerot.generate.losses import (
    DiscriminatorOutputs,
    feature_matching_loss,
    hinge_loss_fake,
    hinge_loss_generator,
    hinge_loss_real,
    perceptual_loss,
)

FeatureExtractor: TypeAlias = Callable[[Tensor], Sequence[Tensor]]
"""Features of images ``(B, 3, S, S)`` in [-1, 1], for :func:`~.losses.perceptual_loss`."""


@dataclass(frozen=True)
class TrainingBatch:
    """Images are ``(B, 3, S, S)`` float32 in [-1, 1], labels ``(B, L, S, S)`` float32 in [0, 1].

    Attributes:
        rotated_back: Renders in the photo's pose with colours that went through another pose.
        label: Labels of the photo's pose.
        photo: What the generator should make of ``rotated_back``.
        rotated: Renders in the other pose.
        rotated_label: Labels of the other pose.
    """

    rotated_back: Tensor
    label: Tensor
    photo: Tensor
    rotated: Tensor
    rotated_label: Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; the defaults are those of the published training.

    Attributes:
        adversarial: Of the hinge losses, the generator's and the discriminators'.
        feature_matching: Of the discriminator's intermediate outputs.
        first_feature: Of the first of these, relative to the others.
        perceptual: Of the feature extractor's outputs, if there is one.
        rotated: Of the hinge losses on the rotated faces, in place of ``adversarial``.
    """

    adversarial: float = 0.75
    feature_matching: float = 10.0
    first_feature: float = 1.0
    perceptual: float = 10.0
    rotated: float = 0.001


@dataclass(frozen=True)
class StepResult:
    """What one step saw and made; all tensors are detached.

    Attributes:
        generator_losses: Weighted scalar terms of the generator's loss by name.
        discriminator_losses: Weighted scalar terms of the discriminators' loss by name.
        fake: ``(B, 3, S, S)``, made of ``rotated_back`` before the generator was updated.
        rotated_fake: ``(B, 3, S, S)``, made of ``rotated``, likewise.
    """

    generator_losses: dict[str, Tensor]
    discriminator_losses: dict[str, Tensor]
    fake: Tensor
    rotated_fake: Tensor


class AdversarialTrainer:
    """Networks in training, with their losses and optimisers.

    The optimisers are Adam at two learning rates, half of ``learning_rate`` for the generator and
    twice of it for the discriminators (Heusel et al., "GANs Trained by a Two Time-Scale Update
    Rule Converge to a Local Nash Equilibrium", NeurIPS 2017).

    Args:
        generator: Network to train, on the device of the batches.
        discriminator: Judges the generator's reconstruction of the photo.
        rotated_discriminator: Judges rotated faces; None leaves them out of the losses.
        feature_extractor: Classifier for the perceptual loss; None leaves that out.
        weights: Of the losses.
        learning_rate: Geometric mean of the two learning rates.

    Attributes:
        generator_optimizer: Adam over the generator's parameters.
        discriminator_optimizer: Adam over the parameters of both discriminators.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        rotated_discriminator: nn.Module | None = None,
        *,
        feature_extractor: FeatureExtractor | None = None,
        weights: LossWeights | None = None,
        learning_rate: float = 2e-4,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.rotated_discriminator = rotated_discriminator
        self.feature_extractor = feature_extractor
        self.weights = weights or LossWeights()
        judges = [discriminator, *([rotated_discriminator] if rotated_discriminator else [])]
        self._networks = [generator, *judges]
        self.generator_optimizer = _adam([generator], learning_rate / 2.0)
        self.discriminator_optimizer = _adam(judges, learning_rate * 2.0)

    def step(self, batch: TrainingBatch) -> StepResult:
        """Update the generator, then the discriminators; gradients are left in the parameters."""
        for network in self._networks:
            network.train()
        generator_losses, fake, rotated_fake = self._update_generator(batch)
        discriminator_losses = self._update_discriminators(batch)
        return StepResult(generator_losses, discriminator_losses, fake, rotated_fake)

    def _update_generator(self, batch: TrainingBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        weights = self.weights
        fake = self.generator(batch.rotated_back, batch.label)
        # Run even where no loss asks for it: batch normalisation's statistics, which the trained
        # generator works with, must know rotated faces too.
        with torch.set_grad_enabled(self.rotated_discriminator is not None):
            rotated_fake = self.generator(batch.rotated, batch.rotated_label)
        on_fake, on_real = _judge(self.discriminator, batch.label, fake, batch.label, batch.photo)
        losses = {
            "adversarial": weights.adversarial * hinge_loss_generator(on_fake),
            "feature_matching": weights.feature_matching
            * feature_matching_loss(on_fake, on_real, first_layer_weight=weights.first_feature),
        }
        if self.feature_extractor is not None:
            with torch.no_grad():
                target = self.feature_extractor(batch.photo)
            losses["perceptual"] = weights.perceptual * perceptual_loss(
                self.feature_extractor(fake), target
            )
        if self.rotated_discriminator is not None:
            on_rotated, _ = _judge(
                self.rotated_discriminator,
                batch.rotated_label,
                rotated_fake,
                batch.label,
                batch.photo,
            )
            losses["rotated_adversarial"] = weights.rotated * hinge_loss_generator(on_rotated)
        self.generator_optimizer.zero_grad()
        loss = torch.stack(list(losses.values())).sum()
        torch.autograd.backward(loss, inputs=list(self.generator.parameters()))
        self.generator_optimizer.step()
        return _detached(losses), fake.detach(), rotated_fake.detach()

    def _update_discriminators(self, batch: TrainingBatch) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator(batch.rotated_back, batch.label)
        on_fake, on_real = _judge(self.discriminator, batch.label, fake, batch.label, batch.photo)
        losses = {
            "fake": self.weights.adversarial * hinge_loss_fake(on_fake),
            "real": self.weights.adversarial * hinge_loss_real(on_real),
        }
        if self.rotated_discriminator is not None:
            with torch.no_grad():
                rotated_fake = self.generator(batch.rotated, batch.rotated_label)
            on_fake, on_real = _judge(
                self.rotated_discriminator,
                batch.rotated_label,
                rotated_fake,
                batch.label,
                batch.photo,
            )
            losses["rotated_fake"] = self.weights.rotated * hinge_loss_fake(on_fake)
            losses["rotated_real"] = self.weights.rotated * hinge_loss_real(on_real)
        self.discriminator_optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        self.discriminator_optimizer.step()
        return _detached(losses)


def _judge(
    discriminator: nn.Module, fake_label: Tensor, fake: Tensor, real_label: Tensor, real: Tensor
) -> tuple[DiscriminatorOutputs, DiscriminatorOutputs]:
    """Outputs for generated and for real images.

    They go through the discriminator in one batch, for batch normalisation to treat them alike.
    """
    fake_pairs = torch.cat([fake_label, fake], dim=1)
    real_pairs = torch.cat([real_label, real], dim=1)
    outputs = discriminator(torch.cat([fake_pairs, real_pairs]))
    count = len(fake)
    on_fake = [[layer[:count] for layer in scale] for scale in outputs]
    on_real = [[layer[count:] for layer in scale] for scale in outputs]
    return on_fake, on_real


def _adam(networks: Sequence[nn.Module], learning_rate: float) -> torch.optim.Adam:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=learning_rate, betas=(0.0, 0.9))


def _detached(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: loss.detach() for name, loss in losses.items()}
