"""The generator at its fastest: normalisations folded into the convolutions, views in batches."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from opendr_facerot.errors import ImageError
from opendr_facerot.generate.packed_convolution import (
    Convolution,
    can_pack,
    pack_convolutions,
)
from opendr_facerot.generate.rotate_spade import (
    LEAK,
    RotateSpadeGenerator,
    SpadeBlock,
    SpadeNorm,
    check_inputs,
)

_EXACT_HALVINGS = 2
"""Resolutions of the encoder, from the full one down, that stay in float32.

Rounding to bfloat16 hurts most where the colours come in: these three convolutions are 5 % of the
multiplications, and make half of all the error.
"""


class InferenceGenerator(nn.Module):
    """Plain convolutions that compute what a trained generator computes in evaluation mode.

    Spectral and batch normalisation are constant factors and offsets once training is over; they
    are multiplied into the weights here. Weights are laid out channels-last, which convolutions
    on CPUs and on tensor cores prefer. It runs on any device and, but for its first layers, in any
    floating-point format; :func:`fast_generator` chooses what is fastest.

    Args:
        generator: Trained generator; it is copied from, not changed, and may be freed.
    """

    def __init__(self, generator: RotateSpadeGenerator) -> None:
        super().__init__()
        self.options = generator.options
        self._dtype = torch.float32
        first = _without_normalisation(generator.first_layer)
        down = list(_without_normalisation(generator.downsample_layers))
        exact = 2 * _EXACT_HALVINGS  # each halving is a convolution and an activation
        self.exact_encoder = nn.Sequential(*first, *down[:exact])
        self.encoder = nn.Sequential(*down[exact:])
        self.blocks = nn.ModuleList(_FoldedBlock(block) for block in generator.blocks)
        self.decoder = nn.Sequential(
            _without_normalisation(generator.upsample_layers),
            _without_normalisation(generator.final_layer),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def in_format(self, dtype: torch.dtype) -> InferenceGenerator:
        """Itself, with weights and arithmetic in ``dtype`` where that does no harm."""
        self._dtype = dtype
        for part in (self.encoder, self.blocks, self.decoder):
            part.to(dtype)
        return self

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Generated faces, as :meth:`RotateSpadeGenerator.forward`, in the network's format."""
        check_inputs(image, label, self.options)
        x = self.encoder(self.exact_encoder(image).to(self._dtype))
        label = functional.interpolate(label, size=x.shape[2:], mode="nearest").to(self._dtype)
        for block in self.blocks:
            x = block(x, label)
        output: Tensor = self.decoder(x)
        return output


def fast_generator(
    generator: RotateSpadeGenerator, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """A network that computes what a trained generator computes, the fastest way on a device.

    Normalisations are folded in float32, whatever ``dtype`` is.

    Args:
        generator: Trained generator; it is copied from, not changed, and may be freed.
        device: Where the network will run; it cannot be moved afterwards.
        dtype: What it computes in; see :mod:`opendr_facerot.generate.precision`.
    """
    network = InferenceGenerator(generator).in_format(dtype).to(device)
    if device.type == "cpu" and can_pack():
        pack_convolutions(network)
    return network


def generate_views(
    network: nn.Module,
    rotated: NDArray[np.float32],
    labels: NDArray[np.float32],
    *,
    batch_size: int = 4,
) -> NDArray[np.float32]:
    """Generate the faces of many views, on the device of the network.

    On a graphics card everything is queued without waiting, up to the end of the last view.

    Args:
        network: Of :func:`fast_generator`, or any generator in evaluation mode.
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
    device = next(network.parameters()).device
    # A card copies from and to pinned memory while the host goes on.
    pinned = device.type == "cuda"
    inputs = [torch.from_numpy(array) for array in (rotated, labels)]
    if pinned:
        inputs = [array.pin_memory() for array in inputs]
    outputs = torch.empty(rotated.shape, pin_memory=pinned)
    with torch.inference_mode():
        for start in range(0, len(rotated), batch_size):
            views = slice(start, start + batch_size)
            image, label = (
                array[views]
                .to(device, non_blocking=True)
                .contiguous(memory_format=torch.channels_last)
                for array in inputs
            )
            faces = network(image, label).to(torch.float32, memory_format=torch.contiguous_format)
            outputs[views].copy_(faces, non_blocking=True)
        if pinned:
            torch.cuda.current_stream(device).synchronize()
    return outputs.numpy()


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
            folded.append(_folded(cast(Convolution, layer[0]), cast(nn.BatchNorm2d, layer[1])))
        elif isinstance(layer, nn.Conv2d):
            folded.append(_convolution(layer, layer.weight, layer.bias))
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


def _folded(conv: Convolution, norm: nn.BatchNorm2d) -> Convolution:
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


def _spectrally_normalised(conv: Convolution) -> Tensor:
    weight = conv.get_parameter("weight_orig")
    rows = weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else weight
    gain = torch.mv(rows.flatten(1), conv.get_buffer("weight_v"))
    return weight / torch.dot(conv.get_buffer("weight_u"), gain)


def _convolution(like: Convolution, weight: Tensor, bias: Tensor | None) -> Convolution:
    """A convolution with a copy of these weights, and the stride and padding of another."""
    geometry: dict[str, Any] = {
        "kernel_size": like.kernel_size,
        "stride": like.stride,
        "padding": like.padding,
        "device": "meta",
    }
    conv: Convolution
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
