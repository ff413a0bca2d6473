"""The generator at its fastest: normalisations folded into the convolutions, views in batches."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from opendr_facerot.errors import ImageError
from opendr_facerot.generate.rotate_spade import (
    LEAK,
    RotateSpadeGenerator,
    SpadeBlock,
    SpadeNorm,
    check_inputs,
)

_Convolution: TypeAlias = nn.Conv2d | nn.ConvTranspose2d


class InferenceGenerator(nn.Module):
    """Plain convolutions that compute what a trained generator computes in evaluation mode.

    Spectral and batch normalisation are constant factors and offsets once training is over; they
    are multiplied into the weights here. Weights are laid out channels-last, which convolutions
    on CPUs and on tensor cores prefer. ``.to(torch.bfloat16)`` gives a network that is faster on
    processors with matrix units, at the precision of an 8-bit image.

    Args:
        generator: Trained generator; it is copied from, not changed, and may be freed.
    """

    def __init__(self, generator: RotateSpadeGenerator) -> None:
        super().__init__()
        self.options = generator.options
        self.encoder = nn.Sequential(
            _without_normalisation(generator.first_layer),
            _without_normalisation(generator.downsample_layers),
        )
        self.blocks = nn.ModuleList(_FoldedBlock(block) for block in generator.blocks)
        self.decoder = nn.Sequential(
            _without_normalisation(generator.upsample_layers),
            _without_normalisation(generator.final_layer),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Generated faces, as :meth:`RotateSpadeGenerator.forward`."""
        check_inputs(image, label, self.options)
        x = self.encoder(image)
        label = functional.interpolate(label, size=x.shape[2:], mode="nearest")
        for block in self.blocks:
            x = block(x, label)
        output: Tensor = self.decoder(x)
        return output


def generate_views(
    network: nn.Module,
    rotated: NDArray[np.float32],
    labels: NDArray[np.float32],
    *,
    batch_size: int = 4,
) -> NDArray[np.float32]:
    """Generate the faces of many views, on the device and in the precision of the network.

    Args:
        network: :class:`InferenceGenerator`, or a :class:`RotateSpadeGenerator` in evaluation mode.
        rotated: ``(B, 3, S, S)`` float32 in [-1, 1]: rendered faces on black (-1).
        labels: ``(B, L, S, S)`` float32 in [0, 1].
        batch_size: Views that go through the network at once; does not affect the output, only
            speed and memory.

    Returns:
        ``(B, 3, S, S)`` float32 in [-1, 1].

    Raises:
        ImageError: The arrays' shapes do not fit each other or the network.
    """
    if len(labels) != len(rotated):
        raise ImageError(f"there are {len(rotated)} rendered faces and {len(labels)} labels")
    weight = next(network.parameters())
    outputs = np.empty_like(rotated, np.float32)
    with torch.inference_mode():
        for start in range(0, len(rotated), batch_size):
            views = slice(start, start + batch_size)
            image, label = (
                torch.from_numpy(array[views]).to(weight.device, weight.dtype)
                for array in (rotated, labels)
            )
            outputs[views] = network(image, label).float().cpu().numpy()
    return outputs


class _FoldedNorm(nn.Module):
    """Scale and offset of a SPADE norm; the normalisation itself is in the convolution before."""

    def __init__(self, norm: SpadeNorm) -> None:
        super().__init__()
        gamma, beta = norm.mlp_gamma, norm.mlp_beta
        gamma_bias, beta_bias = gamma.get_parameter("bias"), beta.get_parameter("bias")
        # Both in one convolution, with the 1 of "1 + gamma" in its bias.
        modulation = _convolution(
            gamma,
            torch.cat([gamma.weight, beta.weight]),
            torch.cat([gamma_bias + 1.0, beta_bias]),
        )
        self.mlp = nn.Sequential(_without_normalisation(norm.mlp_shared), modulation)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        scale, offset = self.mlp(label).chunk(2, dim=1)
        return torch.addcmul(offset, x, scale)


class _FoldedBlock(nn.Module):
    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.pad = block.pad
        self.conv_0 = _folded(block.conv_0, block.norm_0.param_free_norm)
        self.conv_1 = _folded(block.conv_1, block.norm_1.param_free_norm)
        self.norm_0 = _FoldedNorm(block.norm_0)
        self.norm_1 = _FoldedNorm(block.norm_1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        y = functional.leaky_relu_(self.norm_0(self.conv_0(self.pad(x)), label), LEAK)
        y = functional.leaky_relu_(self.norm_1(self.conv_1(self.pad(y)), label), LEAK)
        return x + y


def _without_normalisation(layers: nn.Sequential) -> nn.Sequential:
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            folded.append(_folded(cast(_Convolution, layer[0]), cast(nn.BatchNorm2d, layer[1])))
        elif isinstance(layer, nn.Conv2d):
            folded.append(_convolution(layer, layer.weight, layer.bias))
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


def _folded(conv: _Convolution, norm: nn.BatchNorm2d) -> _Convolution:
    """A spectrally normalised convolution and the batch normalisation after it, as one."""
    weight, bias = fuse_conv_bn_weights(
        _spectrally_normalised(conv),
        conv.bias,
        norm.get_buffer("running_mean"),
        norm.get_buffer("running_var"),
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(conv, nn.ConvTranspose2d),
    )
    return _convolution(conv, weight, bias)


def _spectrally_normalised(conv: _Convolution) -> Tensor:
    weight = conv.get_parameter("weight_orig")
    rows = weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else weight
    gain = torch.mv(rows.flatten(1), conv.get_buffer("weight_v"))
    return weight / torch.dot(conv.get_buffer("weight_u"), gain)


def _convolution(like: _Convolution, weight: Tensor, bias: Tensor | None) -> _Convolution:
    """A convolution with a copy of these weights, and the stride and padding of another."""
    geometry: dict[str, Any] = {
        "kernel_size": like.kernel_size,
        "stride": like.stride,
        "padding": like.padding,
        "device": "meta",
    }
    conv: _Convolution
    if isinstance(like, nn.ConvTranspose2d):
        inputs, outputs = weight.shape[:2]
        conv = nn.ConvTranspose2d(
            inputs, outputs, output_padding=cast(Any, like.output_padding), **geometry
        )
    else:
        outputs, inputs = weight.shape[:2]
        conv = nn.Conv2d(inputs, outputs, **geometry)
    conv.weight = nn.Parameter(weight.detach().clone())
    conv.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return conv
