"""Malformed messages by the thousand: each one is counted or answered, and none stops the work."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import malformed
import numpy as np
from graph import Graph, NodeProcess
from hypothesis import HealthCheck, Phase, given, settings
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from squares import picture
from std_msgs.msg import Header

from opendr_facerot.ros.core import FaceTurner
from opendr_facerot.ros.images import image_message
from opendr_facerot.ros.messages import error_code
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot.ros.statistics import Count
from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

Code = RotateFace.Response
PATIENCE = 15.0


def many(examples: int) -> settings:
    """So many examples, the same in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


class Harness:
    """The node's work with no ROS around it."""

    def __init__(self) -> None:
        self.turned: list[list[TurnedFace]] = []
        values = {name: parameter.default for name, parameter in PARAMETERS.items()}
        parameters = NodeParameters.from_values(
            {**values, "pipeline": "squares", "output_size": 64, "view_preset": "frontal"}
        )
        self.turner = FaceTurner(parameters, self._on_faces, lambda error: None)
        self.turner.load().result(PATIENCE)
        self.turner.start()

    def counts(self) -> Counter[Count]:
        return Counter(dict(self.turner.statistics.snapshot().counts))

    def take(self, message: Image | CompressedImage) -> None:
        """Work on a frame to its end."""
        self.turner.take_frame(message, wanted=True)
        while self.turner.worker.pending_frames:
            self.turner.worker.call(lambda: None).result(PATIENCE)

    def check(self) -> None:
        """Every frame has met with one fate, and the next good one is turned."""
        counts = self.counts()
        assert counts[Count.RECEIVED] == counts[Count.PROCESSED] + counts[Count.REJECTED]
        assert counts[Count.FAILED] == counts[Count.DROPPED] == 0
        seen = len(self.turned)
        self.take(image_message(picture((33,)), Header()))
        assert len(self.turned) == seen + 1
        assert self.turned[-1][0].fitted.face.box.tolist() == [10, 20, 43, 53]

    def _on_faces(
        self, _header: Header, _image: NDArray[np.uint8], faces: list[TurnedFace], *_: Any
    ) -> None:
        self.turned.append(faces)


@pytest.fixture
def harness(node_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    for path in node_environment["PYTHONPATH"].split(os.pathsep):
        monkeypatch.syspath_prepend(path)  # where the pipeline "squares" is installed
    harness = Harness()
    yield harness
    assert harness.turner.close(PATIENCE)


def test_2500_raw_frames(harness: Harness) -> None:
    fates: Counter[bool] = Counter()

    @many(2500)
    @given(message=malformed.images())
    def frames(message: Image) -> None:
        before = harness.counts()
        harness.take(message)
        new = harness.counts() - before
        usable = malformed.is_usable(message)
        fate = Count.PROCESSED if usable else Count.REJECTED
        assert (new[Count.RECEIVED], new[fate]) == (1, 1), harness.turner.statistics.snapshot()
        fates[usable] += 1

    frames()
    assert sum(fates.values()) >= 2500
    assert min(fates.values()) > 100, "both kinds are drawn"
    harness.check()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_6000_compressed_frames(harness: Harness) -> None:
    drawn = 0

    @many(6000)
    @given(message=malformed.compressed_images())
    def frames(message: CompressedImage) -> None:
        nonlocal drawn
        before = harness.counts()
        harness.take(message)
        new = harness.counts() - before
        assert new[Count.PROCESSED] + new[Count.REJECTED] == 1, (
            harness.turner.statistics.snapshot().last_error
        )
        drawn += 1

    frames()
    counts = harness.counts()
    assert drawn >= 6000
    assert min(counts[Count.PROCESSED], counts[Count.REJECTED]) > 100
    harness.check()


def test_1500_requests(harness: Harness) -> None:
    codes: Counter[int] = Counter()
    longest: list[int] = []

    @many(1500)
    @given(request=malformed.requests())
    def answers(request: RotateFace.Request) -> None:
        try:
            faces = harness.turner.submit(request).result(PATIENCE)
        except Exception as error:
            codes[error_code(error)] += 1
            longest.append(len(str(error)))
        else:
            codes[Code.NO_ERROR] += 1
            assert len(faces) == 1
            assert malformed.is_usable(request.image)

    answers()
    assert sum(codes.values()) >= 1500
    assert codes[Code.INTERNAL] == 0
    assert max(longest) < 1000
    for code in (Code.NO_ERROR, Code.BAD_IMAGE, Code.BAD_ANGLES, Code.NO_FACE, Code.NO_IMAGE):
        assert codes[code] > 20, f"error code {code} is drawn"
    harness.check()


def test_live_node(start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]) -> None:
    node = start_node("-r", "__ns:=/fuzz", "-p", "pipeline:=squares")
    client = connect("/fuzz")
    client.connect()
    client.subscribe()
    sent = 0
    codes: Counter[int] = Counter()

    @many(1000)
    @given(message=malformed.images())
    def frames(message: Image) -> None:
        nonlocal sent
        sent += 1
        client.publish(message, stamp=sent)
        time.sleep(0.005)  # a burst would be lost before it arrives

    @many(300)
    @given(request=malformed.requests())
    def answers(request: RotateFace.Request) -> None:
        answer = client.rotate(
            request.image, request.yaw, request.pitch,
            grid=request.grid, max_faces=request.max_faces,
        )  # fmt: skip
        codes[answer.error_code] += 1
        assert answer.success == (answer.error_code == Code.NO_ERROR)
        assert bool(answer.message) != answer.success

    frames()
    answers()
    assert (sent, sum(codes.values())) >= (1000, 300)
    assert Code.INTERNAL not in codes
    assert min(codes[Code.NO_ERROR], codes[Code.BAD_IMAGE], codes[Code.BAD_ANGLES]) > 20

    client.wait(lambda: client.counts()["frames pending"] == "0", "the last frame")
    counts = {key: int(v) for key, v in client.counts().items() if key.startswith("frames")}
    ends = ("processed", "rejected", "failed", "dropped")
    assert counts["frames received"] == sum(counts[f"frames {end}"] for end in ends)
    assert counts["frames received"] > 100
    assert counts["frames failed"] == 0
    client.faces.clear()
    client.publish(picture((41,)), stamp=5000)
    client.wait(lambda: [f for f in client.faces if f.header.stamp.sec == 5000], "a good frame")
    assert client.faces[-1].roi.width == 41
    assert node.is_running()
    assert "Traceback" not in node.log
