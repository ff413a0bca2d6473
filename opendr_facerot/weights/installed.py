"""The installed weights of the rotate_and_render pipeline: their state, and loading them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.bfm import MorphableModel
from opendr_facerot.reconstruct.face_parameters import PixelConvention, Whitening
from opendr_facerot.weights.contents import Layout
from opendr_facerot.weights.manifest import COMPONENTS, Component
from opendr_facerot.weights.store import (
    component_path,
    read_component,
    read_metadata,
    weights_root,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class RotateAndRenderWeights:
    """All that the rotate_and_render pipeline loads from files.

    Attributes:
        network: ``state_dict`` of :class:`reconstruct.mobilenet_v1.MobileNetV1`.
        whitening: Statistics that go with the network.
        convention: Pixel convention that goes with the network.
        model: The face model, triangles included.
        generator: ``state_dict`` of :class:`generate.rotate_spade.RotateSpadeGenerator`, each
            tensor under one name (``conv_0`` and ``conv_1``, not their aliases).
    """

    network: dict[str, torch.Tensor]
    whitening: Whitening
    convention: PixelConvention
    model: MorphableModel
    generator: dict[str, torch.Tensor]


@dataclass(frozen=True)
class ComponentStatus:
    """State of one component.

    Attributes:
        component: Which.
        path: Where it is, or would be, installed.
        size: Bytes; None if it is not installed.
        layout: Whose data it is, e.g. ``"3ddfa"``; empty if unknown or if it does not matter.
        source: Names of the files that it was made from; empty if it is not installed.
        licence: Of its data.
        fault: Why it cannot be used; None if it can.
    """

    component: Component
    path: Path
    size: int | None
    layout: str
    source: str
    licence: str
    fault: str | None


def installed_weights(root: str | os.PathLike[str] | None = None) -> RotateAndRenderWeights:
    """Load the installed weights of the rotate_and_render pipeline.

    Args:
        root: See :func:`store.weights_root`.

    Raises:
        WeightsError: A file is missing, damaged or holds something else than it should, or files
            of different origins do not go together; the message names the file and the remedy.
    """
    from opendr_facerot.generate.checkpoints import load_generator, unaliased_state
    from opendr_facerot.reconstruct.mobilenet_v1 import check_state_dict

    folder = weights_root(root)
    if folder.is_file():
        raise WeightsError(
            f"{folder} is a file: install it with 'facerot weights import {folder}', then give the "
            "folder of installed weights, or none for the default one"
        )
    if missing := [c for c in Component if not component_path(folder, c).is_file()]:
        raise WeightsError(_missing_text(folder, missing))
    found = {c: read_component(folder, c) for c in Component}
    layouts = {c: part.metadata.get("layout", "") for c, part in found.items()}
    if conflict := _conflict(layouts):
        raise WeightsError(f"{folder}: {conflict}")
    with _blamed_on(folder, Component.NETWORK) as part:
        check_state_dict(found[part].tensors)
    with _blamed_on(folder, Component.WHITENING) as part:
        whitening = Whitening(**found[part].tensors)
    with _blamed_on(folder, Component.MODEL) as part:
        model = model_without_faces(found[part].tensors)
    with _blamed_on(folder, Component.FACES) as part:
        if found[part].tensors.keys() != {"faces"} or not len(found[part].tensors["faces"]):
            raise ValueError(f"it holds no triangles (entries: {sorted(found[part].tensors)})")
        model = replace(model, faces=found[part].tensors["faces"])
    with _blamed_on(folder, Component.GENERATOR) as part:
        generator = unaliased_state(load_generator(found[part].tensors))
    return RotateAndRenderWeights(
        network=dict(found[Component.NETWORK].tensors),
        whitening=whitening,
        convention=convention_of(layouts[Component.NETWORK]),
        model=model,
        generator=generator,
    )


def weights_status(root: str | os.PathLike[str] | None = None) -> list[ComponentStatus]:
    """State of every component; the contents are not read, only what the files say they are."""
    folder = weights_root(root)
    states = {c: _state(folder, c) for c in Component}
    layouts = {c: s.layout for c, s in states.items() if s.size is not None and s.fault is None}
    if conflict := _conflict(layouts):
        for component in layouts:
            if layouts[component]:
                states[component] = replace(states[component], fault=conflict)
    return list(states.values())


def model_without_faces(arrays: Mapping[str, NDArray[Any]]) -> MorphableModel:
    """The face model of its arrays by name, with no triangles yet.

    Raises:
        TypeError: Arrays are missing or unknown.
        ValueError: See :class:`MorphableModel`.
    """
    return MorphableModel(**arrays, faces=np.empty((0, 3), np.int32))


def convention_of(layout: str) -> PixelConvention:
    """The pixel convention of a network of this layout."""
    v2 = layout == Layout.TDDFA_V2.value
    return PixelConvention.TDDFA_V2 if v2 else PixelConvention.TDDFA


def _state(root: Path, component: Component) -> ComponentStatus:
    path = component_path(root, component)
    licence = COMPONENTS[component].licence
    if not path.is_file():
        return ComponentStatus(component, path, None, "", "", licence, "not installed")
    size = path.stat().st_size
    try:
        metadata = read_metadata(root, component)
    except WeightsError as error:
        return ComponentStatus(component, path, size, "", "", licence, str(error))
    layout, source = metadata.get("layout", ""), metadata.get("source", "")
    return ComponentStatus(
        component, path, size, layout, source, metadata.get("licence", licence), None
    )


def _conflict(layouts: Mapping[Component, str]) -> str | None:
    """Why components of these layouts do not go together, or None."""
    network = layouts.get(Component.NETWORK)
    whitening = layouts.get(Component.WHITENING)
    model = layouts.get(Component.MODEL)
    faces = layouts.get(Component.FACES)
    synthetic = Layout.SYNTHETIC.value
    if network and whitening and network != whitening:
        return (
            f"the network is of {network} but the whitening of {whitening}: import the one that "
            "goes with the other"
        )
    if model and faces and model != faces:
        return (
            f"the face model is of {model} but the triangles of {faces}: import the ones that go "
            "with the other"
        )
    if network and model and (network == synthetic) != (model == synthetic):
        return "synthetic and published weights are mixed: import all, or use another folder"
    return None


@contextmanager
def _blamed_on(root: Path, component: Component) -> Iterator[Component]:
    """Name the file in errors about its content."""
    try:
        yield component
    except (WeightsError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{component_path(root, component)}: {error}; install it again with "
            f"'facerot weights import', from {COMPONENTS[component].source}"
        ) from error


def _missing_text(root: Path, missing: list[Component]) -> str:
    lines = [f"  {component_path(root, c).name}: {COMPONENTS[c].source}" for c in missing]
    return "\n".join(
        [
            f"the rotate_and_render pipeline lacks model files in {root}:",
            *lines,
            "install those you have with 'facerot weights import PATH...', or random ones, to try "
            "the pipeline, with 'facerot weights synthetic'",
        ]
    )
