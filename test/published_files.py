"""Small files in the layouts of the published ones, of random numbers, to test the import."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator
from opendr_facerot.reconstruct.bfm import PUBLISHED_ALIGNMENT_VERTICES
from opendr_facerot.reconstruct.mobilenet_v1 import MobileNetV1

VERTEX_COUNT = 300


def network_state(width: float = 0.25, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return MobileNetV1(width).state_dict()


def generator_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """With the aliases, as in a published checkpoint."""
    torch.manual_seed(seed)
    return RotateSpadeGenerator(GeneratorOptions(ngf=1, n_blocks=1)).state_dict()


def model_arrays(vertex_count: int = VERTEX_COUNT) -> dict[str, NDArray[Any]]:
    """The arrays of train.configs by file name."""
    random = np.random.default_rng(0)
    keypoints = random.permutation(vertex_count)[:68]
    return {
        "u_shp": random.normal(0, 6e4, (3 * vertex_count, 1)).astype(np.float32),
        "u_exp": random.normal(0, 1e3, (3 * vertex_count, 1)).astype(np.float32),
        "w_shp_sim": random.normal(0, 0.02, (3 * vertex_count, 40)).astype(np.float32),
        "w_exp_sim": random.normal(0, 2e3, (3 * vertex_count, 10)).astype(np.float32),
        "keypoints_sim": (3 * keypoints[:, None] + np.arange(3)).ravel(),
    }


def whitening_arrays() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(1)
    mean, std = random.normal(size=62), random.random(62) + 0.5
    return {"param_mean": mean.astype(np.float32), "param_std": std.astype(np.float32)}


def faces_array(vertex_count: int = VERTEX_COUNT) -> NDArray[np.int32]:
    """``(F, 3)``, from 0."""
    return np.random.default_rng(2).integers(0, vertex_count, (500, 3)).astype(np.int32)


def write_3ddfa(folder: Path, vertex_count: int = VERTEX_COUNT) -> Path:
    """A folder as ``ckpt_and_bfm.zip`` unpacks to, in a clone of 3DDFA's code."""
    (folder / "models").mkdir(parents=True)
    (folder / "train.configs").mkdir()
    (folder / "visualize").mkdir()
    checkpoint = {
        "epoch": 3,
        "state_dict": {f"module.{key}": value for key, value in network_state().items()},
    }
    torch.save(
        checkpoint,
        folder / "models" / "phase1_wpdc_vdc.pth.tar",
        _use_new_zipfile_serialization=False,
    )
    configs = folder / "train.configs"
    for name, array in model_arrays(vertex_count).items():
        np.save(configs / f"{name}.npy", array)
    np.save(configs / "pncc_code.npy", np.zeros((3, vertex_count), np.float32))
    (configs / "param_whitening.pkl").write_bytes(pickle.dumps(whitening_arrays(), protocol=2))
    one_based = faces_array(vertex_count).T + 1
    savemat(folder / "visualize" / "tri.mat", {"tri": one_based.astype(np.uint16)})
    (folder / "readme.txt").write_text("not a model file")
    return folder


def write_3ddfa_v2(folder: Path) -> Path:
    """The weights and configs of a clone of 3DDFA_V2, its mesh a part of the published one."""
    folder.mkdir(parents=True)
    state = {f"module.{key}": value for key, value in network_state().items()}
    for entry in ("weight", "bias"):
        state[f"module.fc_param.{entry}"] = state.pop(f"module.fc.{entry}")
    state["module.fc_lm.weight"] = torch.zeros(136, 256)
    state["module.fc_lm.bias"] = torch.zeros(136)
    torch.save({"epoch": 62, "state_dict": state}, folder / "mb1_120x120.pth")
    whitening = whitening_arrays()
    statistics = {"mean": whitening["param_mean"], "std": whitening["param_std"]}
    (folder / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps(statistics))
    random = np.random.default_rng(3)
    arrays = model_arrays()
    model = {
        "u": arrays["u_shp"],
        "w_shp": random.normal(size=(3 * VERTEX_COUNT, 60)).astype(np.float32),
        "w_exp": random.normal(size=(3 * VERTEX_COUNT, 20)).astype(np.float32),
        "keypoints": arrays["keypoints_sim"],
    }
    (folder / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps(model))
    (folder / "tri.pkl").write_bytes(pickle.dumps(np.ascontiguousarray(faces_array().T)))
    others = np.setdiff1d(np.arange(20_000), PUBLISHED_ALIGNMENT_VERTICES)
    kept = random.permutation(others)[: VERTEX_COUNT - 5]
    kept = np.sort(np.concatenate([kept, PUBLISHED_ALIGNMENT_VERTICES])).astype(np.int32)
    np.save(folder / "indices.npy", kept)
    return folder


def write_generator(path: Path) -> Path:
    torch.save(generator_state(), path)
    return path


def zip_folder(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in sorted(folder.rglob("*")):
            zipped.write(file, file.relative_to(folder))
    return archive
