"""Pictures of turned faces: pose rules, alignment, colours, erosion, and the whole against the
published tool's output."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opendr_facerot import ImageError, SettingsError
from opendr_facerot.geometry import fit_similarity, rotation_from_euler
from opendr_facerot.reconstruct.face_parameters import FaceParameters, HeadPose, PixelConvention
from opendr_facerot.reconstruct.pose_rules import PoseRule, training_angles, view_angles
from opendr_facerot.reconstruct.posed_mesh import photo_vertices, turned_camera, turned_vertices
from opendr_facerot.render.erosion import Erosion, fill_with_mean
from opendr_facerot.render.mesh_renderer import (
    DEFAULT_SETTINGS,
    RenderSettings,
    in_front_of_camera,
    render_mesh,
)
from opendr_facerot.render.mesh_texture import mean_face_colours, nearest_colours
from opendr_facerot.render.rotate_render import (
    TexturedFace,
    draw,
    face_colours,
    render_training_pictures,
    render_view,
    texture_face,
)
from opendr_facerot.render.template_alignment import (
    aligned_mesh,
    apply_transform,
    face_crop,
    face_template,
    normalised_coordinates,
    template_transform,
)

GOLDEN = Path(__file__).parent / "data" / "golden_render"
VIEWS = sorted(path.stem.removeprefix("view_") for path in GOLDEN.glob("view_*.npz"))
SIZE = 256
angles = st.floats(-1.5, 1.5)


class GoldenFace:
    """The published tool's photo and mesh, run through our stages up to the view."""

    def __init__(self) -> None:
        self.data: dict[str, NDArray[Any]] = dict(np.load(GOLDEN / "face.npz"))
        numbers = self.data["parameters"]
        self.parameters = FaceParameters(numbers[:62], numbers[62:])
        self.faces = self.data["faces"].astype(np.int32)
        self.crop, self.transform = face_crop(self.data["photo"], self.data["landmarks5"], SIZE)
        in_photo = photo_vertices(self.data["model_vertices"], self.parameters)
        self.vertices = apply_transform(self.transform, in_photo)
        self.textured = self.texture(np.random.RandomState(1234), 15)

    def texture(
        self,
        source: np.random.RandomState,
        kernel: int,
        drawing: RenderSettings = DEFAULT_SETTINGS,
    ) -> TexturedFace:
        erosion = Erosion.draw(source, kernel)
        return texture_face(self.crop, self.vertices, self.faces, erosion, drawing)

    def turned(self, yaw: float, pitch: float) -> NDArray[np.float32]:
        vertices = turned_vertices(self.data["model_vertices"], self.parameters, yaw, pitch)
        return aligned_mesh(vertices, self.data["alignment_vertices"], SIZE)


@pytest.fixture(scope="module")
def face() -> GoldenFace:
    return GoldenFace()


def assert_colours(actual: NDArray[np.float32], stored: NDArray[np.uint16]) -> None:
    """As near as the published tool's outputs on two machines are to each other."""
    wrong = np.abs(actual - stored / 65535.0) > 2e-3
    assert wrong.mean() <= 1e-4


