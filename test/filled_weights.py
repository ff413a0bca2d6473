"""Random weights that the reference outputs were made with, for networks of any size.

Each tensor is drawn from a legacy NumPy generator seeded with the CRC-32 of its name, so that
networks which agree in names and shapes have the same weights.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

ALIASES = {".conv_block1.": ".conv_0.", ".conv_block4.": ".conv_1."}
POWER_ITERATIONS = 20


def filled_weights(network: nn.Module) -> dict[str, Tensor]:
    """Values for a network's ``state_dict``, without the second names of tensors.

    The network itself is not changed and may be on the meta device.
    """
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not any(alias in name for alias in ALIASES)
    }
    weights = {
        name: _drawn(name, shape)
        for name, shape in shapes.items()
        if not name.endswith(("weight_u", "weight_v"))
    }
    for name in [name for name in shapes if name.endswith("weight_u")]:
        layer = name.removesuffix("weight_u")
        matrix = weights[layer + "weight_orig"]
        if "upsample_layers" in name:
            matrix = matrix.swapaxes(0, 1)
        u, v = _singular_vectors(name, matrix.reshape(len(matrix), -1).astype(np.float32))
        weights[layer + "weight_u"], weights[layer + "weight_v"] = u, v
    return {name: torch.from_numpy(weights[name]) for name in shapes}


def _drawn(name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    random = _random(name)
    leaf = name.rpartition(".")[2]
    if leaf == "num_batches_tracked":
        return np.array(1, np.int64)
    if leaf == "running_mean":
        values = 0.1 * random.standard_normal(shape)
    elif leaf == "running_var":
        typical = 3.0 if "resnet_layers" in name else 0.15
        values = typical * np.exp(0.3 * random.standard_normal(shape))
    elif len(shape) == 1:
        values = (1.0 if leaf == "weight" else 0.0) + 0.1 * random.standard_normal(shape)
    else:
        values = _gain(name) * random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def _gain(name: str) -> float:
    if "mlp_gamma" in name or "mlp_beta" in name:
        return 0.25
    return 0.3 if "final_layer" in name else 1.0


def _singular_vectors(
    name: str, matrix: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    u = _random(name).standard_normal(len(matrix)).astype(np.float32)
    for _ in range(POWER_ITERATIONS):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u, v


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))
