"""What goes wrong on a robot: cameras, clocks, pipelines, clients, disks. The node goes on."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import io
import math
import signal
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus  # type: ignore[import-untyped]
from builtin_interfaces.msg import Time
from graph import PATIENCE, Graph, NodeProcess
from numpy.typing import NDArray
from PIL import Image as Picture
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped]
from sensor_msgs.msg import CompressedImage, Image
from squares import ERRORS, picture
from std_msgs.msg import Header
from test_action import MANY, Goal, wait_for_feedback

from opendr_facerot.ros.images import image_message
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

Code = RotateFace.Response
StartNode = Callable[..., NodeProcess]
MakeGraph = Callable[[str], Graph]
SQUARES = ("-p", "pipeline:=squares")
TERMINATED = 1 << (signal.SIGTERM - 1)  # its bit in the masks of /proc/<pid>/status


def count(client: Graph, key: str) -> int:
    return int(client.counts()[key])


def accounts(client: Graph) -> tuple[int, int]:
    """Frames received, and what has become of them."""
    counts = client.counts()
    ends = ("processed", "rejected", "failed", "dropped", "pending")
    return int(counts["frames received"]), sum(int(counts[f"frames {end}"]) for end in ends)


def turned(client: Graph, image: NDArray[np.uint8] | Image, stamp: int) -> RotatedFaceArray:
    """Publish a frame; returns its first face."""
    client.publish(image, stamp)

    def arrived() -> list[RotatedFaceArray]:
        return [face for face in client.faces if face.header.stamp.sec == stamp]

    client.wait(arrived, f"the face of frame {stamp}")
    return arrived()[0]


# Cameras


def test_camera_vanishes_and_returns(shared: Graph, connect: MakeGraph) -> None:
    shared.subscribe()
    for stamp in (1, 2, 3):
        camera = connect("/shared")
        camera.wait(lambda: camera.subscribers("image") > 0, "the node to be found")  # noqa: B023
        camera.publish(picture((30 + stamp,)), stamp)
        shared.wait(lambda: len(shared.faces) == stamp, "a face")  # noqa: B023
        camera.close()
        assert shared.faces[-1].roi.width == 30 + stamp
        assert shared.rotate().faces[0].header.stamp.sec == stamp
    received, ended = accounts(shared)
    assert received == ended


def test_frames_jump_in_size_and_encoding(shared: Graph) -> None:
    shared.subscribe()
    orders = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0]}
    sizes = [(320, 240), (1280, 720), (100, 80), (641, 481)]
    for stamp in range(1, 17):
        encoding, order = list(orders.items())[stamp % 4]
        pixels = picture((20 + stamp,), size=sizes[stamp // 4 % 4])[..., order]
        message = image_message(np.ascontiguousarray(pixels), Header())
        message.encoding = encoding
        if stamp % 8 == 5:  # and one whose data do not fit what it says
            shared.publish(Image(height=9, width=99, encoding="bayer_rggb8"), stamp=99)
        assert turned(shared, message, stamp).roi.width == 20 + stamp


def test_two_cameras_on_one_topic(shared: Graph, connect: MakeGraph) -> None:
    other = connect("/shared")
    other.wait(lambda: other.subscribers("image") > 0, "the node to be found")
    shared.subscribe()
    other.publish(picture((25,)), stamp=1001)
    shared.wait(lambda: shared.faces, "a face of the other camera")

    def seen(width: int) -> list[RotatedFaceArray]:
        return [face for face in shared.faces if face.roi.width == width]

    with (
        shared.stream([picture((40,))], rate=40.0),
        other.stream([picture((50,))], rate=40.0, first_stamp=1002),
    ):
        shared.wait(lambda: min(len(seen(40)), len(seen(50))) > 5, "faces of both cameras")
    for face in shared.faces[1:]:
        assert face.header.frame_id == f"camera{face.header.stamp.sec}"
        assert face.roi.width == (50 if face.header.stamp.sec > 1000 else 40)


def test_bytes_that_are_no_message(shared: Graph) -> None:
    """What the transport cannot decode never reaches the node; bad text is an encoding like any."""
    shared.subscribe()
    image = image_message(picture(), Header(frame_id="camera"))
    image.encoding = "~~~~"
    good = serialize_message(image)
    length = len(good) - len(image.data) - 4
    endless = good[:length] + b"\xff\xff\xff\x7f" + good[length + 4 :]
    camera = shared.node.create_publisher(Image, "image", 10)
    shared.wait(lambda: camera.get_subscription_count() > 0, "the node to be found")
    for raw in (good[:1000], good[:7], good[:4], endless, bytes(range(256)) * 20):
        camera.publish(raw)
    rejected = count(shared, "frames rejected")
    camera.publish(good.replace(b"~~~~", b"\xff\xfe\xc0\x80"))
    shared.wait(lambda: count(shared, "frames rejected") == rejected + 1, "the frame to be refused")
    assert "is not supported" in shared.counts()["last error"]
    assert turned(shared, picture((37,)), stamp=61).roi.width == 37


# Clocks


def test_clock_that_jumps(start_node: StartNode, connect: MakeGraph) -> None:
    start_node("-r", "__ns:=/clock", *SQUARES, "-p", "use_sim_time:=true")
    client = connect("/clock")
    client.connect()
    client.subscribe()
    clock = client.node.create_publisher(Clock, "/clock", 10)
    client.wait(lambda: clock.get_subscription_count() > 0, "the node to follow the clock")

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        client.wait(lambda: client.report() and client.report_stamp == seconds, "the new time")

    # No time yet: the stamp is ahead of it. A driver without a clock gives 0.
    turned(client, picture(), stamp=990)
    client.wait(lambda: count(client, "frames stamped ahead") == 1, "the stamp to be noticed")
    turned(client, picture(), stamp=0)
    assert "output age p50 [ms]" not in client.counts()

    set_clock(1000)
    turned(client, picture(), stamp=997)
    client.wait(lambda: client.report().message == "output is 3.0 s old", "the age")
    assert client.diagnostics[-1].level == b"\x01"
    # The clock stands still; reports go on all the same.
    seen = len(client.diagnostics)
    client.wait(lambda: len(client.diagnostics) >= seen + 2, "two reports")
    assert client.counts()["output age p99 [ms]"] == "3000.0"

    set_clock(0)
    turned(client, picture(), stamp=998)
    client.wait(lambda: "1 frames are stamped ahead" in client.report().message, "the warning")
    assert client.diagnostics[-1].level == b"\x01"
    set_clock(2000)
    turned(client, picture(), stamp=1999)
    client.wait(lambda: client.report().message == "active", "no warning")
    assert client.counts()["output age p50 [ms]"] == "2000.0"
    before_the_epoch = image_message(picture((45,)), Header())
    failed = count(client, "frames failed")
    assert turned(client, before_the_epoch, stamp=-7).roi.width == 45
    assert count(client, "frames failed") == failed


# Pipelines


@pytest.mark.parametrize("error", ERRORS)
def test_pipeline_raises(shared: Graph, error: type[BaseException]) -> None:
    shared.subscribe()
    failed = count(shared, "frames failed")
    shared.publish(picture(raises=error))
    shared.wait(lambda: count(shared, "frames failed") == failed + 1, "the failure")
    assert error.__name__ in shared.counts()["last error"]
    answer = shared.rotate(picture(raises=error))
    assert (answer.success, answer.error_code) == (False, Code.INTERNAL)
    assert "the picture says" in answer.message
    status, result = Goal(shared, picture(raises=error), [0.0]).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.INTERNAL)
    turned(shared, picture(), stamp=70)
    received, ended = accounts(shared)
    assert received == ended


def test_views_that_cannot_be_published(shared: Graph) -> None:
    shared.subscribe()
    failed = count(shared, "frames failed")
    shared.publish(picture(bad_views=True))
    shared.wait(lambda: count(shared, "frames failed") == failed + 1, "the failure")
    assert shared.rotate(picture(bad_views=True)).error_code == Code.INTERNAL
    status, result = Goal(shared, picture(bad_views=True), [0.0]).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.INTERNAL)
    turned(shared, picture(), stamp=71)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_pipeline_hangs(start_node: StartNode, connect: MakeGraph, number: signal.Signals) -> None:
    node = start_node("-r", f"__ns:=/hang{int(number)}", *SQUARES)
    client = connect(f"/hang{int(number)}")
    client.connect()
    client.subscribe()
    segments = node.shared_memory()
    assert segments
    client.publish(picture(hangs=True))
    client.wait(lambda: count(client, "frames pending") == 1, "the frame to be taken up")
    waiting = client.begin_rotate(picture())

    started = time.monotonic()
    assert client.change_state("deactivate")
    assert time.monotonic() - started < 2.0
    assert client.result(waiting).error_code == Code.NOT_ACTIVE
    received, ended = accounts(client)
    assert received == ended

    # Models in use cannot be freed, nor can the pipeline work again.
    assert not client.change_state("cleanup")
    assert client.state() == "inactive"
    assert "cannot clean up: the pipeline has not come to the end" in client.activity()
    assert not client.change_state("activate")
    assert "cannot activate: the pipeline has not come to the end" in client.activity()

    status, seconds = node.stop(number)
    assert (status, seconds < 2.0) == (0, True)
    assert "Traceback" not in node.log
    assert not [path for path in segments if path.exists()]


# Disks


def test_full_disk(
    node_environment: dict[str, str], tmp_path: Path, connect: MakeGraph, astronaut: Any
) -> None:
    """The log's folder and standard output are on full disks; the pipeline is the real one."""
    folder = tmp_path / "full"
    folder.mkdir()
    fill = f"mount -t tmpfs -o size=64k tmpfs {folder} && head -c 64k /dev/zero > {folder}/zeros"
    wrapper = ("unshare", "--mount", "--map-root-user", "sh", "-c", f'{fill}; exec "$@"', "sh")
    attempt = subprocess.run([*wrapper, "true"], capture_output=True, text=True)
    if attempt.returncode or attempt.stderr:
        pytest.skip(f"no file systems of one's own here: {attempt.stderr}")
    environment = {**node_environment, "ROS_LOG_DIR": str(folder)}
    node = NodeProcess(("-r", "__ns:=/full"), environment, Path("/dev/full"), wrapper)
    try:
        client = connect("/full")
        client.connect()
        answer = client.rotate(Image(encoding="what", width=99, height=99), yaw=[0.5])
        assert answer.error_code == Code.BAD_IMAGE
        client.subscribe()
        turned(client, astronaut, stamp=5)
        client.publish(Image(encoding="what", width=99, height=99))
        client.wait(lambda: count(client, "frames rejected") >= 1, "the warning to be logged")
        status, seconds = node.stop(signal.SIGINT)
        assert (status, seconds < 2.0) == (0, True)
    finally:
        node.end()


