"""The generator's checkpoint: which architecture it is of, and each of its entries just once."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from opendr_facerot.errors import SettingsError, WeightsError
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator

_ALIASES = {".conv_block1.": ".conv_0.", ".conv_block4.": ".conv_1."}


def canonical_state(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator's entries without the second names of the residual blocks' convolutions.

    Args:
        entries: A published checkpoint, with either or both of the names.

    Raises:
        WeightsError: Entries are missing, unexpected, of the wrong shape or not finite.
    """
    state = {}
    for key, value in entries.items():
        for alias, name in _ALIASES.items():
            key = key.replace(alias, name)
        state[key] = value
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise WeightsError(f"the generator's {key} holds numbers that are not finite")
    check_state(state)
    return state


def options_of(state: Mapping[str, Tensor]) -> GeneratorOptions:
    """The architecture of the generator that these entries belong to.

    Raises:
        WeightsError: They belong to no generator.
    """
    try:
        ngf, _, initial_kernel_size, _ = state["first_layer.1.0.weight_orig"].shape
        *_, kernel_size = state["resnet_layers0.conv_0.weight_orig"].shape
        label_channels = state["resnet_layers0.norm_0.mlp_shared.0.weight"].shape[1]
        return GeneratorOptions(
            ngf=ngf,
            label_channels=label_channels,
            n_downsample=_count(state, r"downsample_layers\.(\d+)\."),
            n_blocks=_count(state, r"resnet_layers(\d+)\."),
            kernel_size=kernel_size,
            initial_kernel_size=initial_kernel_size,
        )
    except (KeyError, ValueError, IndexError, SettingsError) as error:
        raise WeightsError(f"the generator's entries fit no architecture ({error})") from error


def check_state(state: Mapping[str, Tensor]) -> None:
    """Raise WeightsError unless the entries are exactly those of a generator, alias names aside."""
    with torch.device("meta"):
        full = RotateSpadeGenerator(options_of(state)).state_dict()
    expected = {k: v for k, v in full.items() if not any(alias in k for alias in _ALIASES)}
    if missing := sorted(expected.keys() - state.keys()):
        raise WeightsError(f"the generator lacks {len(missing)} entries, such as {missing[0]}")
    if unexpected := sorted(state.keys() - expected.keys()):
        raise WeightsError(
            f"the generator has {len(unexpected)} unknown entries, such as {unexpected[0]}"
        )
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise WeightsError(
                f"the generator's {key} has shape {tuple(state[key].shape)}: "
                f"expected {tuple(value.shape)}"
            )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for key in state if (match := re.match(pattern, key))})
