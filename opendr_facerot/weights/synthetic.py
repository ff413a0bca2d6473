"""A small set of random weights in place of the published ones.

With it the rotate_and_render pipeline can be tried and tested by anyone. The mesh and its modes are
the package's own CC0 head in the units of the Basel Face Model, so that reconstruction and
rendering work as with the real one; network and generator are random, so that the pose is not that
of the photo and the generated pictures are of nobody.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from opendr_facerot.assets import asset_path
from opendr_facerot.detect.mesh_topology import LANDMARKS_68
from opendr_facerot.errors import WeightsError
from opendr_facerot.generate.checkpoints import unaliased_state
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator
from opendr_facerot.reconstruct.bfm import SHAPE_MODES, MorphableModel, alignment_vertices_of
from opendr_facerot.reconstruct.face_parameters import CROP_SIZE, PARAMETER_COUNT, Whitening
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1
from opendr_facerot.weights.contents import Layout
from opendr_facerot.weights.installed import weights_status
from opendr_facerot.weights.manifest import Component
from opendr_facerot.weights.store import InstalledComponent, weights_root, write_components

_UNITS_PER_CM = 1e4
_COEFFICIENT_UNIT = 1e5  # of a shape coefficient per standard deviation, as in the published model
_EXPRESSIONS = (
    "jawOpen",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthPucker",
    "mouthFunnel",
    "cheekPuff",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "browInnerUp",
    "noseSneerLeft",
)
_SKIN_AND_EYES = (0, 1, 2)  # labels of the head asset's triangles
_NETWORK_WIDTH = 0.25
_NGF = 2
_CALIBRATION_ROUNDS = 12


def write_synthetic(
    root: str | os.PathLike[str] | None = None, *, seed: int = 0, ngf: int = _NGF
) -> Path:
    """Install a synthetic set; the same seed gives the same set.

    Args:
        root: Folder to install to; see :func:`store.weights_root`.
        seed: Of the random numbers.
        ngf: Channels of the generator's first layer; see :func:`synthetic_generator`.

    Returns:
        The folder.

    Raises:
        WeightsError: Other than synthetic weights are installed there, or it cannot be written to.
    """
    folder = weights_root(root)
    for state in weights_status(folder):
        if state.size is not None and state.layout != Layout.SYNTHETIC.value:
            raise WeightsError(
                f"{state.path} is not synthetic and would be overwritten: "
                "give another folder with --dest"
            )
    model = synthetic_model()
    whitening = synthetic_whitening(model)
    arrays = {name: array for name, array in vars(model).items() if name != "faces"}
    contents = {
        Component.NETWORK: synthetic_network(seed).state_dict(),
        Component.WHITENING: vars(whitening),
        Component.MODEL: arrays,
        Component.FACES: {"faces": model.faces},
        Component.GENERATOR: unaliased_state(synthetic_generator(seed, ngf)),
    }
    write_components(
        folder,
        {
            component: InstalledComponent(
                tensors,
                {"layout": Layout.SYNTHETIC.value, "source": f"seed {seed}", "licence": "CC0-1.0"},
            )
            for component, tensors in contents.items()
        },
    )
    return folder


def synthetic_model() -> MorphableModel:
    """The face and ears of the package's head, with 40 of its shape and 10 expression modes."""
    with np.load(asset_path("makehuman_head.npz"), allow_pickle=False) as head:
        vertices = head["v"].astype(np.float64)
        faces = head["tri"][np.isin(head["lab"], _SKIN_AND_EYES)]
        shape = head["id"][:SHAPE_MODES].astype(np.float64)
        names = [str(name) for name in head["ex_names"]]
        expression = head["ex"][[names.index(n) for n in _EXPRESSIONS]].astype(np.float64)
    with np.load(asset_path("makehuman_landmarks.npz"), allow_pickle=False) as mesh:
        corners, weights = mesh["i"][LANDMARKS_68], mesh["b"][LANDMARKS_68]
    landmarks = (vertices[corners] * weights[..., None]).sum(axis=1)

    chin, nose_tip = landmarks[8], landmarks[30]
    in_face = (vertices[:, 1] > chin[1] - 3.0) & (vertices[:, 2] > nose_tip[2] - 16.0)
    faces = faces[in_face[faces].all(axis=1)]
    kept, faces = np.unique(faces, return_inverse=True)
    origin = nose_tip * (0.0, 1.0, 1.0) - (0.0, 0.0, 13.0)
    mean = (vertices[kept] - origin) * _UNITS_PER_CM
    distance = ((landmarks[:, None] - vertices[kept]) ** 2).sum(axis=2)
    keypoints = distance.argmin(axis=1).astype(np.int32)
    return MorphableModel(
        mean=mean.ravel().astype(np.float32),
        shape_basis=_basis(shape[:, kept], _UNITS_PER_CM / _COEFFICIENT_UNIT),
        expression_basis=_basis(expression[:, kept], _UNITS_PER_CM),
        faces=faces.reshape(-1, 3).astype(np.int32),
        keypoints=keypoints,
        alignment_vertices=alignment_vertices_of(mean, keypoints),
    )