def test_log_that_cannot_be_written(
    node_environment: dict[str, str], tmp_path: Path, connect: MakeGraph
) -> None:
    environment = {**node_environment, "ROS_LOG_DIR": "/proc/none"}
    node = NodeProcess(("-r", "__ns:=/nolog", *SQUARES), environment, tmp_path / "node.log")
    try:
        client = connect("/nolog")
        client.connect()
        assert "no log file is written" in node.log
        assert client.rotate(picture()).success
    finally:
        node.end()


# Memory


def test_enormous_frames_take_no_memory(start_node: StartNode, connect: MakeGraph) -> None:
    node = start_node("-r", "__ns:=/huge", *SQUARES)
    client = connect("/huge")
    client.connect()
    client.subscribe()
    turned(client, picture(), stamp=3)
    before, peak_before = node.memory(), node.peak_memory()
    claims = Image(width=12_000, height=9_000, step=36_000, encoding="rgb8")
    claims.data.frombytes(bytes(1000))
    for k in range(20):
        client.publish(claims, stamp=100 + k)
        assert client.rotate(picture()).success
        answer = client.rotate(claims)
        assert answer.error_code == Code.BAD_IMAGE
        assert "108 megapixels" in answer.message
    assert count(client, "frames rejected") == 20
    assert turned(client, picture((44,)), stamp=4).roi.width == 44
    assert node.peak_memory() - peak_before < 50
    assert node.memory() - before < 20


