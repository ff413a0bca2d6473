from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from opendr_facerot.cli import main
from opendr_facerot.imaging import read_image, write_image

PHOTO = Path(__file__).parent / "data" / "astronaut.png"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rotate_writes_one_named_picture_per_view(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["rotate", str(PHOTO), "-y", "-30", "22.5", "-p", "5", "-o", str(tmp_path / "out")]
    )
    assert status == 0
    assert names(tmp_path / "out") == [
        "astronaut_face0_yaw+22.5_pitch+05.png",
        "astronaut_face0_yaw-30_pitch+05.png",
    ]
    assert read_image(tmp_path / "out" / names(tmp_path / "out")[0]).shape == (256, 256, 3)
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "out" / f"astronaut_face0_yaw{yaw}_pitch+05.png") for yaw in ("-30", "+22.5")
    ]


def test_grid_size_background_and_montage(tmp_path: Path) -> None:
    arguments = [
        "-y",
        "-20",
        "20",
        "-p",
        "-10",
        "keep",
        "--grid",
        "--size",
        "96",
        "--background",
        "transparent",
        "--montage",
    ]
    assert main(["rotate", str(PHOTO), *arguments, "-o", str(tmp_path)]) == 0
    pictures = names(tmp_path)
    assert pictures == [
        "astronaut_face0_yaw+20_pitch-10.png",
        "astronaut_face0_yaw+20_pitchkeep.png",
        "astronaut_face0_yaw-20_pitch-10.png",
        "astronaut_face0_yaw-20_pitchkeep.png",
        "astronaut_montage.png",
    ]
    with Image.open(tmp_path / pictures[0]) as picture:
        assert (picture.mode, picture.size) == ("RGBA", (96, 96))
        assert picture.getchannel("A").getextrema() == (0, 255)


def test_a_colour_background(tmp_path: Path) -> None:
    arguments = ["-y", "0", "--background", "#102030", "-o", str(tmp_path)]
    assert main(["rotate", str(PHOTO), *arguments]) == 0
    np.testing.assert_array_equal(
        read_image(tmp_path / "astronaut_face0_yaw+00_pitch+00.png")[0, 0], [16, 32, 48]
    )


def test_a_bad_photo_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: NDArray[np.uint8]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(PHOTO.read_bytes()[:5000])
    write_image(tmp_path / "empty.png", np.full((100, 100, 3), 90, np.uint8))
    write_image(tmp_path / "grey.png", cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY))
    photos = [
        str(tmp_path / name) for name in ("broken.jpg", "missing.png", "empty.png", "grey.png")
    ]
    assert main(["rotate", *photos, "-y", "15", "-o", str(tmp_path / "out")]) == 1
    assert names(tmp_path / "out") == ["grey_face0_yaw+15_pitch+00.png"]
    errors = capsys.readouterr().err
    for text in (
        "broken.jpg (5000 bytes) is damaged",
        "missing.png: No such",
        "empty.png: no face",
    ):
        assert text in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-y", "100"], "yaw 1.7453 rad (100.0°) is outside [-90°, 90°]"),
        (["-y", "nan"], "yaw is nan"),
        (["-y", "1", "2", "3", "-p", "1", "2"], "3 yaw and 2 pitch"),
        (["--size", "32"], "output_size is 32"),
        (["--pipeline", "feet"], "no pipeline 'feet'"),
        (["--device", "tpu"], "'tpu'"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["rotate", str(PHOTO), *arguments, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_photos_that_would_overwrite_each_other_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(tmp_path / "a" / "me.jpg"), str(tmp_path / "b" / "me.png")]
    assert main(["rotate", *photos, "-o", str(tmp_path)]) == 2
    assert "would both write me_face0" in capsys.readouterr().err


def folder_of(path: Path, *photos: NDArray[np.uint8]) -> str:
    path.mkdir()
    for index, photo in enumerate(photos):
        write_image(path / f"{index}.png", photo)
    return str(path)


def test_photos_of_one_person_make_one_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: NDArray[np.uint8]
) -> None:
    write_image(tmp_path / "blurred.png", cv2.GaussianBlur(astronaut, (0, 0), 4.0))
    photos = [str(tmp_path / "blurred.png"), str(PHOTO)]
    views = ["-y", "-40", "keep", "--montage", "-o", str(tmp_path / "out")]
    assert main(["rotate", *photos, "--same-person", *views]) == 0
    assert names(tmp_path / "out") == [
        "blurred_face0_yaw-40_pitch+00.png",
        "blurred_face0_yawkeep_pitch+00.png",
        "blurred_montage.png",
    ]
    assert capsys.readouterr().err == ""  # the photos agree
    # The sharp photo comes first, and keeping its yaw shows it.
    kept = read_image(tmp_path / "out" / "blurred_face0_yawkeep_pitch+00.png")
    assert (
        cv2.Laplacian(kept, cv2.CV_64F).std()
        > 2.0 * cv2.Laplacian(cv2.GaussianBlur(kept, (0, 0), 2.0), cv2.CV_64F).std()
    )


def test_a_folder_for_each_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: NDArray[np.uint8]
) -> None:
    grey = np.full((100, 100, 3), 90, np.uint8)
    people = [
        folder_of(tmp_path / "ann", astronaut, astronaut[:, ::-1]),
        folder_of(tmp_path / "bob", astronaut, grey),
        folder_of(tmp_path / "eve", astronaut),
    ]
    out = tmp_path / "out"
    assert main(["rotate", *people, "--same-person", "-y", "20", "-o", str(out)]) == 1
    assert names(out) == ["ann", "eve"]
    assert names(out / "ann") == ["ann_face0_yaw+20_pitch+00.png"]
    assert names(out / "eve") == ["eve_face0_yaw+20_pitch+00.png"]
    assert f"{Path(people[1]) / '1.png'}: photo 2 of 2: no face found" in capsys.readouterr().err


def test_photos_that_name_no_one_person_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: NDArray[np.uint8]
) -> None:
    (tmp_path / "empty").mkdir()
    ann, other_ann = tmp_path / "ann", tmp_path / "other" / "ann"
    other_ann.parent.mkdir()
    folders = [folder_of(ann, astronaut), folder_of(other_ann, astronaut)]
    for arguments, message in (
        ([str(PHOTO), str(ann)], "ann is a folder, and there are single photos too"),
        ([str(tmp_path / "empty")], "empty holds no image file"),
        (folders, "would both write ann_face0"),
    ):
        out = tmp_path / "out"
        assert main(["rotate", *arguments, "--same-person", "-o", str(out)]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()


def test_a_pipeline_that_takes_one_photo_only_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opendr_facerot.cli.load_rotator", lambda options: object())
    arguments = [str(PHOTO), str(PHOTO), "--same-person", "--pipeline", "rotate_and_render"]
    assert main(["rotate", *arguments, "-o", str(tmp_path / "out")]) == 2
    assert "'rotate_and_render' cannot make one head" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_colour_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rotate", str(PHOTO), "--background", "beach", "-o", str(tmp_path)])
    assert "background is 'beach'" in capsys.readouterr().err


def test_info_lists_every_model_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"cpu", "reference"} <= set(report["render_backends"])
    assert "head" in report["pipelines"]
    assert report["devices"][0] == "cpu"
    assert {asset["licence"] for asset in report["assets"]} <= {"Apache-2.0", "CC0-1.0", "MIT"}
    assert all(asset["intact"] and asset["source"] for asset in report["assets"])
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert all(asset["file"] in text for asset in report["assets"])


def test_the_command_runs_as_a_program() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "opendr_facerot.cli", "--version"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout.strip()) == (0, "0.1.0")
