"""Losses of adversarial training.

Outputs of a discriminator are lists over its scales of lists over its layers, the last of which is
the score, as :class:`~.discriminator.MultiscaleDiscriminator` returns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

DiscriminatorOutputs: TypeAlias = Sequence[Sequence[Tensor]]

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of the features of VGG-19 after relu1_1, 2_1, 3_1, 4_1 and 5_1."""


def hinge_loss_generator(fake: DiscriminatorOutputs) -> Tensor:
    """Negated mean score of generated images, averaged over scales: a scalar.

    Lim and Ye, "Geometric GAN", 2017, equation 14.
    """
    return torch.stack([-layers[-1].mean() for layers in fake]).mean()


def hinge_loss_real(real: DiscriminatorOutputs) -> Tensor:
    """How far a discriminator's scores of real images stay below 1, averaged over scales."""
    return torch.stack([functional.relu(1.0 - layers[-1]).mean() for layers in real]).mean()


def hinge_loss_fake(fake: DiscriminatorOutputs) -> Tensor:
    """How far a discriminator's scores of generated images stay above -1, averaged over scales."""
    return torch.stack([functional.relu(1.0 + layers[-1]).mean() for layers in fake]).mean()


def feature_matching_loss(
    fake: DiscriminatorOutputs, real: DiscriminatorOutputs, *, first_layer_weight: float = 1.0
) -> Tensor:
    """Mean absolute difference of a discriminator's intermediate outputs.

    Wang et al., CVPR 2018, equation 4: summed over the layers before the score, averaged over
    scales. No gradient flows into ``real``.

    Args:
        fake: Outputs for generated images.
        real: Outputs for the images that they should be.
        first_layer_weight: Weight of the first layer relative to the others.
    """
    distances = []
    for fake_layers, real_layers in zip(fake, real, strict=True):
        for level, (f, r) in enumerate(zip(fake_layers[:-1], real_layers[:-1], strict=True)):
            weight = first_layer_weight if level == 0 else 1.0
            distances.append(weight * functional.l1_loss(f, r.detach()))
    return torch.stack(distances).sum() / len(fake)


def perceptual_loss(
    fake: Sequence[Tensor],
    real: Sequence[Tensor],
    weights: Sequence[float] = PERCEPTUAL_WEIGHTS,
) -> Tensor:
    """Weighted sum of the mean absolute differences of an image classifier's features.

    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV
    2016, with absolute differences. No gradient flows into ``real``.

    Args:
        fake: Features of generated images, one tensor for each weight.
        real: Features of the images that they should be.
        weights: Weight of each feature.
    """
    distances = [
        weight * functional.l1_loss(f, r.detach())
        for f, r, weight in zip(fake, real, weights, strict=True)
    ]
    return torch.stack(distances).sum()
