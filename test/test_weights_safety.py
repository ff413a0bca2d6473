"""Files that try tricks: refused with the reason, with nothing run and nothing written."""

from __future__ import annotations

import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import published_files as files
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from opendr_facerot.errors import WeightsError
from opendr_facerot.weights import archives
from opendr_facerot.weights.archives import name_fault
from opendr_facerot.weights.importing import import_weights
from opendr_facerot.weights.safe_pickle import (
    DamagedPickleError,
    UnsafePickleError,
    load_arrays,
)

SIGNATURE = f"{os.system.__module__}.system"  # posix.system, or nt.system


class Command:
    """Pickles to a program that creates a file when it is loaded."""

    def __init__(self, evidence: Path) -> None:
        self.command = f"echo run > {evidence}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def as_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


def as_old_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=0))


def as_checkpoint(path: Path, content: object) -> None:
    torch.save(content, path)


def as_old_checkpoint(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def written(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name != "rotate_and_render"]


def refuse(path: Path, root: Path, message: str) -> str:
    """Check that an import fails with a message that names the file, and writes nothing."""
    with pytest.raises(WeightsError, match=message) as caught:
        import_weights([path], root, allow_modified=True)
    assert str(path) in str(caught.value)
    assert written(root) == []
    return str(caught.value)


@pytest.mark.parametrize("save", [as_pickle, as_old_pickle, as_checkpoint, as_old_checkpoint])
@pytest.mark.parametrize("name", ["param_whitening.pkl", "latest_net_G.pth", "x.pth.tar"])
@pytest.mark.parametrize("packed", [False, True])
def test_file_with_a_program(
    save: Callable[[Path, object], None], name: str, packed: bool, tmp_path: Path
) -> None:
    evidence, path = tmp_path / "evidence", tmp_path / "files" / name
    path.parent.mkdir()
    save(path, {"param_mean": torch.zeros(62), "extra": Command(evidence)})
    target = files.zip_folder(path.parent, tmp_path / "some.zip") if packed else path
    message = refuse(target, tmp_path / "root", "is refused: it asks to run")
    assert name in message
    assert SIGNATURE in message or "torch" in message  # the first thing that it asks for
    assert not evidence.exists()


def test_the_program_is_real(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Command(tmp_path / "evidence")))
    assert (tmp_path / "evidence").exists()


def test_folder_with_a_program_beside_good_files(tmp_path: Path) -> None:
    source = files.write_3ddfa(tmp_path / "3ddfa")
    as_pickle(source / "train.configs" / "zz.pkl", Command(tmp_path / "evidence"))
    with pytest.raises(WeightsError, match=r"zz\.pkl is refused"):
        import_weights([source], tmp_path / "root", allow_modified=True)
    assert written(tmp_path / "root") == []
    assert not (tmp_path / "evidence").exists()


def archive_with(path: Path, member: zipfile.ZipInfo | str, content: bytes = b"abc") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.configs/u_shp.npy", b"first")
        archive.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/etc/cron.d/job", "an absolute path"),
        ("../outside.npy", "leaves the archive's folder"),
        ("models/../../outside.npy", "leaves the archive's folder"),
        ("models\\..\\..\\outside.npy", "leaves the archive's folder"),
        ("C:\\outside.npy", "a drive letter"),
        ("\\\\server\\share", "an absolute path"),
        ("a\nb.npy", "an unprintable name"),
    ],
)
def test_zip_that_points_outside(name: str, fault: str, tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "bad.zip", name)
    message = refuse(archive, tmp_path / "inner" / "root", fault)
    assert repr(name) in message
    assert not (tmp_path / "outside.npy").exists()


def test_zip_with_a_symbolic_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("models/link.npy")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = archive_with(tmp_path / "bad.zip", link, b"/etc/passwd")
    refuse(archive, tmp_path / "root", r"'models/link\.npy' is a symbolic link")


