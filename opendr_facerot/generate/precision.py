"""In which floating-point format the large networks compute."""

from __future__ import annotations

import torch

from opendr_facerot.errors import DeviceError
from opendr_facerot.rotator import Precision


def network_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The format that a :attr:`RotatorSettings.precision` means on a device.

    ``"auto"`` takes bfloat16 where the device multiplies matrices in it: processors with AMX or
    AVX512-BF16, graphics cards with compute capability 8.0 and later. Elsewhere it would be
    emulated, and slower than float32.

    Raises:
        DeviceError: The device has no bfloat16 at all and it was asked for.
    """
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        if device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise DeviceError(f"{device} has no bfloat16: give precision 'auto' or 'float32'")
        return torch.bfloat16
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
