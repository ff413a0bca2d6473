"""The pipeline of Rotate-and-Render and OpenDR, with random weights and the published pictures."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from filled_weights import filled_weights
from numpy.typing import NDArray

import opendr_facerot as facerot
from opendr_facerot.cli import main
from opendr_facerot.detect.attention_mesh import AttentionMesh
from opendr_facerot.detect.mesh_topology import LANDMARKS_68
from opendr_facerot.generate.aligned_crop import image_from_output
from opendr_facerot.generate.rotate_spade import GeneratorOptions, RotateSpadeGenerator
from opendr_facerot.geometry import euler_from_rotation
from opendr_facerot.imaging import read_image
from opendr_facerot.pipelines.rotate_and_render import (
    GeneratedFace,
    Reconstruction,
    RotateAndRenderRotator,
    TurnedFace,
)
from opendr_facerot.reconstruct.face_parameters import FaceParameters
from opendr_facerot.render.mesh_renderer import RenderedMesh, in_front_of_camera
from opendr_facerot.render.rasterize import rasterize
from opendr_facerot.render.template_alignment import normalised_coordinates
from opendr_facerot.views import View
from opendr_facerot.weights.manifest import Component
from opendr_facerot.weights.store import InstalledComponent, component_path, write_components
from opendr_facerot.weights.synthetic import write_synthetic

pytestmark = pytest.mark.slow

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden_render"
GOLDEN_VIEWS = sorted(path.stem.removeprefix("view_") for path in GOLDEN.glob("view_*.npz"))
DEGREE = math.radians(1.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> RotateAndRenderRotator:
    rotator: Any = facerot.load("rotate_and_render", weights=weights, device="cpu")
    assert isinstance(rotator, RotateAndRenderRotator)
    return rotator


@pytest.fixture(scope="module")
def face(pipeline: RotateAndRenderRotator, astronaut: NDArray[np.uint8]) -> facerot.FittedFace:
    return pipeline.fit(astronaut)[0]


@pytest.fixture
def changed(pipeline: RotateAndRenderRotator) -> Any:
    """A function that changes settings until the end of the test."""
    before = pipeline.settings

    def change(**settings: Any) -> None:
        pipeline.settings = replace(pipeline.settings, **settings)

    yield change
    pipeline.settings = before


def angles_in_picture(face: Reconstruction, turned: TurnedFace) -> tuple[float, float, float]:
    """Yaw, pitch and roll by which the picture's mesh is turned, from its vertices alone."""
    model = face.model_vertices.astype(np.float64)
    y_up = turned.vertices[:, :2] * (1.0, -1.0)
    camera, *_ = np.linalg.lstsq(model - model.mean(axis=0), y_up - y_up.mean(axis=0))
    first, second = camera.T / np.linalg.norm(camera.T, axis=1)[:, None]
    return euler_from_rotation(np.stack([first, second, np.cross(first, second)]))


def test_implements_the_protocol(pipeline: Any) -> None:
    assert isinstance(pipeline, facerot.FaceRotator)
    assert pipeline.device == "cpu"


def test_fit_finds_the_face_of_the_photo(face: facerot.FittedFace) -> None:
    left, top, right, bottom = face.face.box
    assert left < 223 < right
    assert top < 110 < bottom
    assert face.flags == ()
    state: Reconstruction = face.state
    pose = state.parameters.pose
    assert (face.yaw, face.pitch, face.roll) == (pose.yaw, pose.pitch, pose.roll)
    # Random weights put the mesh about where the face is.
    assert np.abs(state.photo_vertices[:, :2].mean(axis=0) - (223, 110)).max() < 40
    assert {"detect", "landmarks", "3ddfa", "texture"} == set(face.timings)


def test_views_have_size_type_and_angles(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace
) -> None:
    wanted = [View(0.5, 0.2), View(-0.5, None), View(None, 0.2), View(None, None), View(1.0, 0.0)]
    views = list(pipeline.render(face, wanted))
    assert [view.view for view in views] == wanted
    assert [(view.yaw, view.pitch) for view in views] == [
        (0.5, 0.2),
        (-0.5, face.pitch),
        (face.yaw, 0.2),
        (face.yaw, face.pitch),
        (1.0, 0.0),
    ]
    for view in views:
        assert view.image.shape == (256, 256, 3)
        assert view.image.dtype == np.uint8
        assert view.image.std() > 10  # random weights, but not one colour
        assert view.alpha is None
        assert view.landmarks68.shape == (68, 2)


