"""The folder of installed weights: where it is, and reading and writing its files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays_file
from safetensors.numpy import save_file as save_arrays_file

from opendr_facerot.errors import WeightsError
from opendr_facerot.weights.manifest import COMPONENTS, Component

_METADATA_KEY = "opendr_facerot"
_SUBFOLDER = "rotate_and_render"
_TORCH_COMPONENTS = (Component.NETWORK, Component.GENERATOR)


@dataclass(frozen=True, eq=False)
class InstalledComponent:
    """Content of a component's file.

    Attributes:
        tensors: Arrays, or for network and generator tensors, by name.
        metadata: ``layout`` (see :class:`contents.Layout`; empty for the generator), ``source``
            (the files it was made from) and ``licence``.
    """

    tensors: Mapping[str, Any]
    metadata: Mapping[str, str]


def weights_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of installed weights, which need not exist.

    The given one; else that of the environment variable ``FACEROT_WEIGHTS``; else
    ``opendr_facerot`` in ``XDG_DATA_HOME``, which is ``~/.local/share`` unless set.
    """
    if chosen := root or os.environ.get("FACEROT_WEIGHTS"):
        return Path(chosen).expanduser()
    data_home = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = Path(data_home) if os.path.isabs(data_home) else Path.home() / ".local" / "share"
    return base / "opendr_facerot"


def component_path(root: Path, component: Component) -> Path:
    """Where a component is, or would be, installed."""
    return root / _SUBFOLDER / component.value


def write_components(root: Path, components: Mapping[Component, InstalledComponent]) -> None:
    """Install components, replacing those of the same kind.

    All are written under temporary names before the first is put in place.

    Raises:
        WeightsError: The folder cannot be written to.
    """
    partial: dict[Path, Path] = {}
    try:
        component_path(root, Component.NETWORK).parent.mkdir(parents=True, exist_ok=True)
        for component, content in components.items():
            target = component_path(root, component)
            partial[target] = target.with_name(f".{target.name}-{os.getpid()}-{get_ident()}")
            _save(component, content, partial[target])
            # safetensors makes files that nobody else can read, even in a folder for everybody.
            partial[target].chmod(target.parent.stat().st_mode & 0o666)
        for target, temporary in partial.items():
            os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write weights to {root}: {error}") from error
    finally:
        for temporary in partial.values():
            temporary.unlink(missing_ok=True)


def read_metadata(root: Path, component: Component) -> dict[str, str]:
    """Metadata of an installed component; see :class:`InstalledComponent`.

    Raises:
        WeightsError: It is missing or damaged.
    """
    with _opened(root, component) as file:
        content = json.loads((file.metadata() or {}).get(_METADATA_KEY, ""))
        return {str(name): str(value) for name, value in content.items()}


def read_component(root: Path, component: Component) -> InstalledComponent:
    """An installed component.

    Raises:
        WeightsError: It is missing or damaged.
    """
    metadata = read_metadata(root, component)  # finds damage, too
    path = component_path(root, component)
    if component in _TORCH_COMPONENTS:
        from safetensors.torch import load_file

        return InstalledComponent(load_file(path), metadata)
    return InstalledComponent(load_arrays_file(path), metadata)


@contextmanager
def _opened(root: Path, component: Component) -> Iterator[Any]:
    path = component_path(root, component)
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing: {COMPONENTS[component].title}, from {COMPONENTS[component].source}"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path} is damaged ({error}): install it again with 'facerot weights import'"
        ) from error


def _save(component: Component, content: InstalledComponent, path: Path) -> None:
    # In one entry, because safetensors writes several in random order: equal sets, equal files.
    metadata = {_METADATA_KEY: json.dumps(dict(content.metadata), sort_keys=True)}
    if component in _TORCH_COMPONENTS:
        from safetensors.torch import save_file

        tensors = {name: tensor.contiguous() for name, tensor in content.tensors.items()}
        save_file(tensors, path, metadata)
    else:
        arrays = {name: np.ascontiguousarray(array) for name, array in content.tensors.items()}
        save_arrays_file(arrays, path, metadata)
