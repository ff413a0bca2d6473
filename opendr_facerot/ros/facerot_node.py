"""The ROS 2 node: parameters, lifecycle, topics and services around a FaceTurner."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from opendr_facerot.errors import FacerotError, SettingsError
from opendr_facerot.loading import pipeline_class
from opendr_facerot.ros.core import QUEUE_SIZE, FaceTurner
from opendr_facerot.ros.diagnostics import Diagnostics, NodeState, statistics_response
from opendr_facerot.ros.errors import BusyError, NotActiveError
from opendr_facerot.ros.images import ImageMessage, vertical_fov
from opendr_facerot.ros.parameters import PARAMETERS, NodeParameters, checked, refuse_unknown
from opendr_facerot.ros.requests import RequestServer
from opendr_facerot.ros.results import ResultPublisher
from opendr_facerot.ros.rotation import TurnedFace
from opendr_facerot.ros.statistics import Count, Timing
from opendr_facerot_interfaces.srv import GetStatistics

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

THREADS = 2 * QUEUE_SIZE + 7
"""Executor threads: one for each request and set that may wait, the rest for what must not."""

_FRAME_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LOG_PERIOD = 5.0  # seconds between two messages of one kind
_CLOCK_TOLERANCE = 0.1  # seconds by which a stamp may be ahead of this machine's clock
_STEP_PATIENCE = 1.0  # seconds that a transition waits for a step of the pipeline to end


class FacerotNode(LifecycleNode):
    """Node ``facerot``.

    Attributes:
        has_given_parameters: Whether a parameter file or the command line gave it any.
        frame_group: Of the callbacks that take frames and calibrations, and never wait.

    Raises:
        SettingsError: A parameter file or the command line gives an unknown parameter or an
            unusable value.
    """

    def __init__(self) -> None:
        super().__init__("facerot")
        self._values: dict[str, Any] = self._declare_parameters()
        self._turner = FaceTurner(
            NodeParameters.from_values(self._values), self._on_faces, self._on_frame_error
        )
        self._lifecycle = "unconfigured"
        self._problem = ""
        self._results: ResultPublisher | None = None
        self._inputs: list[Subscription] = []
        self.frame_group = MutuallyExclusiveCallbackGroup()

        self.add_pre_set_parameters_callback(_in_declared_types)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._requests = RequestServer(self, self._turner)
        self.create_service(
            SetBool, "~/enable", self._on_enable, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self.create_service(
            GetStatistics,
            "~/get_statistics",
            self._on_get_statistics,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._diagnostics = Diagnostics(self._turner.statistics.snapshot())
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A clock that no simulation stops.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(
            1.0, self._report, callback_group=MutuallyExclusiveCallbackGroup(), clock=steady
        )
        if self._turner.parameters.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=steady)

    def close(self, timeout: float) -> bool:
        """Stop working; returns whether the worker has ended within ``timeout`` seconds."""
        return self._turner.close(timeout)

    def destroy_node(self) -> None:
        """Leave the graph and free the shared memory, which a process that is cut off would not."""
        self._requests.destroy()
        super().destroy_node()
        # It holds on to the node, and rclpy has no public way to end it.
        self._state_machine.destroy_when_not_in_use()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check what the parameters name, and announce the topics."""
        try:
            pipeline_class(self._turner.parameters.pipeline)
            self._results = ResultPublisher(self)
        except Exception as error:  # importing a pipeline may raise anything
            return self._failed("configure", error)
        self._problem = ""
        self._lifecycle = "inactive"
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the pipeline and subscribe to the images."""
        try:
            self._wait_for(self._turner.load())
            super().on_activate(state)
            self._turner.start()
            self._subscribe()
        except Exception as error:  # so may loading it
            self._halt()
            return self._failed("activate", error)
        self._problem = ""
        self._lifecycle = "active"
        self.get_logger().info(
            f"active: pipeline {self._turner.parameters.pipeline} on {self._turner.device}"
        )
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working; the pipeline stays loaded."""
        self._halt()
        self._lifecycle = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the pipeline and withdraw the topics."""
        try:
            self._free()
        except Exception as error:
            return self._failed("clean up", error)
        self._problem = ""
        self._lifecycle = "unconfigured"
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and free everything, from any state."""
        self._halt()
        try:
            self._free()
        except Exception as error:  # the process is about to end
            self._failed("free the pipeline", error)
        self._lifecycle = "finalized"
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to the start after a transition that raised an error."""
        self._halt()
        return self.on_cleanup(state)

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        try:
            if self.trigger_configure() == SUCCESS:
                self.trigger_activate()
        except Exception:
            if self.context.ok():  # otherwise the node has been destroyed meanwhile
                raise

    def _halt(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        self._turner.halt()

    def _free(self) -> None:
        self._wait_for(self._turner.release())
        if self._results is not None:
            self._results.destroy()
            self._results = None

    def _wait_for(self, future: Future[None]) -> None:
        """Wait for a call of the worker to begin and to end, but not longer than ROS runs."""
        deadline = time.monotonic() + _STEP_PATIENCE
        while not wait([future], timeout=0.1).done:
            if not self.context.ok():
                raise NotActiveError("the node is shutting down")
            if time.monotonic() > deadline and future.cancel():
                raise BusyError(
                    "the pipeline has not come to the end of a step: try again, or end the node"
                )
        future.result()

    def _failed(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        self._problem = f"cannot {transition}: {_described(error)}"
        if self.context.ok():
            self.get_logger().error(self._problem)
        return FAILURE

    # Parameters

    def _declare_parameters(self) -> dict[str, Any]:
        # rclpy has no public list of what parameter files and the command line give.
        given = {
            name: parameter.value
            for name, parameter in self._parameter_overrides.items()
            if not self.has_parameter(name)
        }
        refuse_unknown(given)
        self.has_given_parameters = bool(given)
        values = {}
        for name, parameter in PARAMETERS.items():
            values[name] = checked(name, given[name]) if name in given else parameter.default
            self.declare_parameter(name, values[name], parameter.descriptor(), ignore_override=True)
        return values

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        new = _own(changes)
        if self._lifecycle == "active":
            for name, value in new.items():
                if not PARAMETERS[name].live and value != self._values[name]:
                    reason = (
                        f"parameter {name} cannot change while the node is active: deactivate it"
                    )
                    return SetParametersResult(successful=False, reason=reason)
        try:
            NodeParameters.from_values({**self._values, **new})
        except SettingsError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, changes: list[Parameter]) -> None:
        self._values.update(_own(changes))
        self._turner.use(NodeParameters.from_values(self._values))

    # Frames

    def _subscribe(self) -> None:
        kind, topic = Image, "image"
        if self._turner.parameters.image_transport == "compressed":
            # Beside the topic that "image" is remapped to, as image_transport has it.
            kind, topic = CompressedImage, self.resolve_topic_name("image") + "/compressed"
        for message_type, name, callback in (
            (kind, topic, self._on_image),
            (CameraInfo, "camera_info", self._on_camera_info),
        ):
            self._inputs.append(
                self.create_subscription(
                    message_type, name, callback, _FRAME_QOS, callback_group=self.frame_group
                )
            )

    def _on_image(self, message: ImageMessage) -> None:
        self._turner.take_frame(message, self._wanted())

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._turner.camera_fov = vertical_fov(message)

    def _wanted(self) -> bool:
        return self._results is not None and self._results.wanted(self._turner.parameters)

    def _on_faces(
        self,
        header: Header,
        image: NDArray[np.uint8],
        faces: list[TurnedFace],
        parameters: NodeParameters,
    ) -> None:
        if self._results is None:
            return
        self._results.publish(header, image, faces, parameters)
        self._measure_age(header.stamp.sec + 1e-9 * header.stamp.nanosec)

    def _measure_age(self, stamp: float) -> None:
        if stamp == 0.0:  # the driver gives none
            return
        age = 1e-9 * self.get_clock().now().nanoseconds - stamp
        if age < -_CLOCK_TOLERANCE:
            self._turner.statistics.count(Count.AHEAD)
        else:
            self._turner.statistics.measure(Timing.AGE, max(age, 0.0))

    def _on_frame_error(self, error: BaseException) -> None:
        logger = self.get_logger()
        if isinstance(error, FacerotError):
            logger.warning(f"frame skipped: {error}", throttle_duration_sec=_LOG_PERIOD)
        elif self.context.ok():  # otherwise nothing can be published, which is no news
            logger.error(
                "frame skipped: " + "".join(traceback.format_exception(error)),
                throttle_duration_sec=_LOG_PERIOD,
            )

    # The rest

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._turner.enable(request.data)
        response.success = True
        response.message = "enabled" if request.data else "disabled"
        return response

    def _on_get_statistics(
        self, request: GetStatistics.Request, response: GetStatistics.Response
    ) -> GetStatistics.Response:
        stamp = self.get_clock().now().to_msg()
        return statistics_response(stamp, self._state(), self._turner.statistics.snapshot())

    def _report(self) -> None:
        stamp = self.get_clock().now().to_msg()
        statistics = self._turner.statistics.snapshot()
        report = self._diagnostics.report(stamp, self._state(), statistics)
        self._diagnostics_publisher.publish(report)

    def _state(self) -> NodeState:
        parameters = self._turner.parameters
        return NodeState(
            name=self.get_fully_qualified_name(),
            lifecycle=self._lifecycle,
            enabled=self._turner.enabled,
            wanted=self._wanted(),
            pipeline=parameters.pipeline,
            device=self._turner.device,
            problem=self._problem,
            frame_seconds=self._turner.worker.frame_seconds,
            age_warn=parameters.age_warn,
            age_error=parameters.age_error,
        )


def _own(changes: list[Parameter]) -> dict[str, Any]:
    """The changes of parameters that this node declares, not ROS."""
    return {p.name: p.value for p in changes if p.name in PARAMETERS}


def _in_declared_types(changes: list[Parameter]) -> list[Parameter]:
    """Take whole numbers where the declared type has a decimal point."""
    converted = []
    for change in changes:
        try:
            value = checked(change.name, change.value)
        except (KeyError, SettingsError):  # not ours, or to be refused with a reason later
            converted.append(change)
        else:
            converted.append(Parameter(change.name, value=value))
    return converted


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, FacerotError) else f"{type(error).__name__}: {error}"
