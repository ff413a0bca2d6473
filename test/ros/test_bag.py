"""Faces added to recordings, and the same recordings played to a live node."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

import io
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from graph import PATIENCE, Graph, NodeProcess
from numpy.typing import NDArray
from PIL import Image
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image as RosImage
from squares import SquaresRotator, picture, view_colour
from std_msgs.msg import Header

import opendr_facerot as facerot
from opendr_facerot import FittedFace, RotatorSettings, SettingsError, View
from opendr_facerot.bags.adding import BagReport, BagSettings, add_faces
from opendr_facerot.bags.errors import BagError
from opendr_facerot.bags.library import CAMERA_INFO, COMPRESSED_IMAGE, FACE, IMAGE, type_store
from opendr_facerot.bags.library import face_messages as library_messages
from opendr_facerot.cli import main
from opendr_facerot.ros.images import image_from_message
from opendr_facerot.ros.messages import face_message, montage_message
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot.ros.self_check import share_folder
from opendr_facerot.rotator import FaceTracker
from opendr_facerot_interfaces.msg import RotatedFaceArray

STORE = type_store()
STORE.register(get_types_from_msg("float64 volts\nstring cell", "robot_msgs/msg/Battery"))
TYPES = STORE.types
VIEWS = (View(math.radians(-30)), View(math.radians(45), math.radians(10)))
SECOND = 10**9
_ZERO = QosTime(0, 0)
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    3,
    QosReliability.BEST_EFFORT,
    QosDurability.TRANSIENT_LOCAL,
    QosTime(1, 5),
    _ZERO,
    QosLiveliness.AUTOMATIC,
    _ZERO,
    False,
)


class Record(NamedTuple):
    """One recorded message."""

    topic: str
    kind: str
    log_time: int
    data: bytes


def header(seconds: int) -> Any:
    """As :meth:`Graph.publish` makes it."""
    return TYPES["std_msgs/msg/Header"](
        stamp=TYPES["builtin_interfaces/msg/Time"](sec=seconds, nanosec=5),
        frame_id=f"camera{seconds}",
    )


def raw(pixels: NDArray[np.uint8], seconds: int, topic: str = "/camera/image_raw") -> Record:
    """A picture stamped ``seconds`` and recorded 0.25 s later."""
    message = library_messages(STORE).image(pixels, header(seconds))
    return record(message, IMAGE, seconds, topic)


def compressed(data: bytes, seconds: int, form: str) -> Record:
    message = TYPES[COMPRESSED_IMAGE](
        header=header(seconds), format=form, data=np.frombuffer(data, np.uint8)
    )
    return record(message, COMPRESSED_IMAGE, seconds, "/camera/image_raw/compressed")


def camera_info(fov: float, seconds: int, topic: str = "/camera/camera_info") -> Record:
    """The calibration of a camera with a vertical field of view in degrees."""
    focal_length = 120.0 / math.tan(math.radians(fov) / 2)
    k = [focal_length, 0, 160, 0, focal_length, 120, 0, 0, 1]
    message = CameraInfo(height=240, width=320, k=[float(v) for v in k])
    return Record(topic, CAMERA_INFO, _log_time(seconds), bytes(serialize_message(message)))


def record(message: Any, kind: str, seconds: int, topic: str) -> Record:
    return Record(topic, kind, _log_time(seconds), bytes(STORE.serialize_cdr(message, kind)))


def _log_time(seconds: int) -> int:
    return seconds * SECOND + SECOND // 4


def write_bag(
    path: Path,
    records: Sequence[Record],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """A recording in a folder."""
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    writer.set_custom_data("robot", "seven")
    with writer:
        topics: dict[str, Connection] = {}
        for topic, kind, log_time, data in records:
            if topic not in topics:
                topics[topic] = writer.add_connection(
                    topic, kind, typestore=STORE, offered_qos_profiles=[LATCHED]
                )
            writer.write(topics[topic], log_time, data)
    return path


def read_bag(path: Path) -> list[Record]:
    with Reader(path) as reader:
        return [Record(c.topic, c.msgtype, t, bytes(data)) for c, t, data in reader.messages()]


def faces_of(path: Path, topic: str = "/facerot/faces") -> list[RotatedFaceArray]:
    """The faces in a recording, read with ROS's own code."""
    return [
        deserialize_message(record.data, RotatedFaceArray)
        for record in read_bag(path)
        if record.topic == topic
    ]


