"""Convolutions for processors, with weights in the order that the kernels read them.

PyTorch's convolutions bring their weights into the order of the processor's matrix units anew in
every call, which for the generator moves more memory than the convolution of one picture itself.
Here it is done once. The operations are those that ``torch.compile`` ends in, used without its
compiler; they also apply the activation while a result is still in the cache.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Convolution: TypeAlias = nn.Conv2d | nn.ConvTranspose2d

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


class PackedConvolution(nn.Module):
    """A convolution and an activation after it; for inference on a CPU only.

    The packed weights are no parameter: they cannot be moved, cast or saved.

    Args:
        conv: Convolution on a CPU, with a bias; not kept.
        activation: ``"none"``, ``"relu"`` or ``"tanh"``.
    """

    def __init__(self, conv: Convolution, activation: str = "none") -> None:
        super().__init__()
        self.bias = conv.bias
        self._activation = activation
        padding, stride, dilation = conv.padding, conv.stride, conv.dilation
        weight = conv.weight.detach()
        operations: Any = torch.ops.mkldnn
        self._geometry: tuple[Any, ...]
        if isinstance(conv, nn.ConvTranspose2d):
            self._geometry = (padding, conv.output_padding, stride, dilation, conv.groups)
            pack = operations._reorder_convolution_transpose_weight
            self._convolve = operations._convolution_transpose_pointwise
        else:
            self._geometry = (padding, stride, dilation, conv.groups)
            pack = operations._reorder_convolution_weight
            self._convolve = operations._convolution_pointwise
        self._weight: Tensor = pack(weight, *self._geometry)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` in the precision of the weights, channels last."""
        # The activations have no parameters, and there is one algorithm for each.
        output: Tensor = self._convolve(
            x, self._weight, self.bias, *self._geometry, self._activation, [], ""
        )
        return output


def can_pack() -> bool:
    """Whether this build of PyTorch has the operations."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack_convolutions(network: nn.Module) -> None:
    """Replace every convolution of a network on a CPU, and the activation after it, in place."""
    if isinstance(network, nn.Sequential):
        _pack_sequence(network)
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
            setattr(network, name, PackedConvolution(child))
        else:
            pack_convolutions(child)


def _pack_sequence(layers: nn.Sequential) -> None:
    for index in reversed(range(len(layers) - 1)):
        layer, activation = layers[index], _ACTIVATIONS.get(type(layers[index + 1]))
        if activation and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layers[index] = PackedConvolution(layer, activation)
            del layers[index + 1]
