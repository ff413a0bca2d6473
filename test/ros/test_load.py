"""More work than there is time for."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import time

from graph import Graph
from squares import picture

from opendr_facerot.ros.core import QUEUE_SIZE
from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

Code = RotateFace.Response


def test_requests_beyond_the_queue_are_refused_at_once(shared: Graph) -> None:
    slow = picture(slow_fit=0.3)
    started = time.monotonic()
    futures = [shared.begin_rotate(slow) for _ in range(QUEUE_SIZE + 3)]
    shared.wait(lambda: sum(f.done() for f in futures) >= 3, "the refusals")
    early = [f.result() for f in futures if f.done()]
    assert time.monotonic() - started < QUEUE_SIZE * 0.3, "refused only after all the others"
    answers = [shared.result(f) for f in futures]

    assert [a.error_code for a in answers].count(Code.BUSY) == 3
    assert [a.success for a in answers].count(True) == QUEUE_SIZE
    busy = next(a for a in early if a.error_code == Code.BUSY)
    assert f"{QUEUE_SIZE} requests are waiting already" in busy.message
    assert shared.rotate(picture()).success


def test_requests_are_answered_while_frames_stream_and_every_frame_is_accounted_for(
    shared: Graph,
) -> None:
    shared.subscribe()
    before = shared.counts()
    frames = [
        picture(slow_views=0.02),
        picture(()),
        picture(raises=RuntimeError),
        picture((40, 50)),
    ]
    answers = []
    with shared.stream(frames, rate=30.0) as sent:
        while len(sent) < 90:
            answers.append(shared.rotate(picture(), yaw=(0.1,)))
    shared.wait(lambda: shared.counts()["frames pending"] == "0", "the last frame")
    after = shared.counts()

    change = {key: int(after[key]) - int(before[key]) for key in before if key.startswith("frames")}
    assert len(answers) > 20
    assert all(a.success for a in answers)
    assert change["frames received"] > 20
    assert change["frames received"] == (
        change["frames processed"]
        + change["frames rejected"]
        + change["frames failed"]
        + change["frames dropped"]
    )
    with_face = change["frames processed"] - change["frames without a face"]
    assert len({face.header.stamp.sec for face in shared.faces}) == with_face
    assert change["frames dropped"] > 0
    assert change["frames failed"] > 0
    order = [face.header.stamp.sec for face in shared.faces]
    assert order == sorted(order)


def test_disabled_node(shared: Graph) -> None:
    shared.subscribe()
    assert shared.enable(False)
    try:
        answer = shared.rotate(picture())
        assert (answer.success, answer.error_code) == (False, Code.NOT_ACTIVE)
        assert "disabled" in answer.message
        assert shared.activity() == "disabled"
        shared.publish(picture())
        received = shared.counts()["frames received"]
    finally:
        assert shared.enable(True)
    assert shared.counts()["frames received"] == received
    assert shared.rotate(picture()).success


def test_disabling_drops_what_is_waiting(shared: Graph) -> None:
    futures = [shared.begin_rotate(picture(slow_fit=0.3)) for _ in range(QUEUE_SIZE)]
    shared.wait(lambda: any(f.done() for f in futures), "the first answer")
    assert shared.enable(False)
    try:
        codes = {shared.result(f).error_code for f in futures}
    finally:
        assert shared.enable(True)
    assert codes == {Code.NOT_ACTIVE, Code.NO_ERROR}
