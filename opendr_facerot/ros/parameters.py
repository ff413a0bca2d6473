"""The node's parameters: what there is, what it may be, and whether it may change while active."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from opendr_facerot.errors import AngleError, SettingsError
from opendr_facerot.ros.rotation import MAX_VIEWS
from opendr_facerot.rotator import (
    MAX_SIZE,
    MIN_SIZE,
    PRECISIONS,
    RotatorSettings,
    parse_background,
)
from opendr_facerot.views import View, view_grid, view_pairs

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor

Value: TypeAlias = bool | int | float | str | list[float]

VIEW_PRESETS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "frontal": ((0.0,), (0.0,)),
    "triptych": ((-45.0, 0.0, 45.0), (0.0,)),
    "nine": (tuple(range(-60, 61, 15)), (0.0,)),
    "hemisphere": (tuple(range(-90, 91, 30)), (-30.0, 0.0, 30.0)),
}
"""Yaws and pitches, degrees, of which a preset takes every combination."""


@dataclass(frozen=True)
class Parameter:
    """Declaration of one parameter.

    Attributes:
        default: Its type is the parameter's type.
        description: With the unit, and what special values mean.
        range: Least and greatest number.
        choices: Allowed texts.
        live: Whether it may change while the node is active; it is in force from the next frame.
        read_only: It is read once, when the node starts.
    """

    default: Value
    description: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = True
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What ROS tools show, and the checks that ROS makes itself."""
        from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

        descriptor = ParameterDescriptor(
            description=self.description,
            read_only=self.read_only,
            additional_constraints=self._constraints(),
        )
        if self.range and isinstance(self.default, float):
            low, high = self.range
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif self.range and isinstance(self.default, int):
            low, high = (int(limit) for limit in self.range)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        return descriptor

    def _constraints(self) -> str:
        constraints = []
        if self.choices:
            constraints.append(f"one of: {', '.join(self.choices)}")
        if self.range and isinstance(self.default, list):
            constraints.append("each in [{:g}, {:g}] or NaN".format(*self.range))
        if not self.live and not self.read_only:
            constraints.append("cannot change while the node is active")
        return "; ".join(constraints)


FRONTAL = View(0.0, 0.0)

_ANGLE_RANGE = (-90.0, 90.0)
_MIN_FOV_DEG, _MAX_FOV_DEG = 5.0, 150.0

