"""Weights of a network before its training."""

from __future__ import annotations

import torch
from torch import nn

GAIN = 0.02
"""Of the convolutions' initialisation, and standard deviation of batch normalisation's scales."""


def initialise_weights(network: nn.Module, random: torch.Generator | None = None) -> None:
    """Set a generator's or discriminator's parameters for training from scratch, in place.

    Convolutions: Xavier normal (Glorot and Bengio, AISTATS 2010) with gain 0.02, no offset. Batch
    normalisation: scale of mean 1 and standard deviation 0.02, no offset.

    Args:
        network: Module whose parameters are set.
        random: Source of randomness, on the parameters' device; None for PyTorch's own.
    """
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, 1.0, GAIN, generator=random)
        else:
            nn.init.xavier_normal_(parameter, GAIN, generator=random)
