"""The generator's weights as they are installed: each tensor just once."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from opendr_facerot.generate.checkpoints import load_generator
from opendr_facerot.generate.rotate_spade import RotateSpadeGenerator


def checked_generator_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a generator's checkpoint, each under its first name; they are not copied.

    Raises:
        WeightsError: They are not those of a generator.
    """
    return unaliased_state(load_generator(tensors))


def unaliased_state(generator: RotateSpadeGenerator) -> dict[str, Tensor]:
    """A generator's ``state_dict`` without the second names of its tensors."""
    state: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in generator.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach()
    return state