def turn(source: Path, target: Path, **changes: Any) -> BagReport:
    """Add the squares of a recording."""
    rotator = changes.pop("rotator", None) or SquaresRotator(RotatorSettings(output_size=64))
    return add_faces(source, target, rotator, BagSettings(**{"views": VIEWS, **changes}))


def mixed_records() -> list[Record]:
    """Frames with two faces, one and none, among other topics; one of a type of somebody else's."""
    battery = TYPES["robot_msgs/msg/Battery"](volts=24.5, cell="left")
    text = TYPES["std_msgs/msg/String"](data="hello")
    return [
        record(text, "std_msgs/msg/String", 1, "/chatter"),
        camera_info(50, 2),
        raw(picture((40, 60)), 3),
        record(battery, "robot_msgs/msg/Battery", 3, "/battery"),
        raw(picture((30,)), 4),
        raw(picture(()), 5),
        record(text, "std_msgs/msg/String", 6, "/chatter"),
    ]


def without_padding(message: Any, kind: str) -> bytes:
    """Bytes of a message of ROS, whose own serialisation leaves chance values between fields."""
    decoded = STORE.deserialize_cdr(bytes(serialize_message(message)), kind)
    return bytes(STORE.serialize_cdr(decoded, kind))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("target", ["out.mcap", "out.db3", "out"])
@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda s: s.name)
def test_every_message_is_copied_unchanged(
    tmp_path: Path, storage: StoragePlugin, target: str
) -> None:
    records = mixed_records()
    source = write_bag(tmp_path / "in", records, storage)
    report = turn(source, tmp_path / target, montage=True)

    assert names(tmp_path) == sorted(["in", target])
    added = ("/facerot/faces", "/facerot/montage")
    assert [r for r in read_bag(tmp_path / target) if r.topic not in added] == records
    assert report.copied == len(records)
    with Reader(source) as before, Reader(tmp_path / target) as after:
        found = {c.topic: c for c in after.connections}
        assert set(found) == {c.topic for c in before.connections} | set(added)
        for connection in before.connections:
            copy = found[connection.topic]
            assert copy.msgtype == connection.msgtype
            assert copy.msgdef == connection.msgdef
            assert copy.msgcount == connection.msgcount
            assert copy.ext == connection.ext
            assert copy.digest in (connection.digest, "")  # a bare MCAP file is read without
        if target == "out":
            assert after.storage.metadata.custom == {"robot": "seven"}
            assert {c.digest for c in before.connections} <= {c.digest for c in found.values()}