def rows(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every fourth row, channels first."""
    return image[::4].transpose(2, 0, 1)


def requested(golden: Any) -> list[float | None]:
    return [None if np.isnan(golden[name]) else float(golden[name]) for name in ("yaw", "pitch")]


def test_published_crop_and_mesh(face: GoldenFace) -> None:
    np.testing.assert_allclose(face.transform, face.data["crop_transform"], atol=1e-5)
    np.testing.assert_array_equal(np.rint(face.crop * 255).transpose(2, 0, 1), face.data["crop_u8"])
    np.testing.assert_allclose(face.vertices[::10], face.data["vertices"], atol=1e-3)


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_published_texture(face: GoldenFace, backend: str) -> None:
    textured = face.texture(np.random.RandomState(1234), 15, RenderSettings(backend=backend))
    assert_colours(textured.photo_colours[::4], face.data["face_colours"])
    assert_colours(rows(textured.picture.rgb), face.data["picture"])
    np.testing.assert_array_equal(textured.picture.alpha * 4, face.data["alpha"])
    np.testing.assert_allclose(textured.picture.depth[::8], face.data["depth"], atol=1e-3)
    np.testing.assert_array_equal(np.packbits(textured.mask), face.data["mask"])
    assert_colours(rows(textured.trimmed), face.data["trimmed"])
    assert_colours(textured.colours[::4], face.data["view_colours"])


@pytest.mark.parametrize("backend", ["cpu", "torch"])
@pytest.mark.parametrize("name", VIEWS)
def test_published_view(face: GoldenFace, backend: str, name: str) -> None:
    golden = np.load(GOLDEN / f"view_{name}.npz")
    rule = PoseRule.OPENDR if name.startswith("opendr") else PoseRule.ROTATE_AND_RENDER
    pose = face.parameters.pose
    yaw, pitch = view_angles(pose, *requested(golden), rule=rule)
    np.testing.assert_allclose(turned_camera(pose, yaw, pitch), golden["camera"], rtol=1e-6)
    vertices = face.turned(yaw, pitch)
    np.testing.assert_allclose(vertices[::10], golden["vertices"], atol=1e-3)
    np.testing.assert_allclose(vertices[face.data["keypoints"]], golden["landmarks68"], atol=1e-3)
    view = render_view(face.textured, vertices, RenderSettings(backend=backend))
    assert_colours(rows(view.rgb), golden["rotated"])
    np.testing.assert_array_equal(view.alpha * 4, golden["alpha"])
    np.testing.assert_allclose(view.depth[::8], golden["depth"], atol=1e-3)


def test_published_view_drawn_with_its_own_colours(face: GoldenFace) -> None:
    yaw, pitch = view_angles(face.parameters.pose, None, None, rule=PoseRule.ROTATE_AND_RENDER)
    vertices = face.turned(yaw, pitch)
    colours = face_colours(render_view(face.textured, vertices).rgb, vertices, face.faces)
    double = draw(vertices, face.faces, colours, SIZE)
    assert_colours(rows(double.rgb), np.load(GOLDEN / "double.npz")["rotated_double"])


def test_published_training_pictures(face: GoldenFace) -> None:
    golden = np.load(GOLDEN / "training.npz")
    source = np.random.RandomState(1234)
    yaw, pitch = training_angles(face.parameters.pose, source)
    camera = turned_camera(face.parameters.pose, yaw, pitch)
    np.testing.assert_allclose(camera, golden["camera"], rtol=1e-6)
    textured = face.texture(source, 21)
    pictures = render_training_pictures(textured, face.turned(yaw, pitch), Erosion.draw(source, 5))
    np.testing.assert_array_equal(np.packbits(textured.mask), golden["mask_1"])
    np.testing.assert_array_equal(np.packbits(pictures.mask), golden["mask_2"])
    assert_colours(rows(pictures.rotated.rgb), golden["rotated"])
    assert_colours(rows(pictures.trimmed), golden["rotated_masked"])
    assert_colours(pictures.colours[::4], golden["colours"])
    assert_colours(rows(pictures.rotated_back.rgb), golden["rotated_back"])
    assert_colours(rows(pictures.rotated_double.rgb), golden["rotated_double"])
    assert_colours(rows(pictures.artifacts.rgb), golden["rotate_artifacts"])


def head_pose(yaw: float, pitch: float, roll: float = 0.1) -> HeadPose:
    camera = np.column_stack([4e-4 * rotation_from_euler(yaw, pitch, roll), [60.0, 60.0, 0.0]])
    return HeadPose.from_camera(camera)


@given(angles, angles, angles, angles)
def test_opendr_replaces_only_what_is_asked_for(
    yaw: float, pitch: float, photo_yaw: float, photo_pitch: float
) -> None:
    photo = head_pose(photo_yaw, photo_pitch)
    assert view_angles(photo, yaw, pitch) == (yaw, pitch)
    assert view_angles(photo, yaw, None) == (yaw, photo.pitch)
    assert view_angles(photo, None, pitch) == (photo.yaw, pitch)
    assert view_angles(photo, None, None) == (photo.yaw, photo.pitch)


@given(angles, angles, angles)
def test_rotate_and_render_keeps_the_sign_of_the_photos_pitch(
    yaw: float, pitch: float, photo_pitch: float
) -> None:
    photo = head_pose(0.2, photo_pitch)
    rule = PoseRule.ROTATE_AND_RENDER
    expected = abs(pitch) if photo.pitch >= 0 else -abs(pitch)
    assert view_angles(photo, yaw, pitch, rule=rule) == (yaw, expected)
    assert view_angles(photo, yaw, -pitch, rule=rule) == (yaw, expected)
    assert view_angles(photo, None, pitch, rule=rule) == (photo.yaw, expected)
    assert view_angles(photo, yaw, None, rule=rule) == (yaw, max(photo.pitch, 0.0))
    assert view_angles(photo, None, None, rule=rule) == (0.0, max(photo.pitch, 0.0))


def test_angles_are_rounded_only_on_request() -> None:
    ten, photo = math.radians(10.0), head_pose(0.1234, 0.0567)
    assert view_angles(photo, ten, ten) == (ten, ten)
    assert view_angles(photo, ten, -ten, round_radians=True) == (0.17, -0.17)
    assert view_angles(photo, None, None, round_radians=True) == (photo.yaw, photo.pitch)


def test_training_angles_are_those_of_the_distribution() -> None:
    source, photo = np.random.default_rng(0), head_pose(0.5, -0.3)
    drawn = np.array([training_angles(photo, source) for _ in range(4000)])
    frontal = (drawn == 0.0).all(axis=1)  # the pitch of a face that looks up becomes 0
    assert abs(frontal.mean() - 0.2) < 0.03
    yaw, pitch = drawn[~frontal].T
    assert 0.342 <= np.abs(yaw).min() < 0.36
    assert 0.95 < np.abs(yaw).max() <= 0.965
    assert abs((yaw > 0).mean() - 0.5) < 0.04
    assert np.abs(pitch).max() <= 0.5
    looking_down = [training_angles(head_pose(0.0, 0.9), source)[1] for _ in range(200)]
    assert max(looking_down) == 1.0


def test_opposite_angles_give_different_pictures(face: GoldenFace) -> None:
    pictures = [
        render_view(face.textured, face.turned(yaw, pitch)).rgb
        for yaw, pitch in ((0.52, 0.0), (-0.52, 0.0), (0.0, 0.35), (0.0, -0.35))
    ]
    for k, picture in enumerate(pictures):
        for other in pictures[k + 1 :]:
            assert (np.abs(picture - other) > 0.1).any(axis=2).mean() > 0.1


def test_turned_nose_moves_as_the_conventions_say(face: GoldenFace) -> None:
    model = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e5]], np.float32)  # centre and nose of a head
    centre, nose = turned_vertices(model, face.parameters, 0.5, 0.0)
    assert nose[0] > centre[0] + 10.0
    centre, nose = turned_vertices(model, face.parameters, 0.0, 0.5)
    assert nose[1] > centre[1] + 10.0  # y points down
    assert nose[2] > centre[2]


@pytest.mark.parametrize("convention", PixelConvention)
def test_photo_vertices_are_the_projected_ones(
    face: GoldenFace, convention: PixelConvention
) -> None:
    model = face.data["model_vertices"]
    expected = face.parameters.project(model, convention)
    actual = photo_vertices(model, face.parameters, convention)
    np.testing.assert_allclose(actual[:, :2], expected[:, :2], atol=1e-3)
    np.testing.assert_allclose(np.ptp(actual[:, 2]), np.ptp(expected[:, 2]), rtol=1e-5)


def test_turning_to_the_photos_own_angles_changes_nothing() -> None:
    random = np.random.default_rng(0)
    model = random.normal(0.0, 5e4, (50, 3)).astype(np.float32)
    camera = np.column_stack([4e-4 * rotation_from_euler(0.3, -0.2, 0.1), [60.0, 50.0, 0.0]])
    parameters = FaceParameters(
        np.r_[camera.ravel(), np.zeros(50)], np.array([10.0, 20.0, 210.0, 220.0])
    )
    pose = parameters.pose
    turned = turned_vertices(model, parameters, pose.yaw, pose.pitch)
    np.testing.assert_allclose(turned, photo_vertices(model, parameters), atol=1e-3)


def test_template_is_that_of_a_256_pixel_crop() -> None:
    expected = [
        [95.4596, 124.0682],
        [153.8527, 123.7452],
        [124.8418, 157.2778],
        [100.8531, 191.4628],
        [149.2095, 191.1954],
    ]
    np.testing.assert_allclose(face_template(256), expected, atol=1e-4)


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=5, max_size=5, unique=True)
)
def test_alignment_is_the_least_squares_similarity(points: list[tuple[float, float]]) -> None:
    expected = fit_similarity(points, face_template(256)).matrix
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(template_transform(points, 256), expected, atol=1e-6 * scale)


def test_alignment_of_float32_points_is_float32(face: GoldenFace) -> None:
    assert template_transform(face.data["landmarks5"].astype(np.float32), 256).dtype == np.float32


@pytest.mark.parametrize("point", [[5.0, 5.0], [np.nan, 5.0]])
def test_points_that_define_no_face_are_refused(point: list[float]) -> None:
    with pytest.raises(ImageError, match="five face points"):
        template_transform([point] * 5, 256)


def test_crop_is_bilinear_and_black_outside(face: GoldenFace) -> None:
    photo = face.data["photo"][:120, :150]
    crop, transform = face_crop(photo, face.data["landmarks5"], 64)
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    padded = np.pad(photo.astype(float), ((500, 500), (500, 500), (0, 0)))
    for row, column in np.random.default_rng(0).integers(0, 64, (100, 2)):
        x, y = inverse @ [column, row, 1.0] + 500.0
        left, top = math.floor(x), math.floor(y)
        u, v = x - left, y - top
        above = padded[top, left] * (1 - u) + padded[top, left + 1] * u
        below = padded[top + 1, left] * (1 - u) + padded[top + 1, left + 1] * u
        colour = above * (1 - v) + below * v
        np.testing.assert_allclose(crop[row, column] * 255.0, colour, atol=0.51)


def test_normalised_coordinates() -> None:
    vertices = np.array([[0, 0, 5], [128, 127, 7], [256, 255, 9]], np.float32)
    expected = np.array([[-1, 255 / 128 - 1, 1], [0, 0, 0], [1, -1, -1]])
    np.testing.assert_allclose(normalised_coordinates(vertices, 256), expected, atol=1e-6)


def test_nearest_colour_is_of_the_even_pixel_half_way_and_clamped_outside() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    points = np.array([[0.5, 0.0], [1.5, 0.0], [0.0, 0.5], [0.6, 1.4], [-9.0, 99.0], [99.0, -9.0]])
    expected = [0.0, 2.0, 0.0, 5.0, 8.0, 3.0]
    np.testing.assert_array_equal(nearest_colours(image, points)[:, 0], expected)


def test_face_colour_is_the_mean_of_its_vertices() -> None:
    colours = np.array([[0.0, 0.3], [0.6, 0.3], [0.9, 0.0]], np.float32)
    faces = np.array([[0, 1, 2], [1, 1, 1]])
    np.testing.assert_allclose(mean_face_colours(colours, faces), [[0.5, 0.2], [0.6, 0.3]], 1e-6)


def naive_erosion(alpha: NDArray[np.float32], erosion: Erosion) -> NDArray[np.bool_]:
    reach, size = erosion.kernel // 2, len(alpha)
    padded = np.pad(alpha, reach)
    share = alpha.copy()
    for row in range(erosion.first_row, size - 10):
        for column in range(size):
            box = padded[row : row + erosion.kernel, column : column + erosion.kernel]
            share[row, column] = box.mean()
    return share > erosion.threshold


@pytest.mark.parametrize("size", [8, 40, 80])
@pytest.mark.parametrize("kernel", [1, 5, 15])
def test_erosion_equals_the_naive_one(size: int, kernel: int) -> None:
    random = np.random.default_rng(size + kernel)
    alpha = cv2.blur((random.random((size, size)) < 0.9).astype(np.float32), (5, 5))
    alpha = np.round(np.clip(1.3 * alpha, 0.0, 1.0) * 4).astype(np.float32) / 4
    erosion = Erosion(kernel, first_row=20, threshold=0.8765)
    np.testing.assert_array_equal(erosion.mask(alpha), naive_erosion(alpha, erosion))


@pytest.mark.parametrize("kernel", [0, -3, 4])
def test_erosion_kernel_must_be_odd(kernel: int) -> None:
    with pytest.raises(SettingsError, match=str(kernel)):
        Erosion(kernel, 50, 0.9)


def test_erosion_is_drawn_from_the_given_source() -> None:
    for make in (np.random.default_rng, np.random.RandomState):
        drawn = [Erosion.draw(make(5)) for _ in range(2)]
        assert drawn[0] == drawn[1]
        source = make(5)
        many = [Erosion.draw(source, 19) for _ in range(500)]
        assert {erosion.kernel for erosion in many} == {19}
        assert {erosion.first_row for erosion in many} == set(range(50, 100))
        assert 0.8 <= min(e.threshold for e in many) < 0.81
        assert 0.98 < max(e.threshold for e in many) < 0.99


def test_mean_fill() -> None:
    image = np.zeros((2, 2, 3), np.float32)
    image[0] = [[0.2, 0.4, 0.0], [0.4, 0.8, 0.0]]
    mask = np.array([[True, True], [False, False]])
    filled = fill_with_mean(image, mask)
    np.testing.assert_array_equal(filled[0], image[0])
    # A channel without any light has the mean 0.5 / 2, as published.
    np.testing.assert_allclose(filled[1], [[0.3, 0.6, 0.25]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(fill_with_mean(image, np.zeros((2, 2), bool)), 0.5)


def cell_colour(cell: NDArray[np.float32], position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Trilinear interpolation, one axis after the other."""
    value = cell.astype(np.float64)
    for coordinate in position:
        low = min(int(coordinate), len(value) - 2)
        value = value[low] * (low + 1 - coordinate) + value[low + 1] * (coordinate - low)
    return value


@pytest.mark.parametrize("side", [2, 3, 5])
def test_texture_cells_are_interpolated_in_space(side: int) -> None:
    random = np.random.default_rng(side)
    vertices = np.array([[-1, -1, 1.0], [1, -1, 2.0], [-1, 1, 4.0]], np.float32)
    cells = random.random((1, side, side, side, 3)).astype(np.float32)
    picture = render_mesh(
        vertices, np.array([[0, 1, 2]]), cells, 16, RenderSettings(anti_aliasing=False)
    )
    for row, column in ((15, 0), (8, 3), (12, 9)):
        x, y = (2 * column - 15) / 16, (15 - 2 * row) / 16
        on_screen = np.array([-(x + y) / 2, (x + 1) / 2, (y + 1) / 2])
        in_space = on_screen / vertices[:, 2] / (on_screen / vertices[:, 2]).sum()
        position = np.clip(in_space * (side - 1), 0.0, side - 1 - 1e-3)
        expected = cell_colour(cells[0], position)
        np.testing.assert_allclose(picture.rgb[row, column], expected, atol=1e-4)


def test_cells_of_one_colour_are_that_colour() -> None:
    random = np.random.default_rng(1)
    vertices = random.uniform(-1, 1, (30, 3)).astype(np.float32)
    faces, colours = np.arange(30).reshape(10, 3), random.random((10, 3)).astype(np.float32)
    mesh = in_front_of_camera(vertices)
    flat = render_mesh(mesh, faces, colours, 32)
    for side in (1, 2, 4):
        cells = np.broadcast_to(colours[:, None, None, None], (10, side, side, side, 3))
        picture = render_mesh(mesh, faces, cells, 32)
        np.testing.assert_allclose(picture.rgb, flat.rgb, atol=1e-6)


def test_back_faces_are_drawn_on_request() -> None:
    vertices = np.array([[-1, -1, 2], [-1, 1, 2], [1, 1, 2]], np.float32)  # clockwise
    faces, colours = np.array([[0, 1, 2]]), np.array([[0.1, 0.2, 0.3]], np.float32)
    both = render_mesh(vertices, faces, colours, 8)
    front = render_mesh(vertices, faces, colours, 8, RenderSettings(fill_back=False))
    assert both.alpha.max() == 1.0
    assert front.alpha.max() == 0.0


def test_mirrored_mesh_shows_its_backs_in_the_mirrored_picture() -> None:
    random = np.random.default_rng(4)
    mesh = in_front_of_camera(random.uniform(-1, 1, (30, 3)).astype(np.float32))
    faces = np.arange(30).reshape(10, 3)
    cells = random.random((10, 3, 3, 3, 3)).astype(np.float32)
    picture = render_mesh(mesh, faces, cells, 32)
    mirrored = render_mesh(mesh * np.array([-1, 1, 1], np.float32), faces, cells, 32)
    np.testing.assert_allclose(mirrored.rgb[:, ::-1], picture.rgb, atol=1e-5)
    np.testing.assert_array_equal(mirrored.alpha[:, ::-1], picture.alpha)


def test_anti_aliasing_is_the_mean_of_four_samples_on_the_background() -> None:
    random = np.random.default_rng(2)
    vertices = random.uniform(-1, 1, (30, 3)).astype(np.float32)
    mesh, faces = in_front_of_camera(vertices), np.arange(30).reshape(10, 3)
    colours = random.random((10, 3)).astype(np.float32)
    background = (0.9, 0.5, 0.1)
    fine = render_mesh(
        mesh, faces, colours, 32, RenderSettings(anti_aliasing=False, background=background)
    )
    picture = render_mesh(mesh, faces, colours, 16, RenderSettings(background=background))
    for actual, samples in zip(vars(picture).values(), vars(fine).values(), strict=True):
        mean = samples.reshape(16, 2, 16, 2, -1).mean(axis=(1, 3)).reshape(actual.shape)
        np.testing.assert_allclose(actual, mean, rtol=1e-5, atol=1e-6)
    assert set(np.unique(picture.alpha)) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    empty = fine.alpha == 0.0
    assert (fine.rgb[empty] == np.array(background, np.float32)).all()
    assert (fine.depth[empty] == 100.0).all()


def test_textures_of_the_wrong_shape_are_refused() -> None:
    vertices, faces = np.zeros((3, 3), np.float32), np.array([[0, 1, 2]])
    for shape in ((2, 3), (1, 2, 2, 2), (1, 4)):
        with pytest.raises(ValueError, match="textures have shape"):
            render_mesh(vertices, faces, np.zeros(shape, np.float32), 8)


@pytest.mark.parametrize("values", [{"near": -1.0}, {"near": 5.0, "far": 5.0}, {"texture_eps": 1}])
def test_senseless_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        RenderSettings(**values)  # type: ignore[arg-type]


def test_crop_must_be_square(face: GoldenFace) -> None:
    with pytest.raises(ValueError, match="256, 200, 3"):
        texture_face(face.crop[:, :200], face.vertices, face.faces, Erosion(15, 60, 0.9))
