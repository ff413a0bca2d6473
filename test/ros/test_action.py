"""The action for large sets of views."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import math
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus  # type: ignore[import-untyped]
from graph import Graph
from numpy.typing import NDArray
from squares import picture
from std_msgs.msg import Header

from opendr_facerot.ros.core import QUEUE_SIZE
from opendr_facerot.ros.images import image_message
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

Code = RotateFaceSet.Result
MANY: list[float] = np.linspace(-1.5, 1.5, 60).tolist()


class Goal:
    """A goal that was accepted, and its feedback."""

    def __init__(self, graph: Graph, image: NDArray[np.uint8], yaw: list[float]) -> None:
        self.graph = graph
        self.feedback: list[RotateFaceSet.Feedback] = []
        goal = RotateFaceSet.Goal(image=image_message(image, Header()), yaw=yaw, pitch=[0.0])
        graph.wait(graph.rotate_face_set.server_is_ready, "the action server")
        accepted = graph.rotate_face_set.send_goal_async(
            goal, feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        self.handle: Any = graph.result(accepted)
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def result(self) -> tuple[int, RotateFaceSet.Result]:
        """Its final status and result."""
        response = self.graph.result(self._result)
        return response.status, response.result


def wait_for_feedback(graph: Graph) -> None:
    """Wait until the node has found this client's subscription to its feedback."""

    def feedback_arrives() -> bool:
        goal = Goal(graph, picture(), [0.0] * 3)
        goal.result()
        return bool(goal.feedback)

    graph.wait(feedback_arrives, "feedback")


def test_set_reports_each_view(shared: Graph) -> None:
    wait_for_feedback(shared)
    goal = Goal(shared, picture((40, 20)), [-0.5, 0.0, 0.5])
    status, result = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.error_code) == (True, Code.NO_ERROR)
    assert [face.roi.width for face in result.faces] == [40, 20]
    assert [view.yaw for view in result.faces[1].views] == [-0.5, 0.0, 0.5]

    shared.wait(lambda: len(goal.feedback) == 6, "the feedback")
    assert [(f.done, f.total) for f in goal.feedback] == [(k, 6) for k in range(1, 7)]
    views = [f.partial.views for f in goal.feedback]
    assert [[view.yaw for view in part] for part in views] == [[-0.5], [0.0], [0.5]] * 2
    assert [f.partial.face_id for f in goal.feedback] == ["face0"] * 3 + ["face1"] * 3


def test_cancelled_set_keeps_what_was_done(shared: Graph) -> None:
    goal = Goal(shared, picture(slow_views=0.1), MANY)
    shared.wait(lambda: len(goal.feedback) >= 2, "the first views")
    shared.result(goal.handle.cancel_goal_async())
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    done = len(result.faces[0].views)
    assert 2 <= done <= len(goal.feedback) + 2 < len(MANY)
    assert [v.yaw for v in result.faces[0].views] == np.array(MANY[:done], np.float32).tolist()


def test_requests_and_frames_are_served_during_a_set(shared: Graph) -> None:
    shared.subscribe()
    goal = Goal(shared, picture(slow_views=0.05), MANY)
    shared.wait(lambda: goal.feedback, "the first view")
    assert shared.rotate(picture()).success
    shared.publish(picture(), stamp=4)
    shared.wait(lambda: shared.faces, "a face of a frame")
    assert len(goal.feedback) < len(MANY)
    shared.result(goal.handle.cancel_goal_async())
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED


def test_sets_beyond_the_queue_and_unusable_ones_are_aborted(shared: Graph) -> None:
    running = [Goal(shared, picture(slow_views=0.1), MANY) for _ in range(QUEUE_SIZE)]
    status, result = Goal(shared, picture(), [0.0]).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.BUSY)
    for goal in running:
        shared.result(goal.handle.cancel_goal_async())
    assert {goal.result()[0] for goal in running} == {GoalStatus.STATUS_CANCELED}

    status, result = Goal(shared, picture(), [math.inf]).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.BAD_ANGLES)
    assert "inf" in result.message
    status, result = Goal(shared, picture(()), [0.0]).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.NO_FACE)


def test_deactivating_aborts_a_set(shared: Graph) -> None:
    goal = Goal(shared, picture(slow_views=0.1), MANY)
    shared.wait(lambda: goal.feedback, "the first view")
    assert shared.change_state("deactivate")
    status, result = goal.result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Code.NOT_ACTIVE)
    assert shared.change_state("activate")
    assert shared.rotate(picture()).error_code == RotateFace.Response.NO_ERROR