def test_faces_come_right_after_their_image_with_its_header_and_time(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", mixed_records())
    report = turn(source, tmp_path / "out.mcap", montage=True)

    written = read_bag(tmp_path / "out.mcap")
    assert [(r.topic, r.log_time) for r in written[2:8]] == [
        ("/camera/image_raw", 3_250_000_000),
        ("/facerot/faces", 3_250_000_000),
        ("/facerot/faces", 3_250_000_000),
        ("/facerot/montage", 3_250_000_000),
        ("/battery", 3_250_000_000),
        ("/camera/image_raw", 4_250_000_000),
    ]
    first, second, third = faces_of(tmp_path / "out.mcap")
    stamps = [(f.header.stamp.sec, f.header.stamp.nanosec) for f in (first, second, third)]
    assert stamps == [(3, 5), (3, 5), (4, 5)]
    assert [f.face_id for f in (first, second, third)] == ["face0", "face1", "face0"]
    assert [f.roi.width for f in (first, second, third)] == [60, 40, 30]
    for face in (first, second, third):
        assert face.header.frame_id == f"camera{face.header.stamp.sec}"
        assert len(face.views) == len(VIEWS)
        for view in face.views:
            assert view.image.header == face.header
            colour = view_colour(view.applied_yaw, view.applied_pitch)
            assert np.all(image_from_message(view.image) == colour)
    assert (report.frames, report.turned, report.without_face, report.faces) == (3, 2, 1, 3)
    assert (report.skipped, report.problems) == (0, [])


def test_messages_are_those_of_ros() -> None:
    rotator = SquaresRotator(RotatorSettings(output_size=64))
    image = picture((40,))
    (fitted,) = rotator.fit(image)
    views = list(rotator.render(fitted, [View(None, 0.25), View(0.5)]))
    turned = TurnedFace(3, fitted, (320, 240), views, seconds=1.25)
    ros_header, bag_header = Header(frame_id="camera7"), header(7)
    ros_header.stamp.sec, ros_header.stamp.nanosec = 7, 5
    make = library_messages(STORE)

    for ours, theirs, kind in (
        (make.face(turned, views, bag_header), face_message(turned, views, ros_header), FACE),
        (
            make.montage(image, [turned], bag_header),
            montage_message(image, [turned], ros_header),
            IMAGE,
        ),
    ):
        assert bytes(STORE.serialize_cdr(ours, kind)) == without_padding(theirs, kind)


@pytest.mark.parametrize("kind", [FACE, "opendr_facerot_interfaces/msg/RotatedFace"])
def test_types_are_those_of_the_installed_interfaces(kind: str) -> None:
    package, _, name = kind.split("/")
    share = share_folder(package)
    assert share is not None
    description = share / "msg" / f"{name}.json"
    hashes = {t["type_name"]: t["hash_string"] for t in _type_hashes(description)}
    assert STORE.hash_rihs01(kind) == hashes[kind]


def _type_hashes(description: Path) -> list[dict[str, str]]:
    return list(json.loads(description.read_text())["type_hashes"])


def test_added_topics_have_the_qos_of_the_node(tmp_path: Path) -> None:
    turn(write_bag(tmp_path / "in", [raw(picture(), 1)]), tmp_path / "out")
    with Reader(tmp_path / "out") as reader:
        (faces,) = [c for c in reader.connections if c.topic == "/facerot/faces"]
    assert isinstance(faces.ext, ConnectionExtRosbag2)
    (qos,) = faces.ext.offered_qos_profiles
    assert (qos.reliability, qos.durability, qos.history, qos.depth) == (
        QosReliability.RELIABLE,
        QosDurability.VOLATILE,
        QosHistory.KEEP_LAST,
        10,
    )


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings_stay_compressed(tmp_path: Path, mode: CompressionMode) -> None:
    records = mixed_records()
    source = write_bag(tmp_path / "in", records, StoragePlugin.SQLITE3, mode)
    turn(source, tmp_path / "out")
    with Reader(tmp_path / "out") as reader:
        assert reader.compression_mode == mode.name.lower()
    assert [r for r in read_bag(tmp_path / "out") if r.topic != "/facerot/faces"] == records


class ToleratingRotator(SquaresRotator):
    """Takes the greens for green that JPEG makes of it."""

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        return super().fit(np.where(image > 128, 255, 0).astype(np.uint8))


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_compressed_images(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture((48,))).save(buffer, form)
    truncated = buffer.getvalue()[:200]
    records = [
        compressed(buffer.getvalue(), 1, form),
        compressed(truncated, 2, form),
        camera_info(50, 3),
    ]
    source = write_bag(tmp_path / "in", records)
    report = turn(source, tmp_path / "out.mcap", rotator=ToleratingRotator(RotatorSettings()))

    (face,) = faces_of(tmp_path / "out.mcap")
    assert face.roi.width == pytest.approx(48, abs=1)
    assert face.header.stamp.sec == 1
    (problem,) = report.problems
    assert (problem.stamp, problem.log_time) == (2 * SECOND + 5, 2 * SECOND + SECOND // 4)
    assert report.camera_info == "/camera/camera_info"


class FragileRotator(SquaresRotator):
    """Fails at pictures that are 100 pixels high."""

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        if image.shape[0] == 100:
            raise ZeroDivisionError("fragile")
        return super().fit(image)


def test_frames_that_cannot_be_used_are_reported_and_the_others_are_turned(tmp_path: Path) -> None:
    short = raw(picture(), 2)
    narrow = library_messages(STORE).image(picture(), header(3))
    narrow.step = 5
    records = [
        raw(picture((40,)), 1),
        short._replace(data=short.data[:500]),
        record(narrow, IMAGE, 3, "/camera/image_raw"),
        raw(picture((20,), size=(320, 100)), 4),
        raw(picture((45,), bad_views=True), 5),
        raw(picture((50,)), 6),
    ]
    source = write_bag(tmp_path / "in", records)
    report = turn(source, tmp_path / "out", rotator=FragileRotator(RotatorSettings()))

    assert [r for r in read_bag(tmp_path / "out") if r.topic != "/facerot/faces"] == records
    assert [f.roi.width for f in faces_of(tmp_path / "out")] == [40, 50]
    assert (report.frames, report.turned) == (6, 2)
    told = [(p.log_time // SECOND, p.stamp, p.reason) for p in report.problems]
    expected = [(2, None), (3, 3 * SECOND + 5), (4, 4 * SECOND + 5), (5, 5 * SECOND + 5)]
    assert [(t, stamp) for t, stamp, _ in told] == expected
    assert "500 recorded bytes are no sensor_msgs/msg/Image" in told[0][2]
    assert "step of the 320x240 rgb8 image is 5 bytes" in told[1][2]
    assert told[2][2] == "ZeroDivisionError('fragile')"


def test_the_calibration_in_force_when_a_frame_was_recorded_counts(tmp_path: Path) -> None:
    damaged = camera_info(90, 4)
    records = [
        raw(picture(), 1),
        camera_info(50, 2),
        raw(picture(), 3),
        damaged._replace(data=damaged.data[:40]),
        raw(picture(), 5),
        camera_info(70, 6),
        raw(picture(), 7),
        camera_info(90, 8, "/other/camera_info"),
        raw(picture(), 9),
    ]
    source = write_bag(tmp_path / "in", records)
    turn(source, tmp_path / "beside")
    turn(source, tmp_path / "other", camera_info="/other/camera_info")
    given = SquaresRotator(RotatorSettings(fov=math.radians(33)))
    turn(source, tmp_path / "given", rotator=given)

    def flags(name: str) -> list[list[str]]:
        return [list(face.flags)[1:] for face in faces_of(tmp_path / name)]

    assert flags("beside") == [[], ["fov_50"], ["fov_50"], ["fov_70"], ["fov_70"]]
    assert flags("other") == [[], [], [], [], ["fov_90"]]
    assert flags("given") == [["fov_33"]] * 5


@pytest.mark.parametrize(
    ("limits", "turned"),
    [({"every": 3}, [1, 4, 7]), ({"max_rate": 0.5}, [1, 3, 5, 7]), ({"max_rate": 0.4}, [1, 4, 7])],
)
def test_every_and_max_rate(tmp_path: Path, limits: dict[str, Any], turned: list[int]) -> None:
    source = write_bag(tmp_path / "in", [raw(picture(), k) for k in range(1, 9)])
    report = turn(source, tmp_path / "out", **limits)
    assert [f.header.stamp.sec for f in faces_of(tmp_path / "out")] == turned
    assert (report.turned, report.skipped, report.copied) == (len(turned), 8 - len(turned), 8)


class FollowedSquares(SquaresRotator):
    """Writes down which frames its tracker is told of."""

    def __init__(self) -> None:
        super().__init__(RotatorSettings(output_size=64))
        self.told: list[tuple[float, float | None]] = []

    def track(self, *, real_time: bool = False) -> FaceTracker:
        del real_time
        return _Told(self)


class _Told:
    def __init__(self, squares: FollowedSquares) -> None:
        self._squares = squares

    def fit(
        self, image: NDArray[np.uint8], stamp: float, skipped: float | None = None
    ) -> list[FittedFace]:
        self._squares.told.append((round(stamp), None if skipped is None else round(skipped)))
        return self._squares.fit(image)

    def close(self) -> None:
        pass


def test_a_tracker_is_told_of_images_left_out(tmp_path: Path) -> None:
    records = [raw(picture(), k) for k in range(1, 8)]
    source = write_bag(tmp_path / "in", records)
    squares = FollowedSquares()
    turn(source, tmp_path / "out", rotator=squares, every=3, tracking=True)
    assert squares.told == [(1, None), (4, 3), (7, 6)]
    squares = FollowedSquares()
    turn(source, tmp_path / "all", rotator=squares, tracking=True)
    assert squares.told == [(k, None) for k in range(1, 8)]


def test_topics_that_there_are_not(tmp_path: Path) -> None:
    records = [raw(picture(), 1), raw(picture((20,)), 2, "/rear/image")]
    source = write_bag(tmp_path / "in", records)
    for changes, told in (
        ({}, "several topics of images: name one with --topic: /camera/image_raw, /rear/image"),
        ({"topic": "/up"}, "no topic /up of images; topics of images: /camera/image_raw, /rear"),
        (
            {"topic": "/rear/image", "camera_info": "/x"},
            "no topic /x of sensor_msgs/msg/CameraInfo",
        ),
        ({"topic": "/rear/image", "faces_topic": "/rear/image"}, "already has a topic /rear/image"),
    ):
        with pytest.raises(BagError, match=told):
            turn(source, tmp_path / "out", **changes)
    assert names(tmp_path) == ["in"]
    turn(source, tmp_path / "out", topic="/rear/image", faces_topic="/rear/faces")
    assert [f.roi.width for f in faces_of(tmp_path / "out", "/rear/faces")] == [20]

    without = write_bag(tmp_path / "without", [camera_info(50, 1)])
    with pytest.raises(BagError, match="no topic of images; topics of images: none"):
        turn(without, tmp_path / "out2")


@pytest.mark.parametrize(
    "changes", [{"faces_topic": "faces"}, {"every": 0}, {"max_rate": -1.0}, {"max_rate": math.nan}]
)
def test_settings_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=str(next(iter(changes)))):
        BagSettings(views=VIEWS, **changes)


@pytest.mark.parametrize("name", ["out.mcap", "out"])
def test_an_existing_recording_is_replaced_only_if_forced(tmp_path: Path, name: str) -> None:
    source = write_bag(tmp_path / "in", [raw(picture((40,)), 1)])
    turn(source, tmp_path / name)
    other = write_bag(tmp_path / "other", [raw(picture((70,)), 1)])
    with pytest.raises(BagError, match="exists: choose another name, or give --force"):
        turn(other, tmp_path / name)
    assert [f.roi.width for f in faces_of(tmp_path / name)] == [40]

    turn(other, tmp_path / name, force=True)
    assert [f.roi.width for f in faces_of(tmp_path / name)] == [70]
    assert names(tmp_path) == sorted(["in", "other", name])


def test_what_is_no_recording_and_the_source_are_never_replaced(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", [raw(picture(), 1)])
    before = read_bag(source)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("precious")
    (tmp_path / "notes.txt").write_text("precious")
    for target in (tmp_path / "photos", tmp_path / "notes.txt"):
        with pytest.raises(BagError, match="is no recording: it is not replaced"):
            turn(source, target, force=True)
    for target in (source, source / "in.mcap", tmp_path / "photos" / ".." / "in", tmp_path):
        with pytest.raises(BagError, match="is, or lies in, the recording"):
            turn(source, target, force=True)
    assert read_bag(source) == before
    assert names(tmp_path) == ["in", "notes.txt", "photos"]


@pytest.mark.parametrize("force", [False, True])
def test_an_interrupted_run_leaves_nothing_and_keeps_what_there_was(
    tmp_path: Path, force: bool
) -> None:
    class Interrupted(SquaresRotator):
        def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
            if image[20, 10, 1] and image[20 + 40, 10, 1] == 255:
                raise KeyboardInterrupt
            return super().fit(image)

    source = write_bag(tmp_path / "in", [raw(picture((30,)), 1), raw(picture((60,)), 2)])
    if force:
        turn(source, tmp_path / "out")
    before = read_bag(tmp_path / "out") if force else []
    with pytest.raises(KeyboardInterrupt):
        turn(source, tmp_path / "out", rotator=Interrupted(RotatorSettings()), force=force)
    assert names(tmp_path) == (["in", "out"] if force else ["in"])
    assert not force or read_bag(tmp_path / "out") == before


@pytest.mark.parametrize("cut", [0.5, 0.98])
def test_a_damaged_recording_is_refused(tmp_path: Path, cut: float) -> None:
    whole = write_bag(tmp_path / "in", [raw(picture(), k) for k in range(1, 6)])
    data = (whole / "in.mcap").read_bytes()
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(BagError, match=r"cannot read the recording .*damaged\.mcap"):
        turn(damaged, tmp_path / "out")
    with pytest.raises(BagError, match="cannot read the recording .*absent"):
        turn(tmp_path / "absent", tmp_path / "out")
    assert names(tmp_path) == ["damaged.mcap", "in"]


def test_damage_inside_a_recording_leaves_no_output(tmp_path: Path) -> None:
    whole = write_bag(tmp_path / "in", [raw(picture(), k) for k in range(1, 40)])
    with Reader(whole) as reader:
        expected = reader.message_count
    path = whole / "in.mcap"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400_000] = bytes(400_000)  # whole records among them
    path.write_bytes(data)
    with pytest.raises(BagError, match=rf"(is damaged after \d+ of {expected}|says it has)"):
        turn(whole, tmp_path / "out")
    assert names(tmp_path) == ["in"]


# The command


@pytest.fixture
def command(node_environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start ``facerot bag`` in a process in which the pipeline "squares" is installed."""

    def start(*arguments: str | Path, program: str = "-mopendr_facerot.cli") -> Any:
        program_arguments = [program] if program.startswith("-m") else ["-c", program]
        return subprocess.Popen(
            [sys.executable, *program_arguments, "bag", *map(str, arguments)],
            env=node_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


WITHOUT_ROS = """
import sys
ROS = ("rclpy", "rcl_interfaces", "sensor_msgs", "std_msgs", "builtin_interfaces",
       "opendr_facerot_interfaces", "ament_index_python")
sys.modules.update(dict.fromkeys(ROS))  # importing one fails now
from opendr_facerot.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_command_without_ros(tmp_path: Path, command: Callable[..., Any]) -> None:
    broken = raw(picture(), 2)
    records = [raw(picture((40,)), 1), broken._replace(data=broken.data[:80])]
    source = write_bag(tmp_path / "in", records)
    process = command(
        *(source, tmp_path / "out.mcap", "--pipeline", "squares", "--view-preset", "triptych"),
        *("--size", "64", "--report", tmp_path / "report.json"),
        program=WITHOUT_ROS,
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "2 messages copied, 1 faces added" in out
    assert "stamp unknown, recorded at 2.250000000: 80 recorded bytes are no sensor_msgs" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["frames"], report["turned"], report["faces"]) == (2, 1, 1)
    assert report["problems"][0]["log_time"] == 2 * SECOND + SECOND // 4
    (face,) = faces_of(tmp_path / "out.mcap")
    assert [round(math.degrees(v.yaw)) for v in face.views] == [-45, 0, 45]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_signals_end_the_command_and_leave_nothing(
    tmp_path: Path, command: Callable[..., Any], number: signal.Signals, status: int
) -> None:
    slow = [raw(picture((40,), slow_fit=0.5), k) for k in range(1, 60)]
    write_bag(tmp_path / "in", slow)
    process = command(tmp_path / "in", tmp_path / "out", "--pipeline", "squares")
    deadline = time.monotonic() + 2 * PATIENCE
    while names(tmp_path) == ["in"]:  # until it has begun to write
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert names(tmp_path) == ["in"]


def test_command_names_the_extra_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    assert main(["bag", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "pip install 'opendr_facerot[bag]'" in capsys.readouterr().err


def test_starting_the_command_imports_neither_ros_nor_the_library() -> None:
    script = "import opendr_facerot.cli, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"rosbags", "rclpy", "sensor_msgs", "torch"} & set(done.stdout.split())


# The live node


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["squares", "head"])
def test_a_node_that_is_played_a_recording_publishes_what_was_added_to_it(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    tmp_path: Path,
    astronaut: NDArray[np.uint8],
    pipeline: str,
) -> None:
    frames = played_frames(pipeline, astronaut)
    source = write_bag(tmp_path / "in", [camera_info(50, 1), *frames])
    # The node's messages carry radians made of these degrees; as does the recording.
    views = facerot.view_grid((-30.0, 20.0, None), (5.0,), degrees=True)
    rotator = (
        SquaresRotator(RotatorSettings(output_size=96))
        if pipeline == "squares"
        else facerot.load("head", output_size=96)
    )
    report = turn(source, tmp_path / "out", rotator=rotator, views=views, montage=True)
    rotator.close()
    assert report.camera_info == "/camera/camera_info"
    assert (report.frames, report.problems) == (len(frames), [])

    namespace = f"/played_{pipeline}"
    start_node(
        *("-r", f"__ns:={namespace}", "-p", f"pipeline:={pipeline}", "-p", "output_size:=96"),
        *("-p", "yaw_deg:=[-30.0, 20.0, .nan]", "-p", "pitch_deg:=[5.0]", "-p", "grid:=true"),
    )
    client = connect(namespace)
    client.connect()
    send_calibration(source, client)
    client.subscribe()
    client.subscribe_montage()
    played = play(source, tmp_path / "out", client)

    expected = faces_of(tmp_path / "out")
    assert len(expected) == report.faces > len(frames) // 2
    assert [comparable(f) for f in played] == [comparable(f) for f in expected]
    montages = [r.data for r in read_bag(tmp_path / "out") if r.topic == "/facerot/montage"]
    assert [without_padding(m, IMAGE) for m in client.montages] == montages


def played_frames(pipeline: str, astronaut: NDArray[np.uint8]) -> list[Record]:
    if pipeline == "squares":
        pictures = [picture(sides) for sides in ((40,), (60, 30), (), (20, 50, 35), (44,))]
    else:
        two = np.ascontiguousarray(np.hstack([astronaut[:420, 60:380]] * 2))
        pictures = [astronaut, two, np.ascontiguousarray(astronaut[::-1, ::2])]
    return [raw(pixels, k) for k, pixels in enumerate(pictures, start=2)]


def send_calibration(source: Path, client: Graph) -> None:
    """Publish the recorded calibration until the node's answers show that it has it."""
    records = read_bag(source)
    (calibration,) = [r.data for r in records if r.kind == CAMERA_INFO]
    publisher = client.node.create_publisher(CameraInfo, "camera_info", 10)
    frame = next(r.data for r in records if r.kind == IMAGE)
    client.publish(deserialize_message(frame, RosImage))
    client.wait(lambda: client.rotate().success, "the frame to be the latest", 4 * PATIENCE)
    before = comparable(client.rotate().faces[0])

    def has_it() -> bool:
        publisher.publish(calibration)
        return comparable(client.rotate().faces[0]) != before

    client.wait(has_it, "the calibration to count", 4 * PATIENCE)


def play(source: Path, turned: Path, client: Graph) -> list[RotatedFaceArray]:
    """Publish the frames, each once the one before it has been worked on."""
    stamps = [face.header.stamp.sec for face in faces_of(turned)]
    for record in read_bag(source):
        if record.kind != IMAGE:
            continue
        done = int(client.counts()["frames processed"])
        message = deserialize_message(record.data, RosImage)
        seconds = message.header.stamp.sec
        wanted = len(client.faces) + stamps.count(seconds)
        assert client.publish(message, stamp=seconds) == message.header
        client.wait(partial(_is_past, client, done), "the frame", 4 * PATIENCE)
        client.wait(partial(_has_faces, client, wanted), f"{wanted} faces")
        assert len(client.faces) == wanted
    client.wait(lambda: len(client.montages) >= len(set(stamps)), "all montages")
    return list(client.faces)


def _is_past(client: Graph, frames: int) -> bool:
    return int(client.counts()["frames processed"]) > frames


def _has_faces(client: Graph, number: int) -> bool:
    return len(client.faces) >= number


def comparable(face: RotatedFaceArray) -> bytes:
    """All of a face's message but the time it took."""
    face.processing_time.sec = face.processing_time.nanosec = 0
    return without_padding(face, FACE)