@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(30, None), (-30, None), (None, 20), (-75, 10)])
def test_applied_angles_are_those_of_the_mesh(
    pipeline: RotateAndRenderRotator,
    face: facerot.FittedFace,
    yaw_deg: float | None,
    pitch_deg: float | None,
) -> None:
    (view,) = facerot.view_grid([yaw_deg], [pitch_deg], degrees=True)
    turned = pipeline.turn(face.state, view)
    measured = angles_in_picture(face.state, turned)
    np.testing.assert_allclose(measured, (turned.yaw, turned.pitch, turned.roll), atol=1e-3)


def test_ten_degrees_are_ten_unless_rounded(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, changed: Any
) -> None:
    view = View(10 * DEGREE, None)
    exact = pipeline.turn(face.state, view)
    assert angles_in_picture(face.state, exact)[0] == pytest.approx(10 * DEGREE, abs=1e-3)
    changed(round_radians=True)
    rounded = pipeline.turn(face.state, view)
    assert rounded.yaw == 0.17
    assert angles_in_picture(face.state, rounded)[0] == pytest.approx(0.17, abs=1e-3)


@pytest.mark.parametrize("plus", [View(30 * DEGREE, None), View(None, 20 * DEGREE)])
def test_plus_and_minus_are_different_pictures(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, plus: View
) -> None:
    minus = View(*(None if angle is None else -angle for angle in (plus.yaw, plus.pitch)))
    meshes = [pipeline.turn(face.state, view).picture.rgb for view in (plus, minus)]
    assert np.abs(meshes[0] - meshes[1]).mean() > 0.02
    assert np.abs(meshes[0] - meshes[1][:, ::-1]).mean() > 0.02
    images = [view.image.astype(int) for view in pipeline.render(face, [plus, minus])]
    assert np.abs(images[0] - images[1]).mean() > 2.0


def test_turned_mesh_looks_like_the_face(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace
) -> None:
    """By the landmark net: it finds a face, turned to the side that was asked for."""
    box = np.array([56, 40, 200, 230], np.float32)
    points = np.array([[95, 124], [154, 124], [125, 157], [101, 191], [149, 191]], np.float32)
    net = AttentionMesh()
    offsets = []
    for yaw_deg in (-30, 0, 30):
        turned = pipeline.turn(face.state, View(yaw_deg * DEGREE, 0.0))
        picture = np.rint(turned.picture.rgb * 255).astype(np.uint8)
        found = net.landmarks(picture, facerot.Face(box, 1.0, points))
        assert found.confidence > 0.9
        landmarks = found.points[LANDMARKS_68, :2]
        eyes, mouth = landmarks[36:48].mean(axis=0), landmarks[48:68].mean(axis=0)
        assert eyes[1] < landmarks[30, 1] < mouth[1]
        cheeks = landmarks[[0, 16], 0]
        offsets.append((landmarks[30, 0] - cheeks.mean()) / np.ptp(cheeks))
    assert offsets[0] < -0.1 < offsets[1] < 0.1 < offsets[2]


def test_seen_faces_are_those_that_a_fine_raster_shows(face: facerot.FittedFace) -> None:
    state: Reconstruction = face.state
    textured = state.textured
    mesh = in_front_of_camera(normalised_coordinates(textured.vertices, 256))
    both = np.concatenate([textured.faces, textured.faces[:, ::-1]])
    index = rasterize(mesh, both, 2048).face_index
    shown = np.zeros(len(textured.faces), bool)
    shown[np.unique(index[index >= 0]) % len(textured.faces)] = True
    column, row = np.rint(textured.vertices[:, :2]).clip(0, 255).astype(int).T
    spared = textured.mask[row, column][textured.faces].all(axis=1)
    assert 0.3 < (shown & spared).mean() < 0.7
    # At grazing angles a depth at pixels cannot tell; few pixels show such triangles.
    in_picture = index[index >= 0] % len(textured.faces)
    assert (state.seen == (shown & spared))[in_picture].mean() > 0.95
    assert (state.seen & ~shown).mean() < 0.04


