"""OpenDR's class, options and files."""

from __future__ import annotations

import argparse
import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat

from opendr_facerot.cli import main
from opendr_facerot.errors import (
    AngleError,
    DeviceError,
    FacerotError,
    ImageError,
    NoFaceError,
    SettingsError,
    WeightsError,
)
from opendr_facerot.imaging import read_image, write_image
from opendr_facerot.opendr import (
    MultiviewDataGeneration,
    Options,
    Report,
    find_photos,
    parse_angles,
    split_angle_lists,
)
from opendr_facerot.pipelines.rotate_and_render import RotateAndRenderRotator
from opendr_facerot.reconstruct.face_parameters import FaceParameters
from opendr_facerot.views import View
from opendr_facerot.weights.synthetic import write_synthetic

pytestmark = pytest.mark.slow

RENDERED = Path("rs_model") / "example"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def photos(tmp_path: Path, astronaut: NDArray[np.uint8]) -> Path:
    """Two people, one of them in a subfolder and with a space in the name."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    write_image(folder / "person1.jpg", astronaut)
    write_image(folder / "more" / "person 2.jpg", np.ascontiguousarray(astronaut[:, ::-1]))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def generated(weights: Path, **options: Any) -> Report:
    args = argparse.Namespace(weights=weights, device="cpu", **options)
    return MultiviewDataGeneration(args).eval()


def test_output_tree(photos: Path, tmp_path: Path, weights: Path) -> None:
    before = names(photos)
    out = tmp_path / "out"
    report = generated(weights, path_in=photos, save_path=out, val_yaw="-30 10", val_pitch=[20])
    views = [f"yaw_{math.radians(-30)!r}", f"yaw_{math.radians(10)!r}"]
    views.append(f"pitch_{math.radians(20)!r}")
    pictures = [f"{name}_{view}.jpg" for name in ("person1", "person 2") for view in views]
    assert names(out / RENDERED) == sorted(
        [
            "example010_rotate_lmk.txt",
            *(f"Images_{kind}/{name}" for kind in ("orig", "aligned") for name in pictures),
        ]
    )
    assert names(out) == [str(RENDERED / name) for name in names(out / RENDERED)]
    assert names(photos) == before
    assert report.failures == {}
    assert report.pictures == [out / RENDERED / "Images_orig" / name for name in pictures]
    for name in pictures:
        assert read_image(out / RENDERED / "Images_orig" / name).shape == (256, 256, 3)
        assert read_image(out / RENDERED / "Images_aligned" / name).shape == (224, 224, 3)


def test_landmark_file(
    photos: Path, tmp_path: Path, weights: Path, astronaut: NDArray[np.uint8]
) -> None:
    (photos / "more" / "person 2.jpg").unlink()
    out = tmp_path / "out"
    report = generated(weights, path_in=photos, save_path=out, val_yaw="25", val_pitch="-15")
    lines = (out / RENDERED / "example010_rotate_lmk.txt").read_text().splitlines()
    rotator = RotateAndRenderRotator(RotateAndRenderRotator.Settings(weights=weights, device="cpu"))
    (face,) = rotator.fit(read_image(photos / "person1.jpg"))
    asked = [View(math.radians(25), None), View(None, math.radians(-15))]
    expected = []
    for path, view in zip(report.pictures, rotator.render(face, asked), strict=True):
        points = view.landmarks68
        five = [points[36:42].mean(0), points[42:48].mean(0), *points[[31, 48, 54]]]
        numbers = " ".join(str(int(value)) for point in five for value in point)
        expected.append(f"{path} 1 {numbers}")
        # The file is a JPEG of the pipeline's picture, which is all noise with random weights.
        assert (
            np.abs(read_image(path).astype(float).mean((0, 1)) - view.image.mean((0, 1))).max() < 2
        )
    assert lines == expected


def test_names_and_angles_of_the_original(photos: Path, tmp_path: Path, weights: Path) -> None:
    (photos / "more" / "person 2.jpg").unlink()
    views = {"path_in": photos, "val_yaw": ["10,", "-15"], "val_pitch": "0"}
    exact = generated(weights, save_path=tmp_path / "exact", **views)
    rounded = generated(weights, save_path=tmp_path / "rounded", round_radians=True, **views)
    assert [path.name for path in rounded.pictures] == [
        "person1_yaw_0.17.jpg",
        "person1_yaw_-0.26.jpg",
        "person1_pitch_0.0.jpg",
    ]
    pairs = list(zip(exact.pictures, rounded.pictures, strict=True))
    same = [(read_image(a) == read_image(b)).all() for a, b in pairs]
    assert same == [False, False, True]


def test_equal_views_are_rendered_once(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(
        path_in=photos, save_path=tmp_path, yaw_deg=(9.8, 10.0), pitch_deg=(), round_radians=True
    )
    assert list(options.views()) == ["yaw_0.17"]
    assert "same view" in caplog.text
    exact = Options(path_in=photos, save_path=tmp_path, yaw_deg=(9.8, 10.0), pitch_deg=())
    assert len(exact.views()) == 2


def test_command_line_from_another_folder(
    photos: Path,
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("FACEROT_WEIGHTS", str(weights))
    with caplog.at_level(logging.WARNING):
        status = main(
            [
                *("opendr", "-path_in", "../photos", "-path_3ddfa", "work", "-save_path", "out"),
                *("-val_yaw", "-10,", "40", "-val_pitch", "-10,30", "-device", "cpu"),
                *("-m", "gpu", "--dlib_bbox", "true", "--bbox_init", "one", "--dump_ply", "no"),
            ]
        )
    assert status == 0
    assert "8 views written" in capsys.readouterr().out
    warned = [record.getMessage() for record in caplog.records]
    assert sorted(line.split(" has no effect")[0] for line in warned) == [
        "option dlib_bbox",
        "option mode",
    ]
    assert names(tmp_path / "elsewhere")[0].startswith("out/rs_model/example/Images_aligned/")
    assert not (elsewhere / "work").exists()
    line = Path("out/rs_model/example/example010_rotate_lmk.txt").read_text().splitlines()[0]
    path, *numbers = line.rsplit(maxsplit=11)
    assert Path(path).is_file()
    assert numbers[0] == "1"
    assert all(0 <= int(number) < 256 for number in numbers[1:])


def test_photo_without_a_face_does_not_stop_the_others(
    photos: Path, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(photos / "a_wall.jpg", np.full((200, 300, 3), 99, np.uint8))
    (photos / "broken.jpg").write_bytes((photos / "person1.jpg").read_bytes()[:5000])
    out = tmp_path / "out"
    report = generated(weights, path_in=photos, save_path=out, val_yaw="5", val_pitch=[])
    assert [path.name.split("_")[0] for path in report.pictures] == ["person1", "person 2"]
    assert {path.name: type(error) for path, error in report.failures.items()} == {
        "a_wall.jpg": NoFaceError,
        "broken.jpg": ImageError,
    }
    arguments = ["-path_in", str(photos), "-save_path", str(out), "-val_yaw", "5", "-val_pitch"]
    assert main(["opendr", *arguments, "--weights", str(weights)]) == 1
    assert "2 views written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choice", "stems"), [("first", ["two"]), ("largest", ["two"]), ("all", ["two_0", "two_1"])]
)
def test_several_faces(
    tmp_path: Path, weights: Path, astronaut: NDArray[np.uint8], choice: str, stems: list[str]
) -> None:
    photo = np.zeros((512, 820, 3), np.uint8)
    photo[:, 308:] = cv2.GaussianBlur(astronaut, (0, 0), 3.0)  # larger, but the detector doubts it
    photo[:300, :300] = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "photos.png", photo)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.png").rename(tmp_path / "photos" / "two.png")
    options = {"path_in": tmp_path / "photos", "val_yaw": "0", "val_pitch": [], "dump_lmk": True}
    report = generated(weights, save_path=tmp_path / "out", faces=choice, **options)
    assert [path.name for path in report.pictures] == [f"{stem}_yaw_0.0.jpg" for stem in stems]
    lines = (tmp_path / "out" / "3ddfa" / "example" / "realign_lmk").read_text().splitlines()
    on_the_right = [int(line.split()[2]) > 308 for line in lines]
    assert on_the_right == {"first": [False], "largest": [True], "all": [True, False]}[choice]


def test_intermediate_files(photos: Path, tmp_path: Path, weights: Path) -> None:
    (photos / "more" / "person 2.jpg").unlink()
    work = tmp_path / "work"
    kinds = ["param", "lmk", "2d_img", "pts", "roi_box", "vertex", "ply", "obj", "depth", "pncc"]
    dumps = {f"dump_{kind}": "true" for kind in kinds}
    options = {"path_in": photos, "path_3ddfa": work, "val_yaw": "0", "val_pitch": []}
    generated(weights, save_path=tmp_path / "out", **options, **dumps)
    assert names(work) == [
        "example/realign_lmk",
        *(f"meshes/person1{end}" for end in (".mat", ".obj", ".ply", ".roibox", ".txt")),
        "meshes/person1_depth.png",
        "meshes/person1_pncc.png",
        "results/person1.jpg",
        "results/person1.txt",
    ]
    photo = read_image(photos / "person1.jpg")
    rotator = RotateAndRenderRotator(RotateAndRenderRotator.Settings(weights=weights, device="cpu"))
    state = rotator.fit(photo)[0].state
    mesh, model = state.photo_vertices, rotator.model
    meshes = work / "meshes"

    read = FaceParameters.from_text((work / "results" / "person1.txt").read_text())
    np.testing.assert_array_equal(read.values, state.parameters.values)
    np.testing.assert_array_equal(read.roi, state.parameters.roi)
    np.testing.assert_allclose(np.loadtxt(meshes / "person1.roibox"), read.roi, atol=6e-4)
    points = np.loadtxt(meshes / "person1.txt")
    np.testing.assert_allclose(points, mesh[model.keypoints].T, atol=6e-4)
    np.testing.assert_array_equal(loadmat(meshes / "person1.mat")["vertex"], mesh.T)
    words = (work / "example" / "realign_lmk").read_text().split()
    five = [str(int(value)) for value in state.landmarks5.ravel()]
    assert words == ["person1.jpg", "0", *five]

    header, _, rest = (meshes / "person1.ply").read_text().partition("end_header\n")
    assert f"element vertex {len(mesh)}\n" in header
    rows = rest.splitlines()
    np.testing.assert_allclose(np.loadtxt(rows[: len(mesh)]), mesh, atol=6e-5)
    corners = np.loadtxt(rows[len(mesh) :], dtype=int)
    np.testing.assert_array_equal(corners[:, 0], 3)
    np.testing.assert_array_equal(corners[:, 1:], model.faces)

    obj = (meshes / "person1.obj").read_text().splitlines()
    vertex = obj[10].split()
    x, y = np.rint(mesh[10, :2]).astype(int)
    assert vertex[0] == "v"
    np.testing.assert_allclose([float(v) for v in vertex[1:4]], mesh[10], atol=6e-5)
    assert [int(v) for v in vertex[4:]] == photo[y, x].tolist()
    assert obj[len(mesh)].split()[1:] == [str(k + 1) for k in model.faces[0]]

    drawn = read_image(work / "results" / "person1.jpg").astype(int)
    assert drawn.shape == photo.shape
    nose = np.rint(mesh[model.keypoints[30], :2]).astype(int)
    around = (slice(nose[1] - 8, nose[1] + 8), slice(nose[0] - 8, nose[0] + 8))
    assert np.abs(drawn[around] - photo[around]).mean() < 12
    assert drawn[-100:, :100].max() < 8
    depth = read_image(meshes / "person1_depth.png")
    ear = np.rint(mesh[model.keypoints[0], :2]).astype(int)
    assert depth[nose[1], nose[0], 0] > depth[ear[1], ear[0] + 2, 0] + 30
    colours = read_image(meshes / "person1_pncc.png")
    low, high = model.mean.reshape(-1, 3).min(0), model.mean.reshape(-1, 3).max(0)
    at_nose = model.mean.reshape(-1, 3)[model.keypoints[30]]
    np.testing.assert_allclose(
        colours[nose[1], nose[0]], 255 * (at_nose - low) / (high - low), atol=12
    )


def test_second_run_takes_the_same_photos(photos: Path, weights: Path) -> None:
    """Outputs inside the folder of photos are no photos."""
    options = {"path_in": photos, "save_path": photos / "out", "val_yaw": "0", "val_pitch": []}
    first = generated(weights, dump_2d_img="true", **options)
    again = generated(weights, dump_2d_img="true", **options)
    assert first.pictures == again.pictures
    assert len(again.pictures) == 2


def test_photos_of_one_name_do_not_overwrite_each_other(
    tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    for name in ("a/me.jpg", "b/me.JPG", "b/you.png", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_photos(tmp_path) == {
        "a_me_jpg": tmp_path / "a" / "me.jpg",
        "b_me_JPG": tmp_path / "b" / "me.JPG",
        "you": tmp_path / "b" / "you.png",
    }
    assert list(find_photos(tmp_path, without=[tmp_path / "b"])) == ["me"]
    (tmp_path / "a_me_jpg.png").write_bytes(b"")
    with pytest.raises(ImageError, match="rename one"):
        find_photos(tmp_path)


def test_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no photos"):
        find_photos(tmp_path)
    with pytest.raises(ImageError, match="there is no folder"):
        find_photos(tmp_path / "no")


@pytest.mark.parametrize(
    "value", ["10 40", "10,40", "10, 40", ["10,", "40"], ["10", "40"], (10, 40.0), ["10,40"]]
)
def test_spellings_of_angles(value: Any) -> None:
    assert parse_angles(value) == (10.0, 40.0)


def test_words_that_are_no_angles(photos: Path) -> None:
    with pytest.raises(AngleError, match="ten"):
        parse_angles("ten 40")
    for yaw in ("91", "nan"):
        with pytest.raises(AngleError, match="yaw"):
            MultiviewDataGeneration(argparse.Namespace(path_in=photos, val_yaw=yaw))


def test_torch_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, opendr_facerot.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_negative_angles_on_the_command_line() -> None:
    words = ["opendr", "-val_yaw", "-10,", "-20,30", "-path_in", "-10,20", "-val_pitch", "5", "x,"]
    assert split_angle_lists(words) == [
        *("opendr", "-val_yaw", "-10", "-20", "30", "-path_in", "-10,20", "-val_pitch", "5", "x,"),
    ]


def test_defaults_are_the_documented_ones(photos: Path) -> None:
    options = Options.from_namespace(argparse.Namespace(path_in=photos))
    assert options.yaw_deg == (10.0, 20.0)
    assert options.pitch_deg == (30.0, 40.0)
    assert options.two_step
    assert options.faces == "first"
    assert not options.round_radians
    assert options.dumps == frozenset()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bbox_init", "three"),
        ("faces", "some"),
        ("dump_ply", "maybe"),
        ("shape", "round"),
        ("heatmap_size", "wide"),
    ],
)
def test_wrong_options(photos: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Options.from_namespace(argparse.Namespace(path_in=photos, **{name: value}))


def test_nothing_to_render(photos: Path) -> None:
    with pytest.raises(SettingsError, match="no angles"):
        MultiviewDataGeneration(argparse.Namespace(path_in=photos, val_yaw=[], val_pitch=[]))
    with pytest.raises(SettingsError, match="path_in"):
        MultiviewDataGeneration(argparse.Namespace(path_in=None))


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [("device", "cuda:99", DeviceError), ("weights", "no", WeightsError)],
)
def test_missing_device_or_weights(
    photos: Path,
    tmp_path: Path,
    weights: Path,
    option: str,
    value: str,
    error: type[FacerotError],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    chosen = {"weights": str(weights), "device": "cpu", option: value}
    folders = ["-path_in", str(photos), "-save_path", str(out)]
    machine = ["--weights", chosen["weights"], "-device", chosen["device"]]
    assert main(["opendr", *folders, *machine]) == 2
    assert value in capsys.readouterr().err
    assert not out.exists()
    changed = {"weights": weights, "device": "cpu", option: value}
    generation = MultiviewDataGeneration(argparse.Namespace(path_in=photos, **changed))
    with pytest.raises(error):
        generation.eval()


@pytest.mark.parametrize("method", ["fit", "infer", "load", "optimize", "reset", "save"])
def test_methods_that_opendr_does_not_offer(photos: Path, method: str) -> None:
    generation = MultiviewDataGeneration(argparse.Namespace(path_in=photos))
    with pytest.raises(NotImplementedError, match=method):
        getattr(generation, method)()
