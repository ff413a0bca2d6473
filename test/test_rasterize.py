"""The rasteriser: its rules, and that every backend follows them to the last bit."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from opendr_facerot import DeviceError, SettingsError
from opendr_facerot.render import cpu, neural_renderer, torch_
from opendr_facerot.render.kernels import kernel
from opendr_facerot.render.mesh_renderer import RenderSettings, in_front_of_camera, render_mesh
from opendr_facerot.render.mesh_texture import cell_corners
from opendr_facerot.render.rasterize import (
    Fragments,
    available_backends,
    ndc_from_pixels,
    rasterize,
)

GOLDEN = Path(__file__).parent / "data" / "golden_render"
BACKENDS = ["reference", "cpu", "torch"]
FAST_BACKENDS = ["cpu", "torch"]
SCENES = ["tris", "cube", "sphere"]
FAR = 100.0


def triangles(*corners: list[list[float]]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A mesh of triangles that share no vertex."""
    vertices = np.array(corners, np.float32).reshape(-1, 3)
    return vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)


def square(z: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The whole image as two triangles that share the diagonal from bottom left to top right."""
    vertices = [[-1, -1, z], [1, -1, z], [1, 1, z], [-1, 1, z]]
    return np.array(vertices, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def assert_same(actual: Fragments, expected: Fragments) -> None:
    np.testing.assert_array_equal(actual.face_index, expected.face_index)
    np.testing.assert_allclose(actual.barycentric, expected.barycentric, rtol=0, atol=1e-6)
    np.testing.assert_allclose(actual.depth, expected.depth, rtol=1e-6, atol=0)


# Coordinates on a coarse grid make ties, shared edges, centres on edges and triangles without area;
# arbitrary ones make slivers; the rest is what broken meshes hold.
COORDINATE = st.one_of(
    st.sampled_from([k / 8 for k in range(-10, 11)]),
    st.floats(-1.25, 1.25, width=32),
    st.floats(width=32),
)
DEPTH = st.one_of(
    st.sampled_from([0.1, 0.5, 1.0, 2.0, 99.9, 100.0]),
    st.floats(-1.0, 5.0, width=32),
    st.floats(width=32),
)
VERTEX = st.tuples(COORDINATE, COORDINATE, DEPTH)
SOUP = st.lists(VERTEX, min_size=3, max_size=12).flatmap(
    lambda vertices: st.tuples(
        st.just(vertices),
        st.lists(
            st.lists(st.integers(0, len(vertices) - 1), min_size=3, max_size=3),
            min_size=1,
            max_size=16,
        ),
    )
)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@settings(max_examples=300, deadline=None)
@given(soup=SOUP, image_size=st.sampled_from([1, 2, 7, 16, 33]))
def test_backend_equals_reference_on_triangle_soup(
    backend: str, soup: tuple[list[tuple[float, float, float]], list[list[int]]], image_size: int
) -> None:
    vertices, faces = np.array(soup[0], np.float32), np.array(soup[1])
    expected = rasterize(vertices, faces, image_size, backend="reference")
    assert_same(rasterize(vertices, faces, image_size, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scene", SCENES)
def test_fragments_equal_published_ones(backend: str, scene: str) -> None:
    golden = np.load(GOLDEN / f"raster_{scene}.npz")
    corners = golden["faces"]
    fragments = rasterize(
        corners.reshape(len(corners), -1, 3),
        np.arange(corners.shape[1] * 3).reshape(-1, 3),
        int(golden["image_size"]),
        near=float(golden["near"]),
        far=float(golden["far"]),
        backend=backend,
    )
    from_bottom = {name: golden[f"raw_{name}_map"][:, ::-1] for name in ("weight", "depth")}
    np.testing.assert_array_equal(fragments.face_index, golden["raw_face_index_map"][:, ::-1])
    np.testing.assert_allclose(fragments.barycentric, from_bottom["weight"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(fragments.depth, from_bottom["depth"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("anti_aliasing", [False, True])
def test_pictures_equal_published_ones(backend: str, scene: str, anti_aliasing: bool) -> None:
    golden = np.load(GOLDEN / f"raster_{scene}.npz")
    drawing = RenderSettings(
        anti_aliasing=anti_aliasing,
        fill_back=False,
        near=float(golden["near"]),
        far=float(golden["far"]),
        texture_eps=float(golden["eps"]),
        background=tuple(golden["background"].tolist()),
        backend=backend,
    )
    prefix = "aa" if anti_aliasing else "noaa"
    for b, corners in enumerate(golden["faces"]):
        vertices, faces = triangles(*corners)
        picture = render_mesh(
            vertices, faces, golden["textures"][b], int(golden["image_size"]), drawing
        )
        rgb = golden[f"{prefix}_rgb"][b].transpose(1, 2, 0)
        np.testing.assert_allclose(picture.rgb, rgb, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(picture.alpha, golden[f"{prefix}_alpha"][b])
        np.testing.assert_allclose(picture.depth, golden[f"{prefix}_depth"][b], rtol=1e-6)


@pytest.mark.parametrize("scene", ["cube", "sphere"])
def test_mesh_before_the_camera_gives_the_published_picture(scene: str) -> None:
    golden = np.load(GOLDEN / f"raster_{scene}.npz")
    picture = render_mesh(
        in_front_of_camera(golden["vertices"][0]),
        golden["tri"][0],
        golden["mesh_textures"][0],
        int(golden["image_size"]),
    )
    rgb = golden["aa_rgb"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(picture.rgb, rgb, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(picture.alpha, golden["aa_alpha"][0])


@pytest.mark.parametrize("scene", ["tris", "cube"])
def test_texture_cells_are_sampled_where_published(scene: str) -> None:
    golden = np.load(GOLDEN / f"raster_{scene}.npz")
    face_index = golden["raw_face_index_map"]
    covered = face_index >= 0
    mesh = np.nonzero(covered)[0]
    index, weight = cell_corners(
        golden["raw_weight_map"][covered],
        golden["raw_depth_map"][covered],
        golden["faces"][mesh, face_index[covered]][..., 2],
        side=golden["textures"].shape[2],
        eps=float(golden["eps"]),
    )
    np.testing.assert_array_equal(index, golden["raw_sampling_index_map"][covered])
    np.testing.assert_allclose(
        weight, golden["raw_sampling_weight_map"][covered], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_lowest_face_index_wins_a_tie(backend: str) -> None:
    vertices, faces = square()
    fragments = rasterize(vertices, np.concatenate([faces, faces]), 8, backend=backend)
    assert set(np.unique(fragments.face_index)) == {0, 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_centres_on_a_shared_edge_belong_to_both_faces(backend: str) -> None:
    vertices, faces = square()
    diagonal = np.eye(8, dtype=bool)[::-1]
    for face in (0, 1):
        alone = rasterize(vertices, faces[face : face + 1], 8, backend=backend)
        assert (alone.face_index[diagonal] == 0).all()
    for order in (faces, faces[::-1]):
        both = rasterize(vertices, order, 8, backend=backend)
        assert (both.face_index >= 0).all()
        assert (both.face_index[diagonal] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearest_face_wins_whatever_the_order(backend: str) -> None:
    near_mesh, faces = square(1.0)
    far_mesh, _ = square(3.0)
    for first, second, winners in ((near_mesh, far_mesh, {0, 1}), (far_mesh, near_mesh, {2, 3})):
        fragments = rasterize(
            np.concatenate([first, second]), np.concatenate([faces, faces + 4]), 9, backend=backend
        )
        assert set(np.unique(fragments.face_index)) == winners
        np.testing.assert_allclose(fragments.depth, 1.0, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_limits_are_excluded(backend: str) -> None:
    vertices, faces = square(2.0)
    for near, far, drawn in ((1.0, 3.0, True), (2.0, 3.0, False), (1.0, 2.0, False)):
        fragments = rasterize(vertices, faces, 4, near=near, far=far, backend=backend)
        assert (fragments.face_index >= 0).all() == drawn
        assert (fragments.depth == (2.0 if drawn else far)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_part_of_a_face_behind_the_near_plane_is_not_drawn(backend: str) -> None:
    vertices, faces = triangles([[-1, -1, 0.2], [1, -1, 5.0], [-1, 1, 0.2]])
    fragments = rasterize(vertices, faces, 16, near=0.5, backend=backend)
    drawn = fragments.face_index >= 0
    assert drawn.any()
    assert fragments.depth[drawn].min() > 0.5
    whole = rasterize(vertices, faces, 16, near=0.1, backend=backend)
    np.testing.assert_array_equal(drawn, (whole.face_index >= 0) & (whole.depth > 0.5))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "corners",
    [
        [[-0.5, -0.5, 2], [-0.5, 0.5, 2], [0.5, 0.5, 2]],
        [[-0.5, -0.5, 2], [0.5, 0.5, 2], [0.5, 0.5, 2]],
        [[0.5, 0.5, 2], [0.5, 0.5, 2], [0.5, 0.5, 2]],
        [[-0.5, -0.5, 2], [0.5, -0.5, 2], [np.nan, 0.5, 2]],
        [[-0.5, -0.5, 2], [0.5, -0.5, 2], [0.5, np.inf, 2]],
        [[-0.5, -0.5, np.nan], [0.5, -0.5, 2], [0.5, 0.5, 2]],
        [[-0.5, -0.5, -2], [0.5, -0.5, -2], [0.5, 0.5, -2]],
        [[1.5, -0.5, 2], [2.5, -0.5, 2], [2.5, 0.5, 2]],
    ],
    ids=["clockwise", "line", "point", "x-nan", "y-inf", "z-nan", "behind", "off-screen"],
)
def test_nothing_is_drawn_of(backend: str, corners: list[list[float]]) -> None:
    vertices, faces = triangles(corners)
    fragments = rasterize(vertices, faces, 16, backend=backend)
    assert (fragments.face_index == -1).all()
    assert (fragments.barycentric == 0.0).all()
    assert (fragments.depth == FAR).all()


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_needles_are_drawn_as_far_out_as_by_the_reference(backend: str) -> None:
    random = np.random.default_rng(3)
    ends = random.integers(-32, 33, (400, 2, 2)) / 33  # lines through pixel centres
    along = random.uniform(-1.0, 1.0, (400, 1))
    third = ends[:, 0] * (1.0 - along) + ends[:, 1] * along + random.normal(0.0, 1e-8, (400, 2))
    corners = np.concatenate([ends, third[:, None]], axis=1)
    vertices, faces = triangles(*np.concatenate([corners, np.full((400, 3, 1), 2.0)], axis=2))
    expected = rasterize(vertices, faces, 33, backend="reference")
    assert_same(rasterize(vertices, faces, 33, backend=backend), expected)
    # Some are drawn outside the box of their vertices: rounding lets distant centres pass.
    row, column = np.nonzero(expected.face_index >= 0)
    centre = np.stack([2 * column - 32, 32 - 2 * row], axis=1) / 33
    box = vertices[faces[expected.face_index[row, column]], :2]
    outside = (centre > box.max(axis=1) + 0.01) | (centre < box.min(axis=1) - 0.01)
    assert outside.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_barycentric_weights_and_depth_of_a_slanted_face(backend: str) -> None:
    vertices, faces = triangles([[-1, -1, 1.0], [1, -1, 2.0], [-1, 1, 4.0]])
    fragments = rasterize(vertices, faces, 4, backend=backend)
    # The centre of the second column and of the second row from below: (-1/4, -1/4).
    weights = np.array([0.25, 0.375, 0.375])
    np.testing.assert_allclose(fragments.barycentric[2, 1], weights, atol=1e-6)
    expected_depth = 1.0 / (weights / np.array([1.0, 2.0, 4.0])).sum()
    np.testing.assert_allclose(fragments.depth[2, 1], expected_depth, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixel_coordinates_hit_their_pixel(backend: str) -> None:
    for column, row in ((0, 0), (6, 0), (2, 5)):
        around = np.array([column, row]) + [[-0.4, 0.4], [0.4, 0.4], [0.0, -0.4]]
        ndc = ndc_from_pixels(around, 7)
        fragments = rasterize(
            np.column_stack([ndc, [2.0, 2.0, 2.0]]), np.array([[0, 1, 2]]), 7, backend=backend
        )
        assert np.argwhere(fragments.face_index == 0).tolist() == [[row, column]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_equals_single_meshes(backend: str) -> None:
    random = np.random.default_rng(0)
    batch = random.uniform(-1.0, 1.0, (3, 12, 3)).astype(np.float32)
    batch[..., 2] += 2.0
    faces = random.integers(0, 12, (20, 3))
    together = rasterize(batch, faces, 24, backend=backend)
    for b, vertices in enumerate(batch):
        alone = rasterize(vertices, faces, 24, backend=backend)
        assert_same(Fragments(*(getattr(together, n)[b] for n in vars(alone))), alone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_mesh_without_faces(backend: str) -> None:
    for vertices in (np.zeros((0, 3)), np.zeros((2, 5, 3))):
        fragments = rasterize(vertices, np.zeros((0, 3), int), 5, backend=backend)
        assert fragments.face_index.shape == (*vertices.shape[:-2], 5, 5)
        assert (fragments.face_index == -1).all()


def random_mesh() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    random = np.random.default_rng(7)
    corners = random.uniform(-1.1, 1.1, (500, 1, 3)) + random.normal(0.0, 0.2, (500, 3, 3))
    return triangles(*(corners + [0.0, 0.0, 2.5]))


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_do_not_change_the_result(threads: int) -> None:
    vertices, faces = random_mesh()
    expected = rasterize(vertices, faces, 100, backend="reference")
    planes = cpu.rasterize(
        vertices[None], faces, 100, near=0.1, far=FAR, device="cpu", threads=threads
    )
    assert_same(Fragments(*(plane[0] for plane in planes)), expected)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_several_threads_may_rasterise_at_once(backend: str) -> None:
    vertices, faces = random_mesh()
    expected = rasterize(vertices, faces, 64, backend=backend)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(rasterize, vertices, faces, 64, backend=backend) for _ in range(16)]
        for job in jobs:
            assert_same(job.result(), expected)


@pytest.mark.parametrize("chunk", [1, 50, 5000])
def test_chunks_do_not_change_the_result(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = random_mesh()
    vertices, faces = vertices[:150], faces[:50]
    expected = rasterize(vertices, faces, 32, backend="reference")
    monkeypatch.setattr(torch_, "_CHUNK", chunk)
    assert_same(rasterize(vertices, faces, 32, backend="torch"), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_are_not_changed_and_may_be_read_only(backend: str) -> None:
    vertices, faces = random_mesh()
    copies = vertices.copy(), faces.copy()
    vertices.setflags(write=False)
    faces.setflags(write=False)
    rasterize(vertices, faces[:30], 16, backend=backend)
    np.testing.assert_array_equal(vertices, copies[0])
    np.testing.assert_array_equal(faces, copies[1])


class RendererPackage:
    """Has neural_renderer's function that the adapter calls, by our own rasteriser, on the CPU."""

    @staticmethod
    def rasterize_rgbad(
        faces: torch.Tensor,
        textures: torch.Tensor,
        *,
        image_size: int,
        anti_aliasing: bool,
        near: float,
        far: float,
        background_color: list[float],
    ) -> dict[str, torch.Tensor]:
        red, green, blue = background_color
        drawing = RenderSettings(
            anti_aliasing=anti_aliasing,
            fill_back=False,
            near=near,
            far=far,
            background=(red, green, blue),
        )
        pictures = [
            render_mesh(*triangles(*corners), cells, image_size, drawing)
            for corners, cells in zip(faces.numpy(), textures.numpy(), strict=True)
        ]
        return {
            "rgb": torch.from_numpy(np.stack([p.rgb.transpose(2, 0, 1) for p in pictures])),
            "alpha": torch.from_numpy(np.stack([p.alpha for p in pictures])),
            "depth": torch.from_numpy(np.stack([p.depth for p in pictures])),
        }


def test_fragments_are_read_off_neural_renderer_pictures() -> None:
    vertices, faces = random_mesh()
    # Far more faces than fit into two digits of a colour; the last ones are in front.
    many = np.concatenate([np.zeros((70_000, 3), np.int32), faces])
    expected = rasterize(np.stack([vertices, vertices]), many, 40)
    planes = neural_renderer.rasterize_with(
        RendererPackage,
        torch.from_numpy(np.stack([vertices, vertices])),
        torch.from_numpy(many),
        40,
        near=0.1,
        far=FAR,
    )
    assert_same(Fragments(*(plane.numpy() for plane in planes)), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_torch_on_cuda_equals_cpu() -> None:
    vertices, faces = random_mesh()
    expected = rasterize(vertices, faces, 100)
    assert_same(rasterize(vertices, faces, 100, backend="torch", device="cuda"), expected)


@pytest.mark.skipif(
    not torch.cuda.is_available() or "neural_renderer" not in available_backends(),
    reason="needs a CUDA device and the package neural_renderer",
)
def test_neural_renderer_equals_cpu() -> None:
    vertices, faces = random_mesh()
    expected = rasterize(vertices, faces, 100)
    actual = rasterize(vertices, faces, 100, backend="neural_renderer", device="cuda")
    # A GPU fuses multiplications with additions: centres on edges may fall to the other side.
    assert (actual.face_index != expected.face_index).mean() < 5e-4


def test_unknown_backend_is_refused_with_those_available() -> None:
    with pytest.raises(DeviceError, match="'opengl' does not exist.*cpu.*torch.*reference"):
        rasterize(*square(), 4, backend="opengl")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opendr_facerot.render.rasterize.find_spec", lambda name: None)
    assert available_backends() == ("cpu", "reference")
    with pytest.raises(DeviceError, match="'neural_renderer' is not installed"):
        rasterize(*square(), 4, backend="neural_renderer", device="cuda")


@pytest.mark.parametrize("device", ["cuda:77", "toaster"])
def test_missing_device_is_refused(device: str) -> None:
    with pytest.raises(DeviceError, match=device):
        rasterize(*square(), 4, backend="torch", device=device)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_backends_of_the_cpu_have_no_other_device(backend: str) -> None:
    with pytest.raises(DeviceError, match="cuda"):
        rasterize(*square(), 4, backend=backend, device="cuda")


@pytest.mark.parametrize(
    ("near", "far", "image_size"), [(-0.1, 1.0, 4), (2.0, 2.0, 4), (0.1, np.nan, 4), (0.1, 1.0, 0)]
)
def test_senseless_settings_are_refused(near: float, far: float, image_size: int) -> None:
    with pytest.raises(SettingsError):
        rasterize(*square(), image_size, near=near, far=far)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((4, 2)), np.zeros((1, 3), int), r"\(4, 2\)"),
        (np.zeros((4, 3)), np.zeros((1, 4), int), r"\(1, 4\)"),
        (np.zeros((4, 3)), np.zeros((1, 3)), "float64"),
        (np.zeros((4, 3)), np.array([[0, 1, 4]]), "vertices 0 to 4.*mesh has 4"),
        (np.zeros((4, 3)), np.array([[-1, 1, 2]]), "vertices -1 to 2"),
    ],
)
def test_arrays_that_are_no_mesh_are_refused(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rasterize(vertices, faces, 4)


def test_kernels_work_where_no_cache_can_be_kept() -> None:
    namespace: dict[str, Any] = {}
    exec("def twice(x):\n    return 2 * x", namespace)  # of no file, hence without a cache
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(namespace["twice"])
    assert kernel(namespace["twice"])(4) == 8


@pytest.mark.parametrize("blocks", [1, 3])
def test_faces_of_several_blocks_keep_their_order(blocks: int) -> None:
    vertices, faces = square()
    behind, _ = square(3.0)
    # All but the last two pairs hide behind them; of these, the first wins every tie.
    count = 4096 * blocks
    many = np.concatenate([np.tile(faces + 4, (count, 1)), faces, faces])
    fragments = rasterize(np.concatenate([vertices, behind]), many, 8)
    assert set(np.unique(fragments.face_index)) == {2 * count, 2 * count + 1}


def test_backend_cpu_does_not_import_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from opendr_facerot.render.rasterize import rasterize\n"
        "rasterize(np.zeros((3, 3)), np.array([[0, 1, 2]]), 4)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
