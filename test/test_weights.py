"""Installing, listing and loading the files that users have."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import published_files as files
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from opendr_facerot.errors import WeightsError
from opendr_facerot.reconstruct.bfm import PUBLISHED_ALIGNMENT_VERTICES, alignment_vertices_of
from opendr_facerot.reconstruct.face_parameters import PixelConvention
from opendr_facerot.reconstruct.mobilenet_v1 import from_checkpoint
from opendr_facerot.weights import importing, store
from opendr_facerot.weights.cli import add_weights_parser, status_text
from opendr_facerot.weights.importing import import_weights
from opendr_facerot.weights.installed import (
    RotateAndRenderWeights,
    installed_weights,
    weights_status,
)
from opendr_facerot.weights.manifest import KNOWN_FILES, Component
from opendr_facerot.weights.store import component_path, weights_root


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what OpenDR's users have."""
    folder = tmp_path_factory.mktemp("originals")
    files.write_3ddfa(folder / "3ddfa")
    files.write_generator(folder / "latest_net_G.pth")
    return folder


@pytest.fixture(scope="module")
def installed(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that they were installed in; not to be written to."""
    root = tmp_path_factory.mktemp("installed")
    import_weights([originals], root, allow_modified=True)
    return root


@pytest.fixture
def own_copy(installed: Path, tmp_path: Path) -> Path:
    """A copy of the installed weights that a test may damage."""
    for component in Component:
        target = component_path(tmp_path / "copy", component)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(component_path(installed, component).read_bytes())
    return tmp_path / "copy"


def digests(root: Path) -> dict[str, str]:
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in root.rglob("*")
        if file.is_file()
    }


def assert_is_the_published_set(weights: RotateAndRenderWeights) -> None:
    arrays = files.model_arrays()
    model = weights.model
    np.testing.assert_array_equal(model.mean, (arrays["u_shp"] + arrays["u_exp"]).ravel())
    np.testing.assert_array_equal(model.shape_basis, arrays["w_shp_sim"])
    np.testing.assert_array_equal(model.expression_basis, arrays["w_exp_sim"])
    np.testing.assert_array_equal(3 * model.keypoints, arrays["keypoints_sim"][::3])
    np.testing.assert_array_equal(model.faces, files.faces_array())
    whitening = files.whitening_arrays()
    np.testing.assert_array_equal(weights.whitening.mean, whitening["param_mean"])
    np.testing.assert_array_equal(weights.whitening.std, whitening["param_std"])
    assert weights.convention is PixelConvention.TDDFA
    network = files.network_state()
    assert weights.network.keys() == network.keys()
    assert all(torch.equal(weights.network[key], network[key]) for key in network)
    generator = files.generator_state()
    canonical = {key for key in generator if "conv_block" not in key}
    assert weights.generator.keys() == canonical
    assert all(torch.equal(weights.generator[key], generator[key]) for key in canonical)


def test_folder(installed: Path) -> None:
    assert_is_the_published_set(installed_weights(installed))
    assert {state.fault for state in weights_status(installed)} == {None}
    assert set(digests(installed)) == {f"rotate_and_render/{c.value}" for c in Component}


def test_archives_in_archives(originals: Path, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / "rs_model").mkdir(parents=True)
    files.zip_folder(originals / "3ddfa", checkpoints / "ckpt_and_bfm.zip")
    (checkpoints / "rs_model" / "latest_net_G.pth").write_bytes(
        (originals / "latest_net_G.pth").read_bytes()
    )
    archive = files.zip_folder(checkpoints, tmp_path / "checkpoints.zip")
    report = import_weights([archive], tmp_path / "root", allow_modified=True)
    assert set(report.installed) == set(Component)
    assert [name.rsplit("/", 1)[-1] for name in report.ignored] == ["pncc_code.npy"]
    assert_is_the_published_set(installed_weights(tmp_path / "root"))


def test_one_after_the_other(originals: Path, tmp_path: Path) -> None:
    source, root = originals / "3ddfa", tmp_path / "root"
    for paths in (
        [source / "models" / "phase1_wpdc_vdc.pth.tar"],
        [source / "train.configs"],
        [source / "visualize" / "tri.mat", originals / "latest_net_G.pth"],
    ):
        with pytest.raises(WeightsError, match="lacks model files"):
            installed_weights(root)
        import_weights(paths, root, allow_modified=True)
    assert_is_the_published_set(installed_weights(root))


def test_content_counts_not_the_name(originals: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    found = [
        f for f in originals.rglob("*") if f.suffix in (".npy", ".pkl", ".mat", ".pth", ".tar")
    ]
    for index, file in enumerate(sorted(found)):
        (renamed / f"file{index}").write_bytes(file.read_bytes())
    import_weights([renamed], tmp_path / "root")
    assert_is_the_published_set(installed_weights(tmp_path / "root"))


def test_copies_of_one_file_are_one_file(originals: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy of latest_net_G.pth"
    copy.write_bytes((originals / "latest_net_G.pth").read_bytes())
    report = import_weights([originals / "latest_net_G.pth", copy], tmp_path / "root")
    assert list(report.installed) == [Component.GENERATOR]


def test_different_files_for_one_place(originals: Path, tmp_path: Path) -> None:
    other = tmp_path / "iter_net_G.pth"
    torch.save(files.generator_state(seed=1), other)
    with pytest.raises(
        WeightsError, match=r"different files with the generator: .*iter_net_G\.pth"
    ):
        import_weights([originals / "latest_net_G.pth", other], tmp_path / "root")
    assert digests(tmp_path / "root") == {}


def test_part_of_the_face_model(originals: Path, tmp_path: Path) -> None:
    configs = originals / "3ddfa" / "train.configs"
    with pytest.raises(WeightsError, match=r"u_exp\.npy.*keypoints_sim\.npy did not come with it"):
        import_weights(
            [configs / "u_shp.npy", configs / "w_shp_sim.npy", configs / "w_exp_sim.npy"],
            tmp_path / "root",
            allow_modified=True,
        )


def test_alignment_vertices_of_a_large_mesh_are_the_published_ones(tmp_path: Path) -> None:
    source = files.write_3ddfa(tmp_path / "3ddfa", vertex_count=11_745)
    report = import_weights([source / "train.configs"], tmp_path / "root", allow_modified=True)
    arrays = load_file(component_path(tmp_path / "root", Component.MODEL))
    assert tuple(arrays["alignment_vertices"]) == PUBLISHED_ALIGNMENT_VERTICES
    assert report.notes == []


def test_second_generation(originals: Path, tmp_path: Path) -> None:
    source, root = files.write_3ddfa_v2(tmp_path / "3ddfa_v2"), tmp_path / "root"
    report = import_weights([source, originals / "latest_net_G.pth"], root)
    assert report.notes == []
    weights = installed_weights(root)
    assert weights.convention is PixelConvention.TDDFA_V2
    kept = np.load(source / "indices.npy")
    assert tuple(kept[weights.model.alignment_vertices]) == PUBLISHED_ALIGNMENT_VERTICES
    np.testing.assert_array_equal(weights.model.faces, files.faces_array())
    np.testing.assert_array_equal(weights.model.mean, files.model_arrays()["u_shp"].ravel())
    assert weights.model.shape_basis.shape == (3 * files.VERTEX_COUNT, 40)
    expected = from_checkpoint(files.network_state())
    assert torch.equal(weights.network["fc.bias"], expected["fc.bias"])


def test_second_generation_without_the_map_of_vertices(tmp_path: Path) -> None:
    source = files.write_3ddfa_v2(tmp_path / "3ddfa_v2")
    (source / "indices.npy").unlink()
    report = import_weights([source], tmp_path / "root")
    assert len(report.notes) == 1
    assert "indices.npy of 3DDFA_V2 was not given" in report.notes[0]
    arrays = load_file(component_path(tmp_path / "root", Component.MODEL))
    expected = alignment_vertices_of(arrays["mean"], arrays["keypoints"])
    np.testing.assert_array_equal(arrays["alignment_vertices"], expected)


def test_alignment_vertices_are_those_nearest_to_the_landmarks() -> None:
    vertices = np.random.default_rng(0).normal(size=(100, 3))
    keypoints = np.arange(20, 88)
    found = alignment_vertices_of(vertices.ravel(), keypoints)
    for eye, first in ((0, 36), (1, 42)):
        centre = sum(vertices[20 + first + k] for k in range(6)) / 6
        distances = [float(np.linalg.norm(vertex - centre)) for vertex in vertices]
        assert distances[found[eye]] == min(distances)
    assert found[2:].tolist() == [50, 68, 74]


def test_wrong_md5(originals: Path, tmp_path: Path) -> None:
    path = originals / "3ddfa" / "train.configs" / "w_shp_sim.npy"
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(WeightsError) as caught:
        import_weights([originals], tmp_path / "root")
    assert "phase1_wpdc_vdc.pth.tar has the MD5" in str(caught.value)
    with pytest.raises(WeightsError) as caught:
        import_weights([path], tmp_path / "root")
    for part in (str(path), md5, "74d41d465580924456defd99401cfcdd", "--allow-modified"):
        assert part in str(caught.value)
    assert digests(tmp_path / "root") == {}


def test_right_md5(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, known in KNOWN_FILES.items():
        for path in originals.rglob(name):
            md5 = hashlib.md5(path.read_bytes()).hexdigest()
            digits = len(known.md5 or "")
            monkeypatch.setitem(KNOWN_FILES, name, replace(known, md5=md5[:digits] or None))
    import_weights([originals], tmp_path / "root")
    assert_is_the_published_set(installed_weights(tmp_path / "root"))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("w_shp_sim.npy", np.zeros((900, 39), np.float32), "does not hold the shape modes"),
        ("w_shp_sim.npy", np.zeros((897, 40), np.float32), r"shape_basis is .*\(897, 40\)"),
        ("w_exp_sim.npy", np.full((900, 10), np.nan, np.float32), "not finite"),
        ("keypoints_sim.npy", np.arange(205), "does not hold the landmark vertices"),
        ("keypoints_sim.npy", np.arange(204) + 1, "not x, y and z of one vertex"),
        ("keypoints_sim.npy", np.arange(204) + 3000, "landmarks are vertices 1000 to 1067"),
    ],
)
def test_wrong_array(name: str, array: NDArray[np.generic], message: str, tmp_path: Path) -> None:
    source = files.write_3ddfa(tmp_path / "3ddfa")
    np.save(source / "train.configs" / name, array)
    with pytest.raises(WeightsError, match=message) as caught:
        import_weights([source], tmp_path / "root", allow_modified=True)
    assert name in str(caught.value)
    assert digests(tmp_path / "root") == {}


def test_triangles_of_another_mesh(tmp_path: Path) -> None:
    source = files.write_3ddfa(tmp_path / "3ddfa")
    larger = files.write_3ddfa(tmp_path / "larger", vertex_count=400)
    (larger / "visualize" / "tri.mat").replace(source / "visualize" / "tri.mat")
    with pytest.raises(WeightsError, match=r"tri\.mat: faces names vertices .*vertices 0 to 299"):
        import_weights([source], tmp_path / "root", allow_modified=True)


def test_wrong_checkpoints(tmp_path: Path) -> None:
    root = tmp_path / "root"
    generator = files.generator_state()
    torch.save({**generator, "final_layer.1.bias": torch.zeros(4)}, tmp_path / "g.pth")
    with pytest.raises(WeightsError, match=r"g\.pth: .*final_layer\.1\.bias \(4,\), not \(3,\)"):
        import_weights([tmp_path / "g.pth"], root)
    generator.pop("upsample_layers.0.0.weight_u")
    torch.save(generator, tmp_path / "g.pth")
    with pytest.raises(
        WeightsError, match=r"g\.pth: .*1 missing \(upsample_layers\.0\.0\.weight_u\)"
    ):
        import_weights([tmp_path / "g.pth"], root)
    network = files.network_state()
    network.pop("dw6.bn_dw.bias")
    torch.save({"state_dict": network}, tmp_path / "n.pth")
    with pytest.raises(WeightsError, match=r"n\.pth: the network lacks dw6\.bn_dw\.bias"):
        import_weights([tmp_path / "n.pth"], root)
    assert digests(root) == {}


def test_paths_without_model_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(WeightsError, match=r"nowhere does not exist"):
        import_weights([tmp_path / "nowhere"], root)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(WeightsError, match=r"notes\.txt holds nothing that a pipeline needs"):
        import_weights([tmp_path / "notes.txt"], root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="none of the given paths"):
        import_weights([tmp_path / "empty"], root)
    (tmp_path / "tri.mat").write_text("")
    with pytest.raises(WeightsError, match=r"tri\.mat does not hold the triangles"):
        import_weights([tmp_path / "tri.mat"], root, allow_modified=True)


def test_failed_write_leaves_what_was_there(
    own_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(own_copy)
    save, calls = store._save, []

    def full_disk(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        save(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "_save", full_disk)
    source = files.write_3ddfa(tmp_path / "3ddfa", vertex_count=400)
    with pytest.raises(WeightsError, match="No space left on device"):
        import_weights([source], own_copy, allow_modified=True)
    assert digests(own_copy) == before


@pytest.mark.parametrize("component", list(Component))
def test_damaged_installed_file(component: Component, own_copy: Path) -> None:
    path = component_path(own_copy, component)
    content = path.read_bytes()
    for size in (0, 5, 200, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError, match="is damaged .* install it again") as caught:
            installed_weights(own_copy)
        assert str(path) in str(caught.value)
        states = {state.component: state.fault for state in weights_status(own_copy)}
        assert "is damaged" in (states.pop(component) or "")
        assert set(states.values()) == {None}
    path.unlink()
    with pytest.raises(WeightsError, match=path.name):
        installed_weights(own_copy)


@pytest.mark.parametrize("component", list(Component))
def test_installed_file_of_wrong_content(component: Component, own_copy: Path) -> None:
    path = component_path(own_copy, component)
    layout = "" if component is Component.GENERATOR else "3ddfa"
    for arrays in (
        {},
        {"mean": np.zeros(3, np.float32)},
        {"faces": np.zeros((2, 3))},
        {"faces": np.zeros((0, 3), np.int32)},
    ):
        save_file(dict(arrays), path, {"opendr_facerot": json.dumps({"layout": layout})})
        with pytest.raises(WeightsError, match="facerot weights import") as caught:
            installed_weights(own_copy)
        assert str(path) in str(caught.value)


def test_file_of_unknown_origin(own_copy: Path) -> None:
    path = component_path(own_copy, Component.WHITENING)
    save_file(load_file(path), path)
    with pytest.raises(WeightsError, match="is damaged"):
        installed_weights(own_copy)


def test_origins_that_do_not_go_together(own_copy: Path, tmp_path: Path) -> None:
    second = files.write_3ddfa_v2(tmp_path / "3ddfa_v2")
    import_weights([second / "mb1_120x120.pth"], own_copy)
    with pytest.raises(WeightsError, match="network is of 3ddfa_v2 but the whitening of 3ddfa"):
        installed_weights(own_copy)
    import_weights([second / "param_mean_std_62d_120x120.pkl"], own_copy)
    assert installed_weights(own_copy).convention is PixelConvention.TDDFA_V2
    import_weights([second / "tri.pkl"], own_copy)
    with pytest.raises(WeightsError, match="model is of 3ddfa but the triangles of 3ddfa_v2"):
        installed_weights(own_copy)


def test_file_in_place_of_the_folder(originals: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a file: install it with 'facerot weights import"):
        installed_weights(originals / "latest_net_G.pth")


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("FACEROT_WEIGHTS", raising=False)
    assert weights_root() == tmp_path / ".local/share/opendr_facerot"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert weights_root() == tmp_path / ".local/share/opendr_facerot"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert weights_root() == tmp_path / "data/opendr_facerot"
    monkeypatch.setenv("FACEROT_WEIGHTS", "~/weights")
    assert weights_root() == tmp_path / "weights"
    assert weights_root(tmp_path / "given") == tmp_path / "given"


def test_command_line(originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_weights_parser(parser)
    root = str(tmp_path / "root")

    def run(*arguments: str) -> str:
        options = parser.parse_args([*arguments, "--dest", root])
        assert options.run(options) == 0
        return capsys.readouterr().out

    listing = run("list")
    assert "head: ready" in listing
    assert "rotate_and_render: not ready" in listing
    assert "generator: missing (CC-BY-4.0)\n    import latest_net_G.pth in" in listing
    assert "morphable model: missing (Basel Face Model: research only" in listing
    said = run("import", str(originals), "--allow-modified")
    assert "installed 3DDFA network from phase1_wpdc_vdc.pth.tar" in said
    assert "pncc_code.npy" in said.split("not needed: ")[1].splitlines()[0]
    assert "rotate_and_render: ready" in run("list")
    assert run("list") == f"{status_text(tmp_path / 'root')}\n"


def test_looking_at_weights_does_not_import_torch() -> None:
    code = (
        "import sys; from opendr_facerot.weights import cli, installed, importing;"
        "installed.weights_status('/nonexistent'); sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_hidden_folders_are_not_searched(originals: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "clone" / ".git"
    hidden.mkdir(parents=True)
    (hidden / "latest_net_G.pth").write_bytes((originals / "latest_net_G.pth").read_bytes())
    with pytest.raises(WeightsError, match="none of the given paths"):
        import_weights([tmp_path / "clone"], tmp_path / "root")
    assert importing.import_weights([hidden], tmp_path / "root").installed
