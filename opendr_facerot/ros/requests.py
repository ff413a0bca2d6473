"""The service ``~/rotate_face`` and the action ``~/rotate_face_set``."""

from __future__ import annotations

import traceback

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node

from opendr_facerot.errors import FacerotError
from opendr_facerot.ros.core import FaceTurner, Rotated
from opendr_facerot.ros.messages import Answer, set_error
from opendr_facerot.ros.rotation import Progress
from opendr_facerot_interfaces.action import RotateFaceSet
from opendr_facerot_interfaces.msg import RotatedFaceArray
from opendr_facerot_interfaces.srv import RotateFace

_LOG_PERIOD = 5.0  # seconds between two messages
_RESULT_LIFETIME = 60  # seconds a set's pictures are kept for a client that has not fetched them


class RequestServer:
    """Answers requests; each waits for the worker in a thread of the executor."""

    def __init__(self, node: Node, turner: FaceTurner) -> None:
        self._logger = node.get_logger()
        self._context = node.context
        self._turner = turner
        node.create_service(
            RotateFace,
            "~/rotate_face",
            self._on_request,
            callback_group=ReentrantCallbackGroup(),
        )
        self._sets = ActionServer(
            node,
            RotateFaceSet,
            "~/rotate_face_set",
            self._on_goal,
            # Goals are accepted one after the other, in their order; they are executed outside it.
            callback_group=MutuallyExclusiveCallbackGroup(),
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            result_timeout=_RESULT_LIFETIME,
        )

    def destroy(self) -> None:
        """Withdraw the action, which a node does not do by itself when it is destroyed."""
        self._sets.destroy()

    def _on_request(
        self, request: RotateFace.Request, response: RotateFace.Response
    ) -> RotateFace.Response:
        try:
            _set_result(response, self._turner.submit(request).result())
        except Exception as error:  # every request gets an answer
            self._refuse(response, error)
        return response

    def _on_goal(self, goal: ServerGoalHandle) -> RotateFaceSet.Result:
        result = RotateFaceSet.Result()
        observer = _GoalObserver(goal)
        try:
            _set_result(result, self._turner.submit_set(goal.request, observer).result())
        except Exception as error:
            self._refuse(result, error)
            end = goal.abort
        else:
            end = goal.canceled if observer.cut_short else goal.succeed
        try:
            end()
        except RuntimeError:  # ROS was ended, so that the new status cannot be published
            if self._context.ok():
                raise
        return result

    def _refuse(self, answer: Answer, error: Exception) -> None:
        set_error(answer, error)
        # Once ROS has been ended, nothing can be published any more, and nobody waits for it.
        if not isinstance(error, FacerotError) and self._context.ok():
            self._logger.error(
                "request failed: " + "".join(traceback.format_exception(error)),
                throttle_duration_sec=_LOG_PERIOD,
            )


class _GoalObserver:
    """Tells a goal's client of its progress, and the worker of its cancellation."""

    def __init__(self, goal: ServerGoalHandle) -> None:
        self._goal = goal
        self._complete = False

    @property
    def cut_short(self) -> bool:
        return self._goal.is_cancel_requested and not self._complete

    def is_cancelled(self) -> bool:
        return bool(self._goal.is_cancel_requested)

    def report(self, progress: Progress, newest: RotatedFaceArray) -> None:
        self._complete = progress.done == progress.total
        self._goal.publish_feedback(
            RotateFaceSet.Feedback(done=progress.done, total=progress.total, partial=newest)
        )


def _set_result(answer: Answer, faces: Rotated) -> None:
    answer.success = True
    answer.error_code = RotateFace.Response.NO_ERROR
    answer.faces = faces
