from __future__ import annotations

import math

import pytest

import opendr_facerot as facerot
from opendr_facerot.errors import AngleError, SettingsError
from opendr_facerot.rotator import RotatorSettings
from opendr_facerot.views import View, view_grid, view_pairs


def test_grid_runs_through_the_yaws_first() -> None:
    assert view_grid(yaw=(-30, 30), pitch=(0, 10), degrees=True) == [
        View(math.radians(-30), 0.0),
        View(math.radians(30), 0.0),
        View(math.radians(-30), math.radians(10)),
        View(math.radians(30), math.radians(10)),
    ]


def test_angles_are_not_rounded() -> None:
    assert view_grid(yaw=(10.0,), degrees=True)[0].yaw == math.radians(10.0)


def test_pairs_repeat_a_single_angle() -> None:
    assert view_pairs([0.1, 0.2], [0.0]) == [View(0.1, 0.0), View(0.2, 0.0)]
    assert view_pairs([None], [0.1, None]) == [View(None, 0.1), View(None, None)]


def test_pairs_refuse_lists_that_do_not_match() -> None:
    with pytest.raises(AngleError, match="3 yaw and 2 pitch"):
        view_pairs([0.0, 0.1, 0.2], [0.0, 0.1])


@pytest.mark.parametrize("angle", [1.6, -1.6, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["yaw", "pitch"])
def test_impossible_angles_are_refused_by_value(name: str, angle: float) -> None:
    with pytest.raises(AngleError, match=rf"{name}.*{str(angle).lstrip('-')}"):
        View(**{name: angle})


def test_ninety_degrees_is_allowed_however_it_was_rounded() -> None:
    for angle in (math.pi / 2, 1.5708, -1.5708, 1.5707964):
        assert abs(View(yaw=angle).yaw or 0.0) <= math.pi / 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"output_size": 63}, "output_size is 63"),
        ({"output_size": 1025}, "output_size is 1025"),
        ({"background": "beach"}, "background is 'beach'"),
        ({"background": (0, 0, 256)}, "256"),
        ({"max_faces": -1}, "max_faces is -1"),
        ({"min_score": 1.5}, "min_score is 1.5"),
        ({"min_face_size": 0}, "min_face_size is 0"),
        ({"fov": 4.0}, "fov is 4.000 rad"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        RotatorSettings(**setting)  # type: ignore[arg-type]


def test_unknown_pipelines_and_settings_are_named() -> None:
    with pytest.raises(SettingsError, match="no pipeline 'foot'.*head"):
        facerot.load("foot")
    with pytest.raises(SettingsError, match="no setting colour"):
        facerot.load("head", colour="red")


def test_the_public_interface_is_what_it_is() -> None:
    """A name that disappears breaks users: deprecate it first, then change this list."""
    assert sorted(facerot.__all__) == [
        "AngleError",
        "DeviceError",
        "Face",
        "FaceRotator",
        "FacerotError",
        "FittedFace",
        "ImageError",
        "NoFaceError",
        "RotatedFace",
        "RotatorSettings",
        "SettingsError",
        "View",
        "WeightsError",
        "load",
        "view_grid",
    ]
    assert all(hasattr(facerot, name) for name in facerot.__all__)
