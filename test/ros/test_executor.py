"""The node's executor: which thread runs what, and what becomes of errors."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import threading
import time
from collections.abc import Callable, Iterator

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.node import Node

from opendr_facerot.ros.executor import NodeExecutor

PATIENCE = 10.0


class Spinner:
    """A node whose timers' callbacks are run by the executor."""

    def __init__(self, context: Context, threads: int) -> None:
        self.node = Node("spun", context=context, start_parameter_services=False)
        self.short, self.long = MutuallyExclusiveCallbackGroup(), ReentrantCallbackGroup()
        self.executor = NodeExecutor(self.short, threads, context=context)
        self.executor.add_node(self.node)
        self.spins = 0

    def once(self, callback: Callable[[], None], *, short: bool) -> None:
        """Have a callback run once."""

        def run() -> None:
            timer.cancel()
            callback()

        group = self.short if short else self.long
        timer = self.node.create_timer(0.0, run, callback_group=group)

    def spin_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)
            self.spins += 1


@pytest.fixture
def spinner(request: pytest.FixtureRequest) -> Iterator[Spinner]:
    context = Context()
    rclpy.init(context=context)
    spinner = Spinner(context, getattr(request, "param", 2))
    yield spinner
    spinner.executor.shutdown(timeout_sec=0)
    spinner.node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_short_callbacks_run_in_the_spinning_thread_while_others_wait(spinner: Spinner) -> None:
    go_on, waiting, ended = threading.Event(), list[int](), list[int]()

    def wait() -> None:
        waiting.append(threading.get_ident())
        assert go_on.wait(PATIENCE)
        ended.append(threading.get_ident())

    for _ in range(2):
        spinner.once(wait, short=False)
    spinner.spin_until(lambda: len(waiting) == 2)
    ran: list[int] = []
    spinner.once(lambda: ran.append(threading.get_ident()), short=True)
    spinner.spin_until(lambda: bool(ran))
    assert ended == []
    assert ran == [threading.get_ident()]
    assert len({*waiting, *ran}) == 3
    go_on.set()
    spinner.spin_until(lambda: len(ended) == 2)


@pytest.mark.parametrize("spinner", [1], indirect=True)
def test_it_does_not_hurry_threads_that_are_busy(spinner: Spinner) -> None:
    go_on, begun = threading.Event(), list[str]()

    def wait() -> None:
        begun.append("first")
        assert go_on.wait(PATIENCE)

    spinner.once(wait, short=False)
    spinner.spin_until(lambda: bool(begun))
    spinner.once(lambda: begun.append("second"), short=False)
    deadline, spins = time.monotonic() + 0.2, 0
    while time.monotonic() < deadline:
        spinner.executor.spin_once(timeout_sec=0.05)
        spins += 1
    assert spins <= 0.2 / 0.001 + 10  # rclpy's own executor: thousands
    assert begun == ["first"]
    go_on.set()
    spinner.spin_until(lambda: begun == ["first", "second"])


@pytest.mark.parametrize("short", [True, False])
def test_errors_of_callbacks_are_raised_by_spinning(spinner: Spinner, short: bool) -> None:
    def fail() -> None:
        raise ValueError("broken")

    spinner.once(fail, short=short)
    with pytest.raises(ValueError, match="broken"):
        spinner.spin_until(lambda: False)
    ran: list[str] = []
    spinner.once(lambda: ran.append("next"), short=short)
    spinner.spin_until(lambda: bool(ran))
