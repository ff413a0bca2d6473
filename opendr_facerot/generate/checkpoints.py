"""Putting published or trained weights into a network, without surprises.

Checkpoints come from training on several graphics cards (every name then starts with ``module.``)
and hold some tensors under two names. Whatever does not fit is listed, never skipped silently.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from opendr_facerot.errors import SettingsError, WeightsError
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator

_PREFIX = "module."
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64}
_LISTED = 10  # names in an error's message; the rest is counted


@dataclass(frozen=True)
class Mismatch:
    """What keeps a checkpoint from fitting a network, empty lists if nothing does.

    A tensor that the network holds under several names is listed under the first.

    Attributes:
        missing: Names that only the network has.
        unexpected: Names that only the checkpoint has.
        shapes: Shapes in the checkpoint and in the network, where they differ.
    """

    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        wrong = [f"{name} {found}, not {wanted}" for name, (found, wanted) in self.shapes.items()]
        parts = [
            _listed("missing", self.missing),
            _listed("unexpected", self.unexpected),
            _listed("of the wrong shape", wrong),
        ]
        return "; ".join(part for part in parts if part)


def load_generator(
    source: Mapping[str, Tensor] | str | os.PathLike[str],
    options: GeneratorOptions | None = None,
) -> RotateSpadeGenerator:
    """The generator whose weights these are, on the CPU, in evaluation mode.

    Args:
        source: Tensors by name, which the generator then shares, or a ``.safetensors`` file.
        options: Architecture that the weights must have; None takes it from their shapes.

    Raises:
        WeightsError: The file cannot be read, or the weights are not those of such a generator.
    """
    tensors, origin = _tensors(source)
    options = options or generator_options(tensors, origin=origin)
    with torch.device("meta"):  # no memory or time for weights that are replaced at once
        generator = RotateSpadeGenerator(options)
    load_weights(generator, tensors, origin=origin)
    return generator.eval()


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    strict: bool = True,
    origin: str = "the checkpoint",
) -> Mismatch:
    """Set the parameters and buffers of a network from tensors by name.

    A prefix ``module.`` of all names is dropped. Of several names that the network has for one
    tensor, any will do. Values become the network's precision. A network on the meta device takes
    over the tensors themselves, any other copies their values.

    Args:
        network: Changed only if no error is raised.
        tensors: Weights by name.
        strict: Every tensor must fit. Otherwise those that fit are loaded and the network's others
            are left as they are, a warm start for training; not possible on the meta device.
        origin: What to call the weights in an error's message.

    Returns:
        What did not fit, empty if ``strict``.

    Raises:
        WeightsError: Something does not fit and ``strict`` is on, two names of one tensor have
            different values, or a value is not a finite real number.
    """
    state = network.state_dict(keep_vars=True)
    names = _first_names(state)
    found, unexpected = _collect(_plain(tensors, origin), names, origin)
    mismatch = Mismatch(
        missing=[name for name in dict.fromkeys(names.values()) if name not in found],
        unexpected=unexpected,
        shapes={
            name: (tuple(tensor.shape), tuple(state[name].shape))
            for name, tensor in found.items()
            if tensor.shape != state[name].shape
        },
    )
    on_meta = any(own.is_meta for own in state.values())
    if mismatch and (strict or on_meta):
        raise WeightsError(
            f"{origin} does not fit {type(network).__name__}: {mismatch}. Give the file that was "
            "saved for this architecture"
        )
    fitting = {name: tensor for name, tensor in found.items() if name not in mismatch.shapes}
    for name, tensor in fitting.items():
        # NaN passes through aminmax, which is ten times faster than isfinite on every value.
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
            raise WeightsError(f"{origin} has values in {name} that are not finite numbers")
    new_state = {
        name: fitting[first].to(state[name].dtype) if first in fitting else state[name].detach()
        for name, first in names.items()
    }
    network.load_state_dict(new_state, strict=True, assign=on_meta)
    return mismatch


def unaliased_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's ``state_dict`` without the second names of its tensors, which are not copied."""
    state = network.state_dict(keep_vars=True)
    return {name: state[name].detach() for name in _first_names(state).values()}


def generator_options(
    tensors: Mapping[str, Tensor], *, origin: str = "the checkpoint"
) -> GeneratorOptions:
    """Architecture of the generator that a checkpoint was saved from.

    Raises:
        WeightsError: It is no checkpoint of a RotateSPADE generator.
    """
    tensors = _plain(tensors, origin)
    first = _shape(tensors, origin, "first_layer.1.0.weight_orig")
    block = _shape(
        tensors,
        origin,
        "resnet_layers0.conv_0.weight_orig",
        "resnet_layers0.conv_block1.weight_orig",
    )
    shared = _shape(tensors, origin, "resnet_layers0.norm_0.mlp_shared.0.weight")
    try:
        return GeneratorOptions(
            ngf=first[0],
            label_channels=shared[1],
            n_downsample=_count(tensors, r"downsample_layers\.(\d+)\.0\.weight_orig"),
            n_blocks=_count(tensors, r"resnet_layers(\d+)\."),
            kernel_size=block[2],
            initial_kernel_size=first[2],
        )
    except SettingsError as error:
        raise WeightsError(f"{origin} is not a checkpoint of a generator: {error}") from error


def _tensors(
    source: Mapping[str, Tensor] | str | os.PathLike[str],
) -> tuple[Mapping[str, Tensor], str]:
    if isinstance(source, Mapping):
        return source, "the checkpoint"
    path = Path(source)
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: give a .safetensors file")
    try:
        return load_file(path), str(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as a .safetensors file: {error}") from error


def _plain(tensors: Mapping[str, Tensor], origin: str) -> Mapping[str, Tensor]:
    """The tensors by their names in a network, whatever wrapped it when it was saved."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise WeightsError(
                f"{origin} has a {type(tensor).__name__} as {name}: give a state_dict, names with "
                "a tensor each"
            )
        if tensor.dtype not in _DTYPES:
            raise WeightsError(f"{origin} has {name} as {tensor.dtype}: weights are real numbers")
    if tensors and all(name.startswith(_PREFIX) for name in tensors):
        return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    return tensors


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """The first name of each name's tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def _collect(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], origin: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by the first of their names in the network, and the names that it does not have."""
    found: dict[str, Tensor] = {}
    unexpected: list[str] = []
    for key, tensor in tensors.items():
        if key not in names:
            unexpected.append(key)
            continue
        name = names[key]
        if name in found and not torch.equal(found[name], tensor):
            raise WeightsError(
                f"{origin} has different values for {name} and {key}, which are two names of one "
                "tensor: the file is damaged"
            )
        found.setdefault(name, tensor)
    return found, unexpected


def _shape(tensors: Mapping[str, Tensor], origin: str, *names: str) -> tuple[int, ...]:
    for name in names:
        if name in tensors and tensors[name].ndim == 4:
            return tuple(tensors[name].shape)
    raise WeightsError(
        f"{origin} has no 4-dimensional {names[0]}: it is no checkpoint of a RotateSPADE generator"
    )


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {what} ({', '.join(names[:_LISTED])}{more})"
