"""The executor that the node is run in."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.executors import Executor, ShutdownException, TimeoutException
from rclpy.node import Node
from rclpy.task import Task

_HAND_OVER = 0.001  # seconds in which a thread should have begun what it was given


class NodeExecutor(Executor):
    """Runs short callbacks in the thread that spins, and those that may take long in others.

    rclpy's MultiThreadedExecutor offers a callback to its threads again and again until one of them
    has begun it. Beside a worker that computes, that is long, and at the rate of a camera it costs
    the worker more than the callbacks do.

    Args:
        short: The group of the callbacks that never wait.
        threads: Number of threads for all others.
        context: Of the node; that of the process by default.
    """

    def __init__(
        self, short: CallbackGroup, threads: int, *, context: Context | None = None
    ) -> None:
        super().__init__(context=context)
        self._short = short
        self._pool = ThreadPoolExecutor(threads, "facerot callback")
        self._begun: list[Task] = []

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, or have it run; see :meth:`rclpy.executors.Executor.spin_once`.

        What a callback of the other threads has raised is raised by one of the next calls.
        """
        try:
            found: tuple[Task, Any, Node] = self.wait_for_ready_callbacks(timeout_sec=timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        task, entity, _ = found
        if entity is not None and entity.callback_group is self._short:
            task()
            task.result()  # raises its error
            return
        if task in self._begun:  # no thread has taken it yet, or it was suspended and goes on
            time.sleep(_HAND_OVER)
        else:
            self._begun.append(task)
        self._pool.submit(task)
        for begun in tuple(self._begun):
            if begun.done():
                self._begun.remove(begun)
                begun.result()  # raises its error