PARAMETERS: Mapping[str, Parameter] = {
    "pipeline": Parameter("head", "Installed pipeline that turns the faces.", live=False),
    "device": Parameter("auto", "Compute device: auto, cpu, cuda or cuda:<index>.", live=False),
    "weights": Parameter(
        "", "Folder or file of the pipeline's model files; empty = the default place.", live=False
    ),
    "precision": Parameter(
        "auto",
        "What the pipeline's large networks compute in: float32, bfloat16 (faster where the device "
        "multiplies matrices in it), or auto, which takes bfloat16 there.",
        choices=PRECISIONS,
        live=False,
    ),
    "autostart": Parameter(
        True, "Configure and activate the node when it starts.", live=False, read_only=True
    ),
    "image_transport": Parameter(
        "raw",
        "Transport of the image topic: raw (sensor_msgs/Image on image) or compressed "
        "(sensor_msgs/CompressedImage on image/compressed).",
        choices=("raw", "compressed"),
        live=False,
    ),
    "view_preset": Parameter(
        "custom",
        "Views of each frame: custom takes yaw_deg, pitch_deg and grid; the others are frontal, "
        "triptych (yaw -45, 0, 45), nine (yaw -60 to 60 in steps of 15), hemisphere (yaw -90 to 90 "
        "in steps of 30 at pitch -30, 0 and 30).",
        choices=("custom", *VIEW_PRESETS),
    ),
    "yaw_deg": Parameter(
        [-30.0, 0.0, 30.0],
        "Head yaws [degree] of the view preset custom; > 0 turns the nose to image right, NaN "
        "keeps the photo's.",
        range=_ANGLE_RANGE,
    ),
    "pitch_deg": Parameter(
        [0.0],
        "Head pitches [degree] of the view preset custom; > 0 looks down, NaN keeps the photo's.",
        range=_ANGLE_RANGE,
    ),
    "grid": Parameter(
        False,
        "Whether every yaw goes with every pitch; otherwise the first with the first and so on, a "
        "single one going with every other.",
    ),
    "output_size": Parameter(
        256, "Side of the square output images [pixel].", range=(MIN_SIZE, MAX_SIZE)
    ),
    "background": Parameter(
        "plate",
        "Behind the head: plate (the photo's own background), transparent, or a colour such as "
        "white or #808080.",
    ),
    "max_faces": Parameter(
        0, "Most faces of a frame to turn, the largest first; 0 = all.", range=(0, 1000)
    ),
    "min_face_size": Parameter(
        24, "Longer side of the smallest face box to turn [pixel].", range=(1, 10000)
    ),
    "min_score": Parameter(0.6, "Least detection score of a face to turn.", range=(0.0, 1.0)),
    "fov_deg": Parameter(
        0.0,
        "Vertical field of view of the camera [degree], 5 to 150; 0 = from camera_info, or a "
        "portrait lens until one arrives.",
        range=(0.0, _MAX_FOV_DEG),
    ),
    "tracking": Parameter(
        True,
        "Whether to follow faces from frame to frame, if the pipeline can: they keep their face_id "
        "while in view, views are steadier, and frames take less time.",
    ),
    "max_rate": Parameter(
        0.0, "Most frames to process a second [Hz]; 0 = no limit.", range=(0.0, 1000.0)
    ),
    "publish_montage": Parameter(
        True, "Publish the face and its views side by side on ~/montage, if anybody subscribes."
    ),
    "publish_humans": Parameter(
        False,
        "Publish frontal views on /humans/faces/<id>/frontalized (REP 155), adding the frontal "
        "view to those of each frame.",
    ),
    "age_warn": Parameter(
        2.0,
        "Age of the output since the frame's stamp [s] above which /diagnostics warns.",
        range=(0.0, 3600.0),
    ),
    "age_error": Parameter(
        10.0,
        "Age of the output since the frame's stamp [s] above which /diagnostics reports an error.",
        range=(0.0, 3600.0),
    ),
}


