"""The patch discriminators that the generator is trained against.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs",
CVPR 2018 (pix2pixHD), section 3.2, with spectral normalisation. Names of layers, and so of
checkpoint entries, are those of the published model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from opendr_facerot.errors import SettingsError

LEAK = 0.2
"""Negative slope of the activations."""


@dataclass(frozen=True)
class DiscriminatorOptions:
    """Architecture; the defaults are those of the published training (5,541,506 parameters).

    Attributes:
        ndf: Channels of the first layer; each following one doubles them, up to 512.
        input_channels: Channels of the label plus those of the image.
        n_layers: Layers before the score.
        n_scales: Discriminators, each at half the resolution of the one before.

    Raises:
        SettingsError: A value is below 1.
    """

    ndf: int = 64
    input_channels: int = 8
    n_layers: int = 4
    n_scales: int = 2

    def __post_init__(self) -> None:
        for name in ("ndf", "input_channels", "n_layers", "n_scales"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"discriminator {name} is {getattr(self, name)}: give at least 1"
                )


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of an image as real (high) or generated (low)."""

    def __init__(self, options: DiscriminatorOptions) -> None:
        super().__init__()
        widths = [min(options.ndf * 2**level, 512) for level in range(options.n_layers)]
        self.model0 = nn.Sequential(
            nn.Conv2d(options.input_channels, widths[0], 4, stride=2, padding=2),
            nn.LeakyReLU(LEAK),
        )
        for level, (narrow, wide) in enumerate(pairwise(widths), start=1):
            stride = 1 if level == options.n_layers - 1 else 2
            conv = nn.Conv2d(narrow, wide, 4, stride=stride, padding=2, bias=False)
            normalised = nn.Sequential(spectral_norm(conv), nn.BatchNorm2d(wide))
            self.add_module(f"model{level}", nn.Sequential(normalised, nn.LeakyReLU(LEAK)))
        score = nn.Conv2d(widths[-1], 1, 4, padding=2)
        self.add_module(f"model{options.n_layers}", nn.Sequential(score))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Output of every layer; the last, ``(B, 1, h, w)``, is the score of each patch."""
        outputs = []
        for layer in self.children():
            x = layer(x)
            outputs.append(x)
        return outputs


class MultiscaleDiscriminator(nn.Module):
    """Patch discriminators at several resolutions.

    Args:
        options: Architecture.
    """

    def __init__(self, options: DiscriminatorOptions | None = None) -> None:
        super().__init__()
        options = options or DiscriminatorOptions()
        for scale in range(options.n_scales):
            self.add_module(f"discriminator_{scale}", PatchDiscriminator(options))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Outputs of every layer at every scale, the finest scale first.

        Args:
            x: ``(B, input_channels, S, S)`` float32: the label, then the image in [-1, 1].
        """
        scales = []
        for discriminator in self.children():
            scales.append(discriminator(x))
            x = functional.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return scales