def test_less_is_seen_the_further_the_head_turns(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace
) -> None:
    views = [View(yaw_deg * DEGREE, None) for yaw_deg in (0, 45, 90)]
    seen = [view.seen_fraction for view in pipeline.render(face, views)]
    assert 1.0 >= seen[0] > seen[1] > seen[2] > 0.1


def test_batches_do_not_change_the_pictures(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, changed: Any
) -> None:
    views = [View(yaw, None) for yaw in (-0.4, 0.0, 0.4)]
    together = list(pipeline.render(face, views))
    changed(batch_size=1)
    for one, view in zip(together, pipeline.render(face, iter(views)), strict=True):
        # Convolutions of other batches may add up in another order.
        assert np.abs(one.image.astype(int) - view.image).max() <= 1


def test_threads_do_not_disturb_each_other(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, astronaut: NDArray[np.uint8]
) -> None:
    views = [View(yaw, None) for yaw in (-0.6, -0.2, 0.2, 0.6)]
    alone = [view.image for view in pipeline.render(face, views)]

    def render(_: int) -> list[NDArray[np.uint8]]:
        (again,) = pipeline.fit(astronaut)
        return [view.image for view in pipeline.render(again, views)]

    with ThreadPoolExecutor(3) as threads:
        for images in threads.map(render, range(6)):
            for image, expected in zip(images, alone, strict=True):
                assert np.abs(image.astype(int) - expected).max() <= 1


def test_background_and_size(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, changed: Any
) -> None:
    def rendered(**settings: Any) -> GeneratedFace:
        changed(**settings)
        return next(pipeline.render(face, [View(0.3, None)]))

    own = rendered()
    cut = rendered(background="transparent")
    assert cut.alpha is not None
    np.testing.assert_array_equal(cut.image, own.image)
    mesh = pipeline.turn(face.state, View(0.3, None)).picture
    np.testing.assert_array_equal(cut.alpha, np.rint(mesh.alpha * 255))
    green = rendered(background=(0, 200, 0))
    assert (green.image[cut.alpha == 0] == (0, 200, 0)).all()
    np.testing.assert_array_equal(green.image[cut.alpha == 255], own.image[cut.alpha == 255])
    small = rendered(background="plate", output_size=128)
    np.testing.assert_array_equal(
        small.image, cv2.resize(own.image, (128, 128), interpolation=cv2.INTER_AREA)
    )
    np.testing.assert_allclose(small.landmarks68, own.landmarks68 / 2 - 0.25, atol=1e-4)
    assert rendered(output_size=512).image.shape == (512, 512, 3)


def test_same_photo_same_pictures(
    pipeline: RotateAndRenderRotator,
    face: facerot.FittedFace,
    astronaut: NDArray[np.uint8],
    changed: Any,
) -> None:
    again = pipeline.fit(astronaut)[0].state
    np.testing.assert_array_equal(again.textured.trimmed, face.state.textured.trimmed)
    changed(erosion_seed=3)
    other = pipeline.fit(astronaut)[0].state
    assert (other.textured.mask != face.state.textured.mask).any()


def test_landmarks_of_the_user(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, astronaut: NDArray[np.uint8]
) -> None:
    mesh = AttentionMesh().landmarks(astronaut, face.face)
    points = mesh.points[LANDMARKS_68, :2]
    (again,) = pipeline.fit_landmarks(astronaut, [points])
    np.testing.assert_allclose(again.state.parameters.values, face.state.parameters.values)
    shifted = np.roll(astronaut, 40, axis=1)
    (moved,) = pipeline.fit_landmarks(shifted, [points + (40, 0)])
    np.testing.assert_allclose(
        moved.state.photo_vertices, face.state.photo_vertices + (40, 0, 0), atol=0.05
    )
    with pytest.raises(facerot.ImageError, match=r"\(5, 2\)"):
        pipeline.fit_landmarks(astronaut, [points[:5]])


