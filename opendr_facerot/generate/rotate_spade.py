"""The RotateSPADE generator: a rendered, rotated face becomes a photorealistic one.

Zhou et al., "Rotate-and-Render: Unsupervised Photorealistic Face Rotation from Single-View Images",
CVPR 2020, with the SPADE normalisation of Park et al., "Semantic Image Synthesis with
Spatially-Adaptive Normalization", CVPR 2019, and the spectral normalisation of Miyato et al.,
ICLR 2018. Names of layers, and so of checkpoint entries, are those of the published model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from opendr_facerot.errors import ImageError, SettingsError

SPADE_WIDTH = 128
"""Channels between a label and its modulation, whatever the width of the generator."""

LEAK = 0.2
"""Negative slope of the residual blocks' activations."""


@dataclass(frozen=True)
class GeneratorOptions:
    """Architecture; the defaults are those of the published model (225,056,387 parameters).

    Attributes:
        ngf: Channels of the first layer; every down-sampling doubles them.
        label_channels: Channels of the label.
        n_downsample: Number of halvings of the resolution.
        n_blocks: Number of residual blocks at the lowest resolution.
        kernel_size: Side of the residual blocks' kernels, odd.
        initial_kernel_size: Side of the first layer's kernels, odd.

    Raises:
        SettingsError: A value is outside its range.
    """

    ngf: int = 64
    label_channels: int = 5
    n_downsample: int = 4
    n_blocks: int = 9
    kernel_size: int = 3
    initial_kernel_size: int = 7

    def __post_init__(self) -> None:
        for name in ("ngf", "label_channels", "n_downsample", "n_blocks"):
            if getattr(self, name) < 1:
                raise SettingsError(f"generator {name} is {getattr(self, name)}: give at least 1")
        for name in ("kernel_size", "initial_kernel_size"):
            side = getattr(self, name)
            if side < 1 or side % 2 == 0:
                raise SettingsError(f"generator {name} is {side}: give an odd positive number")


class SpadeNorm(nn.Module):
    """Batch normalisation whose scale and offset at each pixel are computed from a label."""

    def __init__(self, channels: int, label_channels: int) -> None:
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(
            nn.Conv2d(label_channels, SPADE_WIDTH, 3, padding=1), nn.ReLU()
        )
        self.mlp_gamma = nn.Conv2d(SPADE_WIDTH, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(SPADE_WIDTH, channels, 3, padding=1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Normalised ``(B, C, h, w)`` for a label ``(B, L, h, w)`` of the same resolution."""
        hidden = self.mlp_shared(label)
        modulated: Tensor = self.param_free_norm(x) * (1.0 + self.mlp_gamma(hidden))
        modulated += self.mlp_beta(hidden)
        return modulated


class SpadeBlock(nn.Module):
    """Residual block of two convolutions, each followed by a :class:`SpadeNorm`."""

    def __init__(self, channels: int, label_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(kernel_size // 2)
        self.conv_0 = spectral_norm(nn.Conv2d(channels, channels, kernel_size))
        self.conv_1 = spectral_norm(nn.Conv2d(channels, channels, kernel_size))
        # Checkpoints hold both convolutions under a second name.
        self.conv_block1 = self.conv_0
        self.conv_block4 = self.conv_1
        self.norm_0 = SpadeNorm(channels, label_channels)
        self.norm_1 = SpadeNorm(channels, label_channels)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """``(B, C, h, w)`` for a label ``(B, L, h, w)``."""
        y = functional.leaky_relu(self.norm_0(self.conv_0(self.pad(x)), label), LEAK)
        y = functional.leaky_relu(self.norm_1(self.conv_1(self.pad(y)), label), LEAK)
        return x + y


class RotateSpadeGenerator(nn.Module):
    """Encoder, residual blocks that see the label, decoder.

    Args:
        options: Architecture.
    """

    def __init__(self, options: GeneratorOptions | None = None) -> None:
        super().__init__()
        self.options = options = options or GeneratorOptions()
        widths = [options.ngf * 2**level for level in range(options.n_downsample + 1)]
        side = options.initial_kernel_size
        self.first_layer = nn.Sequential(
            nn.ReflectionPad2d(side // 2),
            _normalised(nn.Conv2d(3, options.ngf, side, bias=False)),
            nn.ReLU(),
        )
        down: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            conv = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
            down += [_normalised(conv), nn.ReLU()]
        up: list[nn.Module] = []
        for wide, narrow in pairwise(reversed(widths)):
            transposed = nn.ConvTranspose2d(
                wide, narrow, 3, stride=2, padding=1, output_padding=1, bias=False
            )
            up += [_normalised(transposed), nn.ReLU()]
        self.downsample_layers = nn.Sequential(*down)
        self.upsample_layers = nn.Sequential(*up)
        self.final_layer = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(options.ngf, 3, 7), nn.Tanh()
        )
        for index in range(options.n_blocks):
            block = SpadeBlock(widths[-1], options.label_channels, options.kernel_size)
            self.add_module(f"resnet_layers{index}", block)

    @property
    def blocks(self) -> list[SpadeBlock]:
        """The residual blocks in order."""
        return [m for m in self.children() if isinstance(m, SpadeBlock)]

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Generated faces.

        Args:
            image: ``(B, 3, S, S)`` float32 in [-1, 1], rendered faces on black (-1).
            label: ``(B, label_channels, S, S)`` float32 in [0, 1].

        Returns:
            ``(B, 3, S, S)`` float32 in (-1, 1).

        Raises:
            ImageError: The shapes do not fit each other or the network.
        """
        check_inputs(image, label, self.options)
        x = self.downsample_layers(self.first_layer(image))
        label = functional.interpolate(label, size=x.shape[2:], mode="nearest")
        for block in self.blocks:
            x = block(x, label)
        output: Tensor = self.final_layer(self.upsample_layers(x))
        return output


def check_inputs(image: Tensor, label: Tensor, options: GeneratorOptions) -> None:
    """Raise ImageError unless a generator of this architecture takes these shapes."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ImageError(f"rendered faces have shape {tuple(image.shape)}: give (B, 3, S, S)")
    expected = (image.shape[0], options.label_channels, *image.shape[2:])
    if label.shape != expected:
        raise ImageError(f"labels have shape {tuple(label.shape)}: expected {expected}")
    factor = 2**options.n_downsample
    # Reflection by n pixels needs more than n pixels to reflect.
    shortest = factor * (options.kernel_size // 2 + 1)
    for side in image.shape[2:]:
        if side % factor or side < shortest:
            raise ImageError(
                f"rendered faces have shape {tuple(image.shape)}: height and width must be "
                f"multiples of {factor}, at least {shortest}"
            )


def _normalised(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(spectral_norm(conv), nn.BatchNorm2d(conv.out_channels))
