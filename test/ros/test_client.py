"""The executable facerot_client against a real node, and what it reads from messages."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from graph import Graph, NodeProcess
from numpy.typing import NDArray
from PIL import Image as PillowImage
from squares import picture, view_colour
from std_msgs.msg import Header

from opendr_facerot.errors import ImageError
from opendr_facerot.imaging import read_image, write_image
from opendr_facerot.ros.client_messages import rotated_face, set_views
from opendr_facerot.ros.images import image_message
from opendr_facerot.views import View
from opendr_facerot_interfaces.msg import RotatedFace
from opendr_facerot_interfaces.srv import RotateFace

NODE = "/shared/facerot"
PATIENCE = 60


def start_client(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "opendr_facerot.ros.client", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_client(environment: dict[str, str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, what was printed, and what was complained of."""
    with start_client(environment, *arguments) as process:
        output, complaint = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in complaint, complaint
    return process.returncode, output, complaint


@pytest.fixture
def photo(tmp_path: Path) -> Callable[[NDArray[np.uint8]], Path]:
    """Write a picture as the file me.png."""

    def write(image: NDArray[np.uint8]) -> Path:
        write_image(tmp_path / "me.png", image)
        return tmp_path / "me.png"

    return write


def degrees_of(path: Path) -> tuple[float, float]:
    match = re.search(r"yaw([+-].+)_pitch([+-].+)\.png", path.name)
    assert match
    return float(match[1]), float(match[2])


def view_message(yaw: float, pitch: float, pixels: NDArray[np.uint8]) -> RotatedFace:
    return RotatedFace(
        yaw=yaw, pitch=pitch, applied_yaw=0.5, applied_pitch=0.25, applied_roll=-0.125,
        seen_fraction=0.75, image=image_message(pixels, Header()),
    )  # fmt: skip


@pytest.mark.parametrize("degrees", [-90.0, -30.0, -12.5, 0.0, 0.1, 17.03, 45.0, 89.999])
def test_angles_come_back_as_they_were_typed(degrees: float) -> None:
    message = view_message(math.radians(degrees), math.nan, picture())
    message.yaw = float(np.float32(message.yaw))  # as it is transported
    view = rotated_face(message).view
    assert view == View(math.radians(degrees), None)


def test_views_survive_the_way_there_and_back() -> None:
    views = [View(0.5, None), View(None, -0.25), View(0.0, 1.0)]
    request = RotateFace.Request(grid=True)
    set_views(request, views)
    assert not request.grid
    assert [None if math.isnan(angle) else angle for angle in request.yaw] == [0.5, None, 0.0]
    assert [None if math.isnan(angle) else angle for angle in request.pitch] == [None, -0.25, 1.0]


def test_transparent_views_keep_their_coverage() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 17, 4), np.uint8)
    rotated = rotated_face(view_message(0.0, 0.0, pixels))
    assert rotated.alpha is not None
    assert np.array_equal(np.dstack([rotated.image, rotated.alpha]), pixels)
    assert (rotated.yaw, rotated.pitch, rotated.roll) == (0.5, 0.25, -0.125)
    assert rotated.seen_fraction == 0.75
    assert rotated_face(view_message(0.0, 0.0, pixels[..., :3])).alpha is None


def test_damaged_view_is_refused() -> None:
    message = view_message(0.0, 0.0, picture())
    message.image.step = 1
    with pytest.raises(ImageError, match="step"):
        rotated_face(message)


