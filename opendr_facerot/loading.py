"""Finding and constructing pipelines by name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, cast

from opendr_facerot.errors import SettingsError
from opendr_facerot.rotator import FaceRotator

GROUP = "opendr_facerot.pipelines"
"""Entry-point group in which an installed package names its pipelines."""


def pipeline_names() -> list[str]:
    """Names of the installed pipelines, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def pipeline_class(name: str) -> Any:
    """The class of a pipeline, imported now.

    Raises:
        SettingsError: There is no pipeline of that name.
    """
    for point in entry_points(group=GROUP, name=name):
        return point.load()
    raise SettingsError(
        f"there is no pipeline {name!r}: installed are {', '.join(pipeline_names()) or 'none'}"
    )


def load(pipeline: str = "head", **settings: Any) -> FaceRotator:
    """Construct a pipeline.

    Args:
        pipeline: ``"head"`` (needs no download and no GPU), or another installed pipeline.
        settings: Fields of the pipeline's ``Settings``; all have those of
            :class:`opendr_facerot.RotatorSettings`.

    Raises:
        SettingsError: Unknown pipeline or setting, or a value outside its range.
        WeightsError: The pipeline's model files are missing or damaged.
        DeviceError: The device does not exist here.
    """
    cls = pipeline_class(pipeline)
    known = set(cls.Settings.__dataclass_fields__)
    if unknown := sorted(set(settings) - known):
        raise SettingsError(
            f"the {pipeline!r} pipeline has no setting {', '.join(unknown)}; "
            f"it has {', '.join(sorted(known))}"
        )
    return cast(FaceRotator, cls(cls.Settings(**settings)))
