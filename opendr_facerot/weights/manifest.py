"""What the rotate_and_render pipeline needs, and the published files that it can come from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """What a user's file, or an entry of one, holds."""

    NETWORK = "3DDFA's network"
    WHITENING = "the statistics of the network's outputs"
    MEAN = "half of the mean face"
    SHAPE_BASIS = "the shape modes"
    EXPRESSION_BASIS = "the expression modes"
    KEYPOINTS = "the landmark vertices"
    WHOLE_MODEL = "the whole face model"
    VERTEX_MAP = "the vertices kept from the full mesh"
    FACES = "the triangles"
    GENERATOR = "the generator"


class Component(Enum):
    """An installed file; the value is its name."""

    NETWORK = "network.safetensors"
    WHITENING = "whitening.safetensors"
    MODEL = "morphable_model.safetensors"
    FACES = "faces.safetensors"
    GENERATOR = "generator.safetensors"


@dataclass(frozen=True)
class ComponentInfo:
    """What a user needs to know about a component.

    Attributes:
        title: What it is.
        licence: Of the published files.
        source: Where it comes from: published file names and the archives that hold them.
    """

    title: str
    licence: str
    source: str


_RESEARCH_ONLY = "Basel Face Model: research only, non-commercial"

COMPONENTS = {
    Component.NETWORK: ComponentInfo(
        "3DDFA network",
        "MIT",
        "models/phase1_wpdc_vdc.pth.tar in ckpt_and_bfm.zip; "
        "or weights/mb1_120x120.pth or mb05_120x120.pth of 3DDFA_V2",
    ),
    Component.WHITENING: ComponentInfo(
        "whitening",
        "MIT",
        "train.configs/param_whitening.pkl in ckpt_and_bfm.zip; "
        "or configs/param_mean_std_62d_120x120.pkl of 3DDFA_V2",
    ),
    Component.MODEL: ComponentInfo(
        "morphable model",
        _RESEARCH_ONLY,
        "train.configs/{u_shp,u_exp,w_shp_sim,w_exp_sim,keypoints_sim}.npy in ckpt_and_bfm.zip; "
        "or configs/bfm_noneck_v3.pkl and configs/indices.npy of 3DDFA_V2",
    ),
    Component.FACES: ComponentInfo(
        "mesh triangles",
        _RESEARCH_ONLY,
        "visualize/tri.mat beside 3DDFA's code in OpenDR, Rotate-and-Render or 3DDFA; "
        "or configs/tri.pkl of 3DDFA_V2",
    ),
    Component.GENERATOR: ComponentInfo(
        "generator",
        "CC-BY-4.0",
        "latest_net_G.pth in latest_net_G.zip or in checkpoints/rs_model of checkpoints.zip",
    ),
}


@dataclass(frozen=True)
class KnownFile:
    """A published file.

    Attributes:
        part: What it holds.
        md5: Hexadecimal MD5, or as many of its leading digits as are known; None if unknown.
    """

    part: Part
    md5: str | None = None

    def has_digest(self, md5: str) -> bool:
        """Whether a file with this full hexadecimal MD5 can be the published one."""
        return self.md5 is None or md5.startswith(self.md5)


KNOWN_FILES = {
    "phase1_wpdc_vdc.pth.tar": KnownFile(Part.NETWORK, "01054c039b12b1b5f6e34e1fcf44fbf6"),
    "mb05_120x120.pth": KnownFile(Part.NETWORK, "05000fb422a8ce4a6dff7bf2618e6fc7"),
    "mb1_120x120.pth": KnownFile(Part.NETWORK),
    "param_whitening.pkl": KnownFile(Part.WHITENING, "9dda273b"),
    "param_mean_std_62d_120x120.pkl": KnownFile(Part.WHITENING),
    "u_shp.npy": KnownFile(Part.MEAN, "60f98b75"),
    "u_exp.npy": KnownFile(Part.MEAN, "97491b2f"),
    "w_shp_sim.npy": KnownFile(Part.SHAPE_BASIS, "74d41d465580924456defd99401cfcdd"),
    "w_exp_sim.npy": KnownFile(Part.EXPRESSION_BASIS, "7566556b7760b8691f3a6fddbdd38fcc"),
    "keypoints_sim.npy": KnownFile(Part.KEYPOINTS, "eb2c5dba"),
    "tri.mat": KnownFile(Part.FACES, "1fc4d7a3"),
    "bfm_noneck_v3.pkl": KnownFile(Part.WHOLE_MODEL),
    "indices.npy": KnownFile(Part.VERTEX_MAP),
    "tri.pkl": KnownFile(Part.FACES),
    "latest_net_G.pth": KnownFile(Part.GENERATOR),
}
"""Published files by name."""
