"""Rasteriser of the CUDA package ``neural_renderer``, where it is installed.

The package returns pictures, not fragments: the faces are drawn without anti-aliasing in colours
that spell out their indices.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opendr_facerot.errors import DeviceError
from opendr_facerot.render.reference import Planes
from opendr_facerot.render.torch_ import barycentric_at, torch_device

_DIGITS = 256


def rasterize(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    image_size: int,
    *,
    near: float,
    far: float,
    device: str,
) -> Planes:
    """Fields of Fragments, each with a leading batch axis, for ``(B, V, 3)`` vertices.

    Raises:
        DeviceError: The device is not a CUDA device, or the package does not work here.
    """
    place = torch_device(device)
    if place.type != "cuda":
        raise DeviceError(f"neural_renderer needs a CUDA device, not {device!r}: use 'cuda'")
    try:
        package = import_module("neural_renderer")
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"neural_renderer is installed but cannot be loaded ({error}): "
            "build it for this version of torch, or use the 'torch' backend"
        ) from error
    planes = rasterize_with(
        package,
        torch.tensor(vertices, device=place),
        torch.tensor(faces, device=place),
        image_size,
        near=near,
        far=far,
    )
    face_index, barycentric, depth = (plane.cpu().numpy() for plane in planes)
    return face_index, barycentric, depth


@torch.no_grad()
def rasterize_with(
    package: Any, vertices: Tensor, faces: Tensor, image_size: int, *, near: float, far: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Fragments of tensors by ``package.rasterize_rgbad``; cf. torch_.rasterize_tensors."""
    number = torch.arange(len(faces), device=faces.device)
    digits = torch.stack([number // _DIGITS**2, number // _DIGITS % _DIGITS, number % _DIGITS], -1)
    cells = digits.float()[None, :, None, None, None].expand(len(vertices), -1, 2, 2, 2, -1)
    picture = package.rasterize_rgbad(
        vertices[:, faces.long()].contiguous(),
        cells.contiguous(),
        image_size=image_size,
        anti_aliasing=False,
        near=near,
        far=far,
        background_color=[0.0, 0.0, 0.0],
    )
    high, middle, low = picture["rgb"].round().int().unbind(1)
    face_index = (high * _DIGITS + middle) * _DIGITS + low
    face_index = torch.where(picture["alpha"] > 0.5, face_index, -1)
    return face_index, barycentric_at(face_index, vertices, faces), picture["depth"]