@pytest.mark.slow
@pytest.mark.parametrize("action", [(), ("--action",)])
def test_views_of_a_photo_are_written(
    shared: Graph,
    node_environment: dict[str, str],
    photo: Callable[[NDArray[np.uint8]], Path],
    tmp_path: Path,
    action: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    status, output, complaint = run_client(
        node_environment, "--node", NODE, "--image", photo(picture((50, 30))), *action,
        "--yaw-deg", -12.25, 40, "--pitch-deg", -10, 10, "--grid", "-o", out,
    )  # fmt: skip
    assert (status, complaint) == (0, "")
    names = {
        f"me_face{face}_yaw{yaw}_pitch{pitch}.png"
        for face in (0, 1)
        for yaw in ("-12.25", "+40")
        for pitch in ("-10", "+10")
    }
    assert {path.name for path in out.iterdir()} == names
    assert {Path(line) for line in output.splitlines()} == {out / name for name in names}
    for path in out.iterdir():
        colours = {tuple(c) for c in read_image(path).reshape(-1, 3).tolist()}
        assert colours == {view_colour(*np.radians(degrees_of(path)))}


@pytest.mark.slow
def test_latest_frame_listed_and_the_largest_face_only(
    shared: Graph, node_environment: dict[str, str]
) -> None:
    shared.connect()  # whose last frames are blank
    shared.publish(picture((50, 30)))
    shared.wait(lambda: shared.rotate().success, "the frame to be the latest")
    arguments = ("--node", "facerot", "--max-faces", 1, "-y", "keep", 30)
    status, output, _ = run_client(
        node_environment, *arguments, "--ros-args", "-r", "__ns:=/shared"
    )
    assert status == 0
    assert output.splitlines() == [
        f"frame face0  yaw {yaw}  pitch 0°  256x256 pixels, 50% of the head seen in the photo"
        for yaw in ("kept", "+30°")
    ]


@pytest.mark.slow
def test_views_of_the_action_are_written_as_they_come(
    shared: Graph,
    node_environment: dict[str, str],
    photo: Callable[[NDArray[np.uint8]], Path],
    tmp_path: Path,
) -> None:
    slow = photo(picture(slow_views=0.2))
    arguments = ("--node", NODE, "--image", slow, "--action", "-o", tmp_path / "out")
    yaws = ("--yaw-deg", *range(-60, 61, 2))
    before = shared.statistics()
    with start_client(node_environment, *arguments, *yaws) as client:
        assert client.stdout
        assert client.stdout.readline().endswith("_yaw-60_pitch+00.png\n")
        client.send_signal(signal.SIGINT)
        _, complaint = client.communicate(timeout=PATIENCE)
    assert (client.returncode, complaint) == (130, "")
    assert 1 <= len(list((tmp_path / "out").iterdir())) < 30
    # The goal was cancelled: the worker is free for the next.
    started = time.monotonic()
    assert shared.rotate(picture()).success
    assert time.monotonic() - started < 5.0
    assert shared.statistics().requests == before.requests + 2


@pytest.mark.slow
def test_watching_until_enough_has_come(
    shared: Graph, node_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--node", NODE, "--watch", 3, "-o", tmp_path / "out")
    with (
        start_client(node_environment, *arguments) as client,
        shared.stream([picture((50, 30))], rate=10.0),
    ):
        output, complaint = client.communicate(timeout=PATIENCE)
    assert (client.returncode, complaint) == (0, "")
    stamps = [re.search(r"frame(\d+)\.000000005_face(\d)_", line) for line in output.splitlines()]
    found = [(int(match[1]), int(match[2])) for match in stamps if match]
    first = found[0][0]
    views = 3  # of each face, by default
    faces = found[::views]
    assert len(found) == 3 * views
    assert [face for _, face in faces] == [0, 1, 0]
    assert [stamp == first for stamp, _ in faces] == [True, True, False]
    written = PillowImage.open(next((tmp_path / "out").glob("*_face0_yaw+30_*")))
    assert written.getpixel((5, 5)) == view_colour(math.radians(30), 0.0)


@pytest.mark.slow
def test_watching_says_what_is_missing_and_ends_with_an_interrupt(
    start_node: Callable[..., NodeProcess], node_environment: dict[str, str]
) -> None:
    start_node("-r", "__ns:=/idle", "-p", "pipeline:=squares")
    arguments = ("--node", "/idle/facerot", "--watch", "--timeout", 0.5)
    with start_client(node_environment, *arguments) as client:
        assert client.stderr
        assert "/idle/facerot has received no frame" in client.stderr.readline()
        client.send_signal(signal.SIGINT)
        _, complaint = client.communicate(timeout=PATIENCE)
    assert client.returncode == 0
    assert "Traceback" not in complaint


@pytest.mark.slow
def test_node_that_is_not_there_disabled_or_not_active(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    node_environment: dict[str, str],
) -> None:
    start_node("-r", "__ns:=/asleep", "-p", "pipeline:=squares", "-p", "autostart:=false")
    client = connect("/asleep")
    assert client.state() == "unconfigured"

    def refusal() -> str:
        """Of a client that has found the node, which may take longer on a busy machine."""
        complaint = missing = "there is no node /asleep/facerot"
        while missing in complaint:
            status, _, complaint = run_client(
                node_environment, "--node", "/asleep/facerot", "--wait", 3
            )
            assert status == 3
        return complaint

    for state, told in (
        ("configure", "is unconfigured: activate it (ros2 lifecycle set /asleep/facerot configure"),
        ("activate", "is inactive: activate it (ros2 lifecycle set /asleep/facerot activate)"),
    ):
        assert told in refusal()
        assert client.change_state(state)

    assert client.enable(False)
    assert "/asleep/facerot is disabled: enable it (ros2 service call" in refusal()

    status, _, complaint = run_client(node_environment, "--node", "/nobody", "--wait", 8)
    assert status == 3
    assert "there is no node /nobody in ROS domain" in complaint
    assert "give its name with --node: " in complaint
    assert "/asleep/facerot" in complaint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "arguments", "status", "told"),
    [
        (picture(()), (), 1, "no green square"),
        (picture(raises=RuntimeError), (), 3, "the picture says"),
        (picture(slow_fit=2.0), ("--timeout", 0.5), 3, "gave no answer within 0.5 s"),
        (picture(slow_fit=2.0), ("--timeout", 0.5, "--action"), 3, "gave no answer within 0.5 s"),
        (picture(()), ("--action",), 1, "no green square"),
        (picture(), ("-y", *range(40), "-p", *range(40), "--grid"), 2, "1600 views"),
    ],
)  # fmt: skip
def test_reasons_of_the_node(
    shared: Graph,
    node_environment: dict[str, str],
    photo: Callable[[NDArray[np.uint8]], Path],
    image: NDArray[np.uint8],
    arguments: tuple[object, ...],
    status: int,
    told: str,
) -> None:
    code, output, complaint = run_client(
        node_environment, "--node", NODE, "--image", photo(image), *arguments
    )
    assert (code, output) == (status, "")
    assert told in complaint
    assert complaint.startswith("facerot_client: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--yaw-deg", "100"), 2, "yaw 1.7453 rad (100.0°) is outside"),
        (("--image", "nothing.png"), 2, "cannot read nothing.png"),
        (("--image", "a.png", "--watch"), 2, "not allowed with argument"),
        (("--wait", "0"), 2, "0 is not a positive number"),
        (("-o", "/dev/null/out"), 2, "cannot make the folder /dev/null/out"),
        (("--show",), 3, "no window can be opened"),
    ],
)
def test_unusable_arguments(
    node_environment: dict[str, str], arguments: tuple[str, ...], status: int, told: str
) -> None:
    environment = {k: v for k, v in node_environment.items() if k != "DISPLAY"}
    code, output, complaint = run_client(environment, *arguments)
    assert (code, output) == (status, "")
    assert told in complaint
