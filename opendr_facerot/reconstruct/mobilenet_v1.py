"""The network of 3DDFA: MobileNetV1 with a regression head.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
2017. Names of layers, and so of checkpoint entries, are those of 3DDFA's checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.face_parameters import PARAMETER_COUNT

_LAST_CHANNELS = 1024

# Name, input and output channels at width 1, stride.
_BLOCKS = (
    ("dw2_1", 32, 64, 1),
    ("dw2_2", 64, 128, 2),
    ("dw3_1", 128, 128, 1),
    ("dw3_2", 128, 256, 2),
    ("dw4_1", 256, 256, 1),
    ("dw4_2", 256, 512, 2),
    ("dw5_1", 512, 512, 1),
    ("dw5_2", 512, 512, 1),
    ("dw5_3", 512, 512, 1),
    ("dw5_4", 512, 512, 1),
    ("dw5_5", 512, 512, 1),
    ("dw5_6", 512, _LAST_CHANNELS, 2),
    ("dw6", _LAST_CHANNELS, _LAST_CHANNELS, 1),
)


class _SeparableBlock(nn.Module):
    """A 3x3 convolution within each channel, then a 1x1 convolution across channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(
            channels_in, channels_in, 3, stride, padding=1, groups=channels_in, bias=False
        )
        self.bn_dw = nn.BatchNorm2d(channels_in)
        self.conv_sep = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn_dw(self.conv_dw(x)))
        return torch.relu(self.bn_sep(self.conv_sep(x)))


class MobileNetV1(nn.Module):
    """Face parameters, whitened, of 120x120 pixel images.

    Args:
        width: Factor on the number of channels of every layer, at least 1/32.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        first = int(_BLOCKS[0][1] * width)
        self.conv1 = nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        for name, channels_in, channels_out, stride in _BLOCKS:
            block = _SeparableBlock(int(channels_in * width), int(channels_out * width), stride)
            self.add_module(name, block)
        self.fc = nn.Linear(int(_LAST_CHANNELS * width), PARAMETER_COUNT)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 62)`` of ``(B, 3, 120, 120)`` BGR in [-1, 1)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        for name, *_ in _BLOCKS:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean(dim=(2, 3)))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> MobileNetV1:
        """A network in evaluation mode, as wide as the given weights.

        Args:
            state: Exactly the entries of a network's ``state_dict``.

        Raises:
            WeightsError: Entries are missing, unexpected or of the wrong shape.
        """
        check_state_dict(state)
        network = cls(_width_of(state))
        network.load_state_dict(state)
        return network.eval().requires_grad_(False)


def from_checkpoint(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries for :meth:`MobileNetV1.from_state_dict` of a published checkpoint.

    3DDFA's names carry the prefix ``module.``. 3DDFA_V2's head is called ``fc_param``, and a second
    head, ``fc_lm``, was only used in training.
    """
    state = {}
    for key, value in entries.items():
        key = key.replace("module.", "")
        if not key.startswith("fc_lm."):
            state[key.replace("fc_param.", "fc.")] = value
    return state


def check_state_dict(state: Mapping[str, Tensor]) -> None:
    """Raise WeightsError unless the entries are those of a network of some width."""
    with torch.device("meta"):
        expected = MobileNetV1(_width_of(state)).state_dict()
    if missing := sorted(expected.keys() - state.keys()):
        raise WeightsError(f"the network lacks {_few(missing)}")
    if unexpected := sorted(state.keys() - expected.keys()):
        raise WeightsError(f"the network has unknown entries: {_few(unexpected)}")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise WeightsError(
                f"the network's {key} has shape {tuple(state[key].shape)}: "
                f"expected {tuple(value.shape)}"
            )
        if value.is_floating_point() and not torch.isfinite(state[key]).all():
            raise WeightsError(f"the network's {key} holds numbers that are not finite")


def _width_of(state: Mapping[str, Tensor]) -> float:
    # All channel numbers at width 1 divide that of the last layer, so rounding it down loses
    # nothing that the other layers would keep.
    head = state.get("fc.weight")
    if head is None or head.ndim != 2 or head.shape[1] < _LAST_CHANNELS // 32:
        raise WeightsError("the network has no usable fc.weight: this is not 3DDFA's MobileNetV1")
    return head.shape[1] / _LAST_CHANNELS


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