def test_zip_with_a_pipe(tmp_path: Path) -> None:
    pipe = zipfile.ZipInfo("pipe.npy")
    pipe.external_attr = (stat.S_IFIFO | 0o777) << 16
    refuse(archive_with(tmp_path / "bad.zip", pipe), tmp_path / "root", "a device or pipe")


def test_zip_bomb(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "bomb.zip", "w_shp_sim.npy", bytes(20 * 2**20))
    refuse(archive, tmp_path / "root", r"'w_shp_sim\.npy' is 20 MiB packed \d+ to 1")


def test_zip_bomb_in_a_zip(tmp_path: Path) -> None:
    bomb = archive_with(tmp_path / "bomb.zip", "w_shp_sim.npy", bytes(20 * 2**20))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(bomb, "checkpoints/ckpt_and_bfm.zip")
    message = refuse(tmp_path / "outer.zip", tmp_path / "root", "20 MiB packed")
    assert "checkpoints/ckpt_and_bfm.zip" in message


def test_zip_of_unreasonable_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).bytes(3000)
    archive = archive_with(tmp_path / "large.zip", "a.npy", noise)
    monkeypatch.setattr(archives, "MAX_BYTES", 3004)
    refuse(archive, tmp_path / "root", "large.zip unpacks to")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    refuse(archive, tmp_path / "root", "has 2 members")


def test_zip_in_a_zip_in_a_zip(tmp_path: Path) -> None:
    inner = archive_with(tmp_path / "0.zip", "a.npy")
    for depth in range(1, 5):
        outer = tmp_path / f"{depth}.zip"
        with zipfile.ZipFile(outer, "w") as archive:
            archive.write(inner, inner.name)
        inner = outer
    refuse(inner, tmp_path / "root", "an archive in more than 3 others")


def test_zip_with_a_name_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = archive_with(tmp_path / "bad.zip", "train.configs/u_shp.npy")
    refuse(archive, tmp_path / "root", r"'train\.configs/u_shp\.npy' is there twice")


def test_encrypted_zip(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "secret.zip", "a.npy")
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 8] |= 1
    archive.write_bytes(content)
    refuse(archive, tmp_path / "root", "is encrypted")