def test_photos_of_100_megapixels_do_not_pile_up(start_node: StartNode, connect: MakeGraph) -> None:
    node = start_node("-r", "__ns:=/large", *SQUARES)
    client = connect("/large")
    client.connect()
    client.subscribe()
    turned(client, picture(), stamp=3)
    before = node.memory()
    real = Image(width=10_000, height=10_000, step=10_000, encoding="mono8")
    real.data.frombytes(bytes(10**8))
    memory = []
    for stamp in range(4, 12):
        answer = client.rotate(real)
        assert (answer.error_code, "100 megapixels" in answer.message) == (Code.BAD_IMAGE, True)
        assert turned(client, picture((44,)), stamp).roi.width == 44
        memory.append(node.memory())
    # The transport keeps a buffer of the size of its largest message, and no more.
    assert max(memory) - before < 250
    assert memory[-1] - max(memory[:3]) < 50


def test_compressed_bombs_are_not_decoded(start_node: StartNode, connect: MakeGraph) -> None:
    node = start_node("-r", "__ns:=/bomb", *SQUARES, "-p", "image_transport:=compressed")
    client = connect("/bomb")
    client.wait(lambda: client.state() == "active", "the node to be active")
    camera = client.node.create_publisher(CompressedImage, "/bomb/image/compressed", 10)
    client.wait(lambda: camera.get_subscription_count() > 0, "the node to subscribe")
    client.subscribe()
    peak_before = node.peak_memory()
    for k, bomb in enumerate((_png_bomb(), _jpeg_bomb())):
        message = CompressedImage(format="x")
        message.data.frombytes(bomb)
        camera.publish(message)
        client.wait(lambda: count(client, "frames rejected") == k + 1, "a refusal")  # noqa: B023
        assert "100 megapixels" in client.counts()["last error"]
    assert node.peak_memory() - peak_before < 20

    file = io.BytesIO()
    Picture.fromarray(picture((48,))).save(file, "PNG")
    message = CompressedImage(format="png")
    message.data.frombytes(file.getvalue())
    camera.publish(message)
    client.wait(lambda: client.faces, "a face")
    assert client.faces[0].roi.width == 48


