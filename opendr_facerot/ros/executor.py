"""An executor that a message which cannot be read does not stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.executors import MultiThreadedExecutor


class SteadyExecutor(MultiThreadedExecutor):
    """A MultiThreadedExecutor that goes on taking messages after one that cannot be read.

    Text that is not UTF-8 makes rclpy raise an error while it takes a message, and it would then
    never again look at that subscription or service, nor at others of its callback group.

    Args:
        num_threads: Threads for callbacks.
        on_unreadable: Called in one of them with the subscription, service or other entity, and the
            error.
    """

    def __init__(self, num_threads: int, on_unreadable: Callable[[Any, Exception], None]) -> None:
        super().__init__(num_threads=num_threads)
        self._on_unreadable = on_unreadable

    def _make_handler(self, entity: Any, node: Any, take: Callable[[Any], Any]) -> Any:
        def take_or_report(entity: Any) -> Any:
            try:
                return take(entity)
            except Exception as error:  # whatever the conversion of the message raises
                self._on_unreadable(entity, error)
                return None

        return super()._make_handler(entity, node, take_or_report)