def test_damaged_zip(tmp_path: Path) -> None:
    source = files.write_3ddfa(tmp_path / "3ddfa")
    archive = files.zip_folder(source, tmp_path / "ckpt_and_bfm.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    refuse(archive, tmp_path / "root", "is a damaged zip file")
    damaged = bytearray(content)
    start = content.index(b"u_shp.npy")
    damaged[start + 300 : start + 400] = bytes(100)
    archive.write_bytes(damaged)
    message = refuse(archive, tmp_path / "root", "is damaged")
    assert "train.configs/u_shp.npy" in message


@pytest.mark.parametrize("name", ["phase1_wpdc_vdc.pth.tar", "u_shp.npy", "param_whitening.pkl"])
def test_truncated_file(name: str, tmp_path: Path) -> None:
    (path,) = files.write_3ddfa(tmp_path / "3ddfa").rglob(name)
    content = path.read_bytes()
    for size in (len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refuse(path, tmp_path / "root", "damaged|no readable NumPy array")


def test_truncated_generator(tmp_path: Path) -> None:
    path = files.write_generator(tmp_path / "latest_net_G.pth")
    content = path.read_bytes()
    for size in (len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refuse(path, tmp_path / "root", "damaged")


def test_array_file_that_claims_too_much(tmp_path: Path) -> None:
    path = tmp_path / "u_shp.npy"
    np.save(path, np.zeros((3, 1), np.float32))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(3, 1), }" + b" " * 14, b"(300000000000000, 1), }"))
    assert path.read_bytes() != content
    refuse(path, tmp_path / "root", "no readable NumPy array")


def test_array_file_with_objects(tmp_path: Path) -> None:
    path = tmp_path / "u_shp.npy"
    np.save(path, np.array([Command(tmp_path / "evidence")], object), allow_pickle=True)
    refuse(path, tmp_path / "root", "no readable NumPy array")
    assert not (tmp_path / "evidence").exists()


def test_matlab_file_that_is_damaged(tmp_path: Path) -> None:
    (path,) = files.write_3ddfa(tmp_path / "3ddfa").rglob("tri.mat")
    path.write_bytes(path.read_bytes()[:400])
    refuse(path, tmp_path / "root", "damaged MATLAB file")


@given(
    st.lists(st.sampled_from(["..", ".", "a", "", "b.npy", "C:", "\\", "c\\..", "~"]), max_size=6)
)
def test_name_without_fault_stays_in_its_folder(parts: list[str]) -> None:
    name = "/".join(parts)
    if name_fault(name) is None:
        for separated in (name, name.replace("\\", "/")):
            inside = os.path.normpath(os.path.join("/folder", separated))
            assert inside == "/folder" or inside.startswith("/folder/")


@given(st.lists(st.from_regex(r"[a-z0-9_.-]{0,7}[a-z0-9]", fullmatch=True), min_size=1, max_size=5))
def test_plain_names_have_no_fault(parts: list[str]) -> None:
    assert name_fault("/".join(parts)) is None
    assert name_fault("/".join(["x", *parts, ""])) is None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.linspace(-1, 1, 62, dtype=np.float32),
        np.arange(24, dtype=">i4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(10, dtype=np.uint16)[::2],
        np.array([True, False]),
        np.array(7.0),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_come_out_of_pickles(array: NDArray[Any], protocol: int) -> None:
    alone = load_arrays(pickle.dumps(array, protocol))
    assert isinstance(alone, np.ndarray)
    np.testing.assert_array_equal(alone, array)
    assert alone.dtype == array.dtype.newbyteorder("=")
    content = load_arrays(pickle.dumps({"a": array, "epoch": 3, "b": [array]}, protocol))
    assert isinstance(content, dict)
    assert list(content) == ["a"]
    np.testing.assert_array_equal(content["a"], array)


def test_arrays_come_out_of_pickles_by_python_2() -> None:
    # pickle.dumps(numpy.array([1, 2], '<i2'), 2) under Python 2.7 and NumPy 1.16
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03"
        b"U\x01bq\x04\x87q\x05Rq\x06(K\x01K\x02\x85q\x07cnumpy\ndtype\nq\x08U\x02i2q\tK\x00K\x01"
        b"\x87q\nRq\x0b(K\x03U\x01<q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\rb\x89"
        b"U\x04\x01\x00\x02\x00q\x0etq\x0fb."
    )
    array = load_arrays(data)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int16
    assert array.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cbuiltins\neval\n(V1+1\ntR.", r"builtins\.eval"),
        (b"cnumpy\nload\n(Vx.npy\ntR.", r"numpy\.load"),
        (b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "_codecs.encode to 'rot13'"),
        (b"cnumpy\nndarray\n(I1000000000\ntR.", r"numpy\.ndarray"),
        (b"cnumpy\ndtype\n(VO\nI0\nI1\ntR.", "array of type 'O'"),
        (b"c_codecs\nencode\n(dVmake\nI1\nsb.", "change a function"),
        (b"coperator\nattrgetter\n(Vx\ntR.", r"operator\.attrgetter"),
    ],
)
def test_pickle_that_asks_for_more(data: bytes, message: str) -> None:
    with pytest.raises(UnsafePickleError, match=message):
        load_arrays(data)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.data())
def test_damaged_pickles_only_raise_what_is_declared(garbage: bytes, data: st.DataObject) -> None:
    good = pickle.dumps({"mean": np.arange(6.0)}, protocol=2)
    position = data.draw(st.integers(0, len(good)))
    for damaged in (garbage, good[:position] + garbage + good[position + len(garbage) :]):
        try:
            loaded = load_arrays(damaged)
        except (UnsafePickleError, DamagedPickleError):
            continue
        assert isinstance(loaded, np.ndarray | dict)