def _png_bomb() -> bytes:
    """A PNG of 100 kB whose 10,000 x 10,000 black pixels would take 300 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(30_001 * 100)) for _ in range(100)) + rows.flush()
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _jpeg_bomb() -> bytes:
    """A JPEG that declares 10,000 x 10,000 pixels."""
    file = io.BytesIO()
    Picture.fromarray(picture()).save(file, "JPEG")
    data = bytearray(file.getvalue())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 10_000, 10_000)
    return bytes(data)


# Clients


@pytest.mark.parametrize(
    ("yaw", "pitch", "grid", "told"),
    [
        ([0.0] * 5000, [0.0], False, "5000 views"),
        ([0.0] * 1000, [0.0] * 1000, True, "1000000 views"),
        ([0.0] * 999, [0.0] * 998, False, "999 yaw and 998 pitch"),
        ([0.0, math.inf], [0.0], False, "inf"),
        ([0.0], [math.nan, 3e38], False, "pitch"),
    ],
)
def test_unreasonable_requests(
    shared: Graph, yaw: list[float], pitch: list[float], grid: bool, told: str
) -> None:
    started = time.monotonic()
    answer = shared.rotate(picture(), yaw, pitch, grid=grid)
    assert (answer.success, answer.error_code) == (False, Code.BAD_ANGLES)
    assert told in answer.message
    assert len(answer.message) < 500
    assert time.monotonic() - started < 2.0


def test_answers_larger_than_can_be_sent_are_refused(shared: Graph) -> None:
    assert shared.set_parameters(output_size=1024) == ""
    try:
        answer = shared.rotate(picture((40, 50, 60)), [0.0] * 900)
    finally:
        assert shared.set_parameters(output_size=256) == ""
    assert (answer.success, answer.error_code) == (False, Code.BAD_ANGLES)
    assert "2700 views of 1024x1024" in answer.message


def test_client_that_waits_inside_its_own_callback(shared: Graph, connect: MakeGraph) -> None:
    waiter = connect("/shared")
    answers: list[Any] = []

    def wait_for_answer(face: RotatedFaceArray) -> None:
        if answers:
            return
        answers.append(waiter.begin_rotate(picture((51,))))
        time.sleep(1.0)  # its executor has one thread, so no answer can come
        assert not answers[0].done()

    waiter.wait(waiter.rotate(picture()).success.__bool__, "the service to be found")
    waiter.node.create_subscription(RotatedFaceArray, "facerot/faces", wait_for_answer, 10)
    shared.subscribe()
    shared.publish(picture(), stamp=11)
    shared.wait(lambda: answers, "the nested call")
    assert shared.rotate(picture((29,))).faces[0].roi.width == 29
    turned(shared, picture((28,)), stamp=12)
    assert waiter.result(answers[0]).faces[0].roi.width == 51
    waiter.close()


def test_goal_of_a_client_that_is_gone(shared: Graph, connect: MakeGraph) -> None:
    client = connect("/shared")
    wait_for_feedback(client)
    goal = Goal(client, picture(slow_views=0.05), MANY)
    client.wait(lambda: goal.feedback, "the first view")
    client.close()
    assert shared.rotate(picture()).success
    # Its place in the queue becomes free when its last view is done.
    goals = [Goal(shared, picture(slow_views=0.05), MANY[:3]) for _ in range(3)]
    assert {goal.result()[0] for goal in goals} == {GoalStatus.STATUS_SUCCEEDED}
    last = [Goal(shared, picture(), [0.0]) for _ in range(4)]
    shared.wait(lambda: Goal(shared, picture(), [0.0]).result()[1].success, "a free place")
    assert all(goal.result()[1].error_code in (Code.NO_ERROR, Code.BUSY) for goal in last)


def test_cancelled_set_ends_within_one_view(shared: Graph) -> None:
    wait_for_feedback(shared)
    goal = Goal(shared, picture(slow_views=0.5), MANY)
    shared.wait(lambda: goal.feedback, "the first view")
    started = time.monotonic()
    shared.result(goal.handle.cancel_goal_async())
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert time.monotonic() - started < 1.0  # the rest of a view and not another one
    assert 1 <= len(result.faces[0].views) <= 2


def test_goal_for_a_node_that_is_not_active(shared: Graph) -> None:
    assert shared.change_state("deactivate")
    try:
        status, result = Goal(shared, picture(), [0.0]).result()
    finally:
        assert shared.change_state("activate")
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.NOT_ACTIVE)
    assert "activate it" in result.message


# Signals


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_while_the_node_starts(
    start_node: StartNode, delay: float, number: signal.Signals
) -> None:
    node = start_node("-r", f"__ns:=/start{int(number)}")
    deadline = time.monotonic() + PATIENCE
    while not int(node.status("SigCgt"), 16) & TERMINATED:  # Python itself is not up yet
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    assert node.is_running(), node.log
    segments = node.shared_memory()
    status, seconds = node.stop(number)
    assert (status, seconds < 2.0, node.log.count("Traceback")) == (0, True, 0), node.log
    assert not [path for path in segments if path.exists()]


def test_signal_during_a_set(start_node: StartNode, connect: MakeGraph) -> None:
    node = start_node("-r", "__ns:=/last", *SQUARES)
    client = connect("/last")
    client.connect()
    wait_for_feedback(client)
    goal = Goal(client, picture(slow_views=0.1), MANY)
    client.wait(lambda: goal.feedback, "the first view")
    segments = node.shared_memory()
    status, seconds = node.stop(signal.SIGTERM)
    assert (status, seconds < 2.0) == (0, True)
    assert "Traceback" not in node.log
    assert not [path for path in segments if path.exists()]