def synthetic_whitening(model: MorphableModel) -> Whitening:
    """Statistics under which an output of zeros is a frontal face that fills its region."""
    points = model.mean.reshape(-1, 3)[model.keypoints, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    # The region is the square root of 2 times as large as the box of the landmarks.
    scale = CROP_SIZE / np.sqrt(2.0) / (high - low).max()
    centre = (low + high) / 2
    camera = np.zeros((3, 4))
    camera[:, :3] = scale * np.eye(3)
    camera[:2, 3] = CROP_SIZE / 2 - scale * centre
    mean = np.zeros(PARAMETER_COUNT)
    mean[:12] = camera.ravel()
    spread = np.full((3, 4), 0.1 * scale)  # radians of yaw, pitch and roll, times the scale
    spread[:, 3] = 2.0  # pixels
    std = np.concatenate(
        [spread.ravel(), np.full(SHAPE_MODES, 0.5 * _COEFFICIENT_UNIT), np.full(10, 0.1)]
    )
    return Whitening(mean.astype(np.float32), std.astype(np.float32))


def synthetic_network(seed: int) -> MobileNetV1:
    """A narrow network with random weights whose outputs are mostly below 1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = MobileNetV1(_NETWORK_WIDTH).eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(network.fc.bias)
        network.fc.weight *= 0.5 / network(_random_images(16, CROP_SIZE)).std()
        return network


def synthetic_generator(seed: int, ngf: int = _NGF) -> RotateSpadeGenerator:
    """A generator with random weights whose outputs spread over the range of colours.

    Args:
        seed: Of the random numbers.
        ngf: Channels of the first layer; the published model has 64.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        generator = RotateSpadeGenerator(GeneratorOptions(ngf=ngf)).train()
        # Passes in training mode settle the spectral norms and the batch statistics.
        for layer in generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the mean of all passes
        last = generator.final_layer.get_submodule("1").get_parameter("weight")
        nn.init.normal_(last, std=0.6 * last[0].numel() ** -0.5)
        for _ in range(_CALIBRATION_ROUNDS):
            label = torch.rand(2, generator.options.label_channels, 128, 128) > 0.9
            generator(_random_images(2, 128), label.float())
        return generator.eval()


def _random_images(count: int, side: int) -> torch.Tensor:
    """Blurred noise ``(count, 3, side, side)`` in [-1, 1]."""
    coarse = torch.rand(count, 3, 8, 8).mul(2.0).sub(1.0)
    return nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(-1.0, 1.0)


def _basis(modes: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """``(3N, K)`` of ``(K, N, 3)`` modes."""
    return np.ascontiguousarray((scale * modes.reshape(len(modes), -1)).T, np.float32)
