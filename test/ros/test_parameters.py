"""Parameters: their table, the file that documents them, and what is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
from array import array
from pathlib import Path
from typing import Any

import yaml
from rcl_interfaces.msg import ParameterDescriptor

from opendr_facerot import SettingsError, View, view_grid
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters, checked, refuse_unknown

YAML = Path(__file__).parents[2] / "config" / "facerot.yaml"
DEFAULTS: dict[str, Any] = {name: parameter.default for name, parameter in PARAMETERS.items()}


def parse(**changes: Any) -> NodeParameters:
    return NodeParameters.from_values({**DEFAULTS, **changes})


def test_file_has_the_declared_defaults() -> None:
    values = yaml.safe_load(YAML.read_text())["/**"]["ros__parameters"]
    assert values == DEFAULTS
    assert [type(v) for v in values.values()] == [type(DEFAULTS[name]) for name in values]


def test_file_tells_the_ranges_and_which_are_live() -> None:
    comments: dict[str, str] = {}
    lines: list[str] = []
    for line in YAML.read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            lines.append(text.lstrip("# "))
        elif ":" in text:
            comments[text.split(":")[0]] = " ".join(lines)
            lines = []
    for name, parameter in PARAMETERS.items():
        comment = comments[name]
        live = "Read once." if parameter.read_only else "Live." if parameter.live else "Not live."
        assert comment.endswith(live), name
        for choice in parameter.choices:
            assert choice in comment, name
        if parameter.range:
            low = 5 if name == "fov_deg" else parameter.range[0]
            assert f"{low:g} to {parameter.range[1]:g}" in comment, name


def test_descriptors_have_ranges_and_descriptions() -> None:
    for name, parameter in PARAMETERS.items():
        descriptor: ParameterDescriptor = parameter.descriptor()
        assert descriptor.description.endswith("."), name
        if isinstance(parameter.default, float) and parameter.range:
            (limits,) = descriptor.floating_point_range
            assert (limits.from_value, limits.to_value) == parameter.range
        elif not isinstance(parameter.default, list) and parameter.range:
            (limits,) = descriptor.integer_range
            assert (limits.from_value, limits.to_value) == parameter.range
    assert PARAMETERS["autostart"].descriptor().read_only
    assert "raw, compressed" in PARAMETERS["image_transport"].descriptor().additional_constraints


def test_values_are_converted_to_the_units_of_the_package() -> None:
    parameters = parse(
        yaw_deg=[-30.0, math.nan], pitch_deg=[10.0], weights="~/models", fov_deg=60.0,
        background="#102030", output_size=128,
    )  # fmt: skip
    assert parameters.views == (
        View(math.radians(-30), math.radians(10)),
        View(None, math.radians(10)),
    )
    assert parameters.rotator.fov == math.radians(60)
    assert parameters.rotator.background == (0x10, 0x20, 0x30)
    assert parameters.rotator.weights == Path.home() / "models"
    assert parameters.rotator.output_size == 128
    assert parse().rotator.fov is None
    assert parse().rotator.weights is None


def test_presets_and_grid() -> None:
    nine = view_grid(range(-60, 61, 15), degrees=True)
    assert parse(view_preset="nine").views == tuple(nine)
    assert len(parse(view_preset="hemisphere").views) == 21
    assert parse(view_preset="frontal", yaw_deg=[60.0]).views == (View(0.0, 0.0),)
    grid = parse(yaw_deg=[0.0, 20.0], pitch_deg=[5.0, -5.0], grid=True)
    assert grid.views == tuple(view_grid([0, 20], [5, -5], degrees=True))


def test_rep_155_needs_the_frontal_view() -> None:
    views = parse(yaw_deg=[20.0], publish_humans=True).views
    assert views == (View(math.radians(20), 0.0), View(0.0, 0.0))
    assert len(parse(yaw_deg=[0.0, 20.0], publish_humans=True).views) == 2


def test_whole_numbers_where_decimals_are_meant() -> None:
    assert checked("yaw_deg", array("q", [-30, 30])) == [-30.0, 30.0]
    assert type(checked("max_rate", 5)) is float


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("yaw_deg", [0.0, 91.5], "91.5 is outside [-90, 90]"),
        ("yaw_deg", [math.inf], "inf is outside"),
        ("yaw_deg", array("d", [95.0]), "yaw_deg is [95.0]: 95 is outside"),
        ("yaw_deg", [], "a list of at least one number"),
        ("yaw_deg", None, "empty"),
        ("yaw_deg", 3.0, "3.0"),
        ("yaw_deg", ["a"], "['a']"),
        ("pitch_deg", [-90.1], "-90.1"),
        ("output_size", 63, "63 is outside [64, 1024]"),
        ("output_size", 128.0, "a whole number"),
        ("output_size", True, "True"),
        ("min_score", 1.5, "1.5"),
        ("precision", "half", "give one of auto, float32, bfloat16"),
        ("min_score", math.nan, "nan"),
        ("max_faces", -1, "-1"),
        ("grid", 1, "true or false"),
        ("view_preset", "ten", "one of custom, frontal"),
        ("image_transport", "theora", "one of raw, compressed"),
        ("background", "blurple", "'blurple'"),
        ("fov_deg", 3.0, "5 to 150"),
        ("fov_deg", -1.0, "-1"),
        ("max_rate", math.inf, "inf"),
        ("age_warn", 11.0, "above age_error"),
        ("weights", "~nobody-of-this-name/x", "home directory"),
        ("yaw_deg", [0.0] * 1001, "1001 views"),
    ],
)
def test_unusable_values_are_refused_by_name(name: str, value: Any, told: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(**{name: value})
    assert name in str(refusal.value)
    assert told in str(refusal.value)


def test_lists_that_cannot_be_paired() -> None:
    with pytest.raises(SettingsError, match="yaw_deg and pitch_deg: 3 yaw and 2 pitch"):
        parse(yaw_deg=[0.0, 1.0, 2.0], pitch_deg=[0.0, 1.0])


def test_number_of_views_is_limited_before_they_are_made() -> None:
    with pytest.raises(SettingsError, match="yaw_deg and pitch_deg: 1000000000000 views"):
        parse(yaw_deg=[0.0] * 10**6, pitch_deg=[0.0] * 10**6, grid=True)


def test_unknown_names_are_refused() -> None:
    refuse_unknown(["yaw_deg", "grid"])
    with pytest.raises(SettingsError, match="no parameter yaw, zoom: there are pipeline, device"):
        refuse_unknown(["zoom", "yaw", "grid"])
