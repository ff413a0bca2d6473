"""The demo: three processes, one photo."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from opendr_facerot.imaging import read_image, write_image

pytestmark = pytest.mark.slow

PHOTO = Path(__file__).parents[1] / "data" / "astronaut.png"


def start_demo(environment: dict[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "opendr_facerot.ros.demo", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run_demo(environment: dict[str, str], *arguments: str | Path) -> tuple[int, str]:
    with start_demo(environment, *arguments) as process:
        output, _ = process.communicate(timeout=150)
    return process.returncode, output


@pytest.fixture(scope="module")
def environment(node_environment: dict[str, str]) -> dict[str, str]:
    """Without what a user's shell lacks: the demo is to choose its domain and profile itself."""
    chosen_by_demo = (
        "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE",
    )  # fmt: skip
    return {k: v for k, v in node_environment.items() if k not in chosen_by_demo}


def test_demo_turns_the_astronaut(environment: dict[str, str], tmp_path: Path) -> None:
    status, output = run_demo(environment, "--photo", PHOTO, "-o", tmp_path / "out")
    assert status == 0, output
    angles = ["-60", "-45", "-30", "-15", "+00", "+15", "+30", "+45", "+60"]
    names = [f"astronaut_face0_yaw{angle}_pitch+00.png" for angle in angles]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"montage.png", *names}
    for name in ("montage.png", *names):
        assert f"written  {tmp_path / 'out' / name}\n" in output
    assert re.search(r"^frame    track0: 9 views in \d+\.\d\d s$", output, re.MULTILINE)
    assert re.search(r"^service  9 views, round trip \d+\.\d\d s$", output, re.MULTILINE)
    assert re.search(r"^stages   .*landmarks [\d.]+ ms, ", output, re.MULTILINE)

    views = [read_image(tmp_path / "out" / name) for name in names]
    assert {view.shape for view in views} == {(256, 256, 3)}
    montage = read_image(tmp_path / "out" / "montage.png")
    tiles = [montage[8:264, 272:528], montage[300:556, 1064:1320]]  # second of row 1, last of row 2
    assert np.array_equal(tiles[0], views[0])
    assert np.array_equal(tiles[1], views[8])
    for left, right in ((0, 8), (2, 6), (3, 5)):
        difference = np.abs(views[left].astype(int) - views[right][:, ::-1])
        assert difference.mean() > 5, "a view is the mirror image of its opposite"


def test_angles_and_size_of_the_user(environment: dict[str, str], tmp_path: Path) -> None:
    status, output = run_demo(
        environment, "--photo", PHOTO, "-o", tmp_path, "--yaw-deg", "-12.5", "40",
        "--pitch-deg", "-10", "10", "--size", "96",
    )  # fmt: skip
    assert status == 0, output
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"montage.png"} | {
        f"astronaut_face0_yaw{yaw}_pitch{pitch}.png"
        for yaw in ("-12.5", "+40")
        for pitch in ("-10", "+10")
    }
    assert read_image(tmp_path / "astronaut_face0_yaw+40_pitch-10.png").shape == (96, 96, 3)


def test_photo_without_a_face(environment: dict[str, str], tmp_path: Path) -> None:
    wall = tmp_path / "wall.png"
    write_image(wall, np.full((200, 200, 3), 127, np.uint8))
    status, output = run_demo(environment, "--photo", wall, "-o", tmp_path / "out")
    assert status == 1
    assert "demo: no face" in output
    assert "Traceback" not in output
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--photo", "nothing.png"), 2, "cannot read nothing.png"),
        (("--photo", PHOTO, "--yaw-deg", "100"), 2, "yaw 1.7453 rad (100.0°) is outside"),
        (("--photo", PHOTO, "--size", "7"), 3, "node ended with status 1"),
        (("--photo", PHOTO, "--pipeline", "cubes"), 3, "no pipeline 'cubes'"),
    ],
)
def test_reasons_of_failure(
    environment: dict[str, str],
    tmp_path: Path,
    arguments: tuple[str | Path, ...],
    status: int,
    told: str,
) -> None:
    code, output = run_demo(environment, *arguments, "-o", tmp_path)
    assert code == status, output
    assert told in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interrupted_demo_ends_its_processes(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    marked = {**environment, "FACEROT_TEST_MARK": str(tmp_path)}
    with start_demo(marked, "--photo", PHOTO, "-o", tmp_path) as demo:
        assert demo.stdout
        while not demo.stdout.readline().startswith("node "):
            assert demo.poll() is None
        assert len(_processes_marked(tmp_path)) == 3
        demo.send_signal(number)
        assert demo.wait(20) == status
    assert _processes_marked(tmp_path) == []


def _processes_marked(mark: Path) -> list[str]:
    """Command lines of the processes that have inherited a mark in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                environment = (process / "environ").read_bytes()
                if os.fsencode(f"FACEROT_TEST_MARK={mark}") in environment:
                    found.append((process / "cmdline").read_text())
            except OSError:  # ended meanwhile
                continue
    return found