@dataclass(frozen=True)
class NodeParameters:
    """Checked values of :data:`PARAMETERS`, in the units of the package.

    Attributes:
        pipeline: Name of the pipeline.
        rotator: The settings that every pipeline has; ``fov`` is None if ``fov_deg`` is 0.
        views: Views of each frame, the frontal one among them if ``publish_humans``.
    """

    pipeline: str
    rotator: RotatorSettings
    views: tuple[View, ...]
    autostart: bool
    image_transport: str
    tracking: bool
    max_rate: float
    publish_montage: bool
    publish_humans: bool
    age_warn: float
    age_error: float

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> NodeParameters:
        """Check the values of all parameters.

        Raises:
            SettingsError: A value has the wrong type or is outside its range, or two contradict
                each other; the message names the parameter.
        """
        v: dict[str, Any] = {name: checked(name, values[name]) for name in PARAMETERS}
        if v["age_warn"] > v["age_error"]:
            raise SettingsError(
                f"parameter age_warn is {v['age_warn']:g}: it is above age_error, "
                f"{v['age_error']:g}"
            )
        return cls(
            pipeline=v["pipeline"],
            rotator=RotatorSettings(
                device=v["device"],
                weights=_folder(v["weights"]),
                precision=v["precision"],
                output_size=v["output_size"],
                background=parse_background(v["background"]),
                max_faces=v["max_faces"],
                min_face_size=v["min_face_size"],
                min_score=v["min_score"],
                fov=_fov(v["fov_deg"]),
            ),
            views=_views(v),
            autostart=v["autostart"],
            image_transport=v["image_transport"],
            tracking=v["tracking"],
            max_rate=v["max_rate"],
            publish_montage=v["publish_montage"],
            publish_humans=v["publish_humans"],
            age_warn=v["age_warn"],
            age_error=v["age_error"],
        )


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise SettingsError if a parameter file or command line names a parameter there is not."""
    if unknown := sorted(set(names) - set(PARAMETERS)):
        raise SettingsError(
            f"there is no parameter {', '.join(unknown)}: there are {', '.join(PARAMETERS)}"
        )


def checked(name: str, value: Any) -> Value:
    """A parameter's value in its declared type; whole numbers are taken where floats are meant.

    Raises:
        SettingsError: It has another type, is out of range or not among the choices.
    """
    parameter = PARAMETERS[name]
    converted = _converted(value, parameter.default)
    if converted is None:
        raise SettingsError(
            f"parameter {name} is {_shown(value)}: give {_TYPE_NAMES[type(parameter.default)]}"
        )
    if parameter.choices and converted not in parameter.choices:
        raise SettingsError(
            f"parameter {name} is {value!r}: give one of {', '.join(parameter.choices)}"
        )
    if parameter.range:
        low, high = parameter.range
        numbers = converted if isinstance(converted, list) else [converted]
        for number in numbers:
            keeps_the_photos = isinstance(converted, list) and math.isnan(float(number))
            if not keeps_the_photos and not low <= float(number) <= high:
                raise SettingsError(
                    f"parameter {name} is {_shown(value)}: {number:g} is outside "
                    f"[{low:g}, {high:g}]"
                )
    return converted


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list of at least one number, all with or all without a decimal point",
}


def _converted(value: Any, default: Value) -> Value | None:
    """``value`` in the type of ``default``; None if it is of another kind."""
    if isinstance(default, list):
        # ROS delivers lists as arrays, and an empty list as no value at all.
        if not isinstance(value, list | tuple | array) or not len(value):
            return None
        if any(_converted(number, 0.0) is None for number in value):
            return None
        return [float(number) for number in value]
    if isinstance(value, bool) or isinstance(default, bool):
        return value if isinstance(value, bool) and isinstance(default, bool) else None
    if isinstance(default, float):
        return float(value) if isinstance(value, int | float) else None
    return value if type(value) is type(default) else None


def _views(values: Mapping[str, Any]) -> tuple[View, ...]:
    """The views of each frame, the frontal one among them if it is published by itself."""
    if values["view_preset"] == "custom":
        lengths = len(values["yaw_deg"]), len(values["pitch_deg"])
        count = lengths[0] * lengths[1] if values["grid"] else max(lengths)
        if count > MAX_VIEWS:
            raise SettingsError(
                f"parameters yaw_deg and pitch_deg: {count} views, at most {MAX_VIEWS} are made"
            )
        choose = view_grid if values["grid"] else view_pairs
        yaws, pitches = (
            [None if math.isnan(angle) else angle for angle in values[name]]
            for name in ("yaw_deg", "pitch_deg")
        )
        try:
            views = choose(yaws, pitches, degrees=True)
        except AngleError as error:
            raise SettingsError(f"parameters yaw_deg and pitch_deg: {error}") from error
    else:
        views = view_grid(*VIEW_PRESETS[values["view_preset"]], degrees=True)
    if values["publish_humans"] and FRONTAL not in views:
        views.append(FRONTAL)
    return tuple(views)


def _folder(weights: str) -> Path | None:
    try:
        return Path(weights).expanduser() if weights else None
    except RuntimeError as error:  # the home of an unknown user
        raise SettingsError(f"parameter weights is {weights!r}: {error}") from error


def _fov(degrees: float) -> float | None:
    if degrees and degrees < _MIN_FOV_DEG:
        raise SettingsError(
            f"parameter fov_deg is {degrees:g}: give 0, or {_MIN_FOV_DEG:g} to {_MAX_FOV_DEG:g}"
        )
    return math.radians(degrees) if degrees else None


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    return repr(list(value) if isinstance(value, array) else value)