def test_several_faces(
    pipeline: RotateAndRenderRotator, astronaut: NDArray[np.uint8], changed: Any
) -> None:
    small = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA)
    photo = np.zeros((512, 820, 3), np.uint8)
    photo[:300, :300], photo[:, 308:] = small, astronaut
    faces = pipeline.fit(photo)
    assert len(faces) == 2
    assert faces[0].face.box[0] > 308 > faces[1].face.box[2]
    for found in faces:
        x = found.state.photo_vertices[:, 0].mean()
        assert found.face.box[0] < x < found.face.box[2]
    changed(max_faces=1)
    assert len(pipeline.fit(photo)) == 1
    changed(roi="detection")
    assert len(pipeline.fit(photo)) == 1


def test_no_face(pipeline: RotateAndRenderRotator) -> None:
    with pytest.raises(facerot.NoFaceError, match="200x100"):
        pipeline.fit(np.full((100, 200, 3), 128, np.uint8))
    with pytest.raises(facerot.ImageError, match="float64"):
        pipeline.fit(np.zeros((100, 200, 3)))  # type: ignore[arg-type]


def test_render_backends_agree(
    pipeline: RotateAndRenderRotator, face: facerot.FittedFace, changed: Any
) -> None:
    usual = pipeline.turn(face.state, View(0.6, 0.1)).picture
    changed(render_backend="torch")
    other = pipeline.turn(face.state, View(0.6, 0.1)).picture
    np.testing.assert_array_equal(usual.rgb, other.rgb)
    changed(render_backend="paint")
    with pytest.raises(facerot.DeviceError, match="'paint'.*auto, cpu"):
        pipeline.turn(face.state, View(0.6, 0.1))


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x", "cpu:0"])
def test_wrong_device(weights: Path, device: str) -> None:
    with pytest.raises(facerot.DeviceError, match=device):
        facerot.load("rotate_and_render", weights=weights, device=device)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("pose_rule", "mine"),
        ("roi", "box"),
        ("erosion_seed", -1),
        ("heatmap_size", 0.0),
        ("heatmap_size", math.nan),
        ("batch_size", 0),
    ],
)
def test_wrong_settings(setting: str, value: object) -> None:
    with pytest.raises(facerot.SettingsError, match=setting):
        facerot.load("rotate_and_render", **{setting: value})


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(facerot.WeightsError, match="facerot weights import") as caught:
        facerot.load("rotate_and_render", weights=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_weights_of_the_default_place(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEROT_WEIGHTS", str(tmp_path))
    with pytest.raises(facerot.WeightsError, match="weights synthetic"):
        facerot.load("rotate_and_render")
    monkeypatch.setenv("FACEROT_WEIGHTS", str(weights))
    facerot.load("rotate_and_render").close()


def test_without_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import opendr_facerot as facerot\n"
        "try: facerot.load('rotate_and_render')\n"
        "except facerot.DeviceError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'opendr_facerot[torch]'" in done.stdout


def test_truncated_weights(tmp_path: Path) -> None:
    write_synthetic(tmp_path)
    path = component_path(tmp_path, Component.GENERATOR)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(facerot.WeightsError, match=rf"{path.name}.*facerot weights import"):
        facerot.load("rotate_and_render", weights=tmp_path)


def test_command_line(tmp_path: Path) -> None:
    assert main(["weights", "synthetic", "--dest", str(tmp_path / "w")]) == 0
    arguments = ["-y", "-30", "30", "-p", "keep", "-o", str(tmp_path / "out")]
    chosen = ["--pipeline", "rotate_and_render", "--weights", str(tmp_path / "w")]
    assert main(["rotate", str(DATA / "astronaut.png"), *arguments, *chosen]) == 0
    pictures = [read_image(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [picture.shape for picture in pictures] == [(256, 256, 3)] * 2
    assert (pictures[0] != pictures[1]).any()


@pytest.fixture(scope="module")
def published() -> dict[str, NDArray[Any]]:
    """Photo, mesh and parameters of the original's outputs."""
    with np.load(GOLDEN / "face.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def published_rotator(
    published: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory
) -> RotateAndRenderRotator:
    root = write_synthetic(tmp_path_factory.mktemp("published"))
    vertices = published["model_vertices"]
    with torch.device("meta"):
        generator = filled_weights(RotateSpadeGenerator(GeneratorOptions(ngf=4)))
    contents: dict[Component, dict[str, Any]] = {
        Component.MODEL: {
            "mean": vertices.ravel(),
            "shape_basis": np.zeros((vertices.size, 40), np.float32),
            "expression_basis": np.zeros((vertices.size, 10), np.float32),
            "keypoints": published["keypoints"],
            "alignment_vertices": published["alignment_vertices"],
        },
        Component.FACES: {"faces": published["faces"].astype(np.int32)},
        Component.GENERATOR: generator,
    }
    about = {"layout": "synthetic", "source": "reference outputs", "licence": "CC-BY-4.0"}
    write_components(
        root, {part: InstalledComponent(arrays, about) for part, arrays in contents.items()}
    )
    settings = RotateAndRenderRotator.Settings(
        device="cpu", weights=root, erosion_seed=1234, heatmap_size=2.5, precision="float32"
    )
    return RotateAndRenderRotator(settings)


@pytest.fixture(scope="module")
def published_face(
    published_rotator: RotateAndRenderRotator, published: dict[str, NDArray[Any]]
) -> Reconstruction:
    numbers = published["parameters"]
    parameters = FaceParameters(numbers[:62], numbers[62:])
    return published_rotator.reconstruct(published["photo"], parameters, published["landmarks5"])


@pytest.mark.parametrize("name", GOLDEN_VIEWS)
def test_published_mesh_of_a_view(
    published_rotator: RotateAndRenderRotator, published_face: Reconstruction, name: str
) -> None:
    golden = np.load(GOLDEN / f"view_{name}.npz")
    published_rotator.settings = replace(
        published_rotator.settings,
        pose_rule="opendr" if name.startswith("opendr") else "rotate_and_render",
    )
    asked = [None if np.isnan(golden[axis]) else float(golden[axis]) for axis in ("yaw", "pitch")]
    turned = published_rotator.turn(published_face, View(*asked))
    np.testing.assert_allclose(turned.vertices[::10], golden["vertices"], atol=1e-3)
    np.testing.assert_allclose(turned.landmarks68, golden["landmarks68"][:, :2], atol=1e-3)
    np.testing.assert_array_equal(turned.picture.alpha * 4, golden["alpha"])
    rgb = turned.picture.rgb[::4].transpose(2, 0, 1)
    assert (np.abs(rgb - golden["rotated"] / 65535.0) > 2e-3).mean() <= 1e-4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_settings(weights: Path, precision: Any) -> None:
    rotator: Any = facerot.load(
        "rotate_and_render", weights=weights, device="cpu", precision=precision
    )
    dtypes = {parameter.dtype for parameter in rotator._generator.parameters()}
    exact = torch.float32  # the first layers, whatever the precision
    assert dtypes == {exact, getattr(torch, precision)}


def test_unknown_precision() -> None:
    with pytest.raises(facerot.SettingsError, match="precision is 'half': give one of auto"):
        facerot.RotatorSettings(precision="half")  # type: ignore[arg-type]


def test_published_generated_picture(published_rotator: RotateAndRenderRotator) -> None:
    with (
        np.load(DATA / "golden_generate" / "generator.npz") as golden,
        np.load(DATA / "golden_generate" / "labels.npz") as labels,
    ):
        for rotated, landmarks, yaw, output in zip(
            golden["rotated"],
            labels["landmarks68"],
            golden["photo_yaw"],
            golden["ngf4_output"],
            strict=True,
        ):
            rgb = (rotated.transpose(1, 2, 0) + 1.0) / 2.0
            flat = np.zeros(rgb.shape[:2], np.float32)
            picture = RenderedMesh(rgb, flat, flat)
            view = TurnedFace(0.0, 0.0, 0.0, landmarks, landmarks[:, :2], picture)
            (image,) = published_rotator.generate([view], photo_yaw=float(yaw))
            expected = image_from_output(output).astype(int)
            # Truncation to 8 bits can make one of a difference in the last digits.
            assert np.abs(image[::4, ::4] - expected).max() <= 1
