"""Entry point of the executable ``facerot_node``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType

from opendr_facerot.errors import FacerotError
from opendr_facerot.ros.allocator import share_pools
from opendr_facerot.ros.errors import HOW_TO_BUILD

_EXIT_TIME = 0.7  # seconds that a step may still run on after the signal to end
_LAST_RESORT = 1.7  # seconds after that signal when the process ends in any case


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; returns the exit status."""
    # While modules are loaded there is nothing to clean up, and an exception could be lost in one.
    _handle_signals(lambda number, frame: os._exit(0))
    share_pools()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 0


class _Interruption:
    """Handler that raises KeyboardInterrupt, and remembers: native code may lose the exception."""

    def __init__(self) -> None:
        self._happened = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._happened = True
        raise KeyboardInterrupt

    def happened(self) -> bool:
        return self._happened


def _handle_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _end_at_last() -> None:
    """Let the process end a while after a signal, whatever its threads are waiting for.

    The interpreter writes the numbers of signals to a pipe at once, even while its main thread is
    inside a native library, where no handler of Python's could run.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reading, 1)[0] not in (signal.SIGINT, signal.SIGTERM):
            pass
        time.sleep(_LAST_RESORT)
        os._exit(0)

    threading.Thread(target=watch, name="facerot last resort", daemon=True).start()


def _run(arguments: Sequence[str] | None) -> int:
    try:
        import rclpy
        from rclpy.executors import ExternalShutdownException

        from opendr_facerot.ros.executor import NodeExecutor
        from opendr_facerot.ros.facerot_node import THREADS, FacerotNode
    except ImportError as error:
        sys.stderr.write(f"facerot_node: {error}\n{HOW_TO_BUILD}")
        return 1
    # Until ROS has its own handlers, and in the gaps between what it handles.
    interruption = _Interruption()
    _handle_signals(interruption)
    _end_at_last()
    given = list(sys.argv if arguments is None else arguments)
    if reason := _no_log_file():
        sys.stderr.write(f"facerot_node: no log file is written: {reason}\n")
        given += ["--ros-args", "--disable-external-lib-logs"]
    try:
        rclpy.init(args=given)
    except RuntimeError as error:  # of ROS, about its arguments or a parameter file
        return 0 if interruption.happened() else _refuse(error)
    if interruption.happened():
        rclpy.try_shutdown()
        return 0
    try:
        node = FacerotNode()
        executor = NodeExecutor(node.frame_group, THREADS)
        executor.add_node(node)
    except Exception as error:
        # Whatever a signal has interrupted, it ends ROS in a thread of its own, meanwhile.
        if interruption.happened() or not rclpy.ok():
            return 0
        if isinstance(error, (FacerotError, RuntimeError)):
            return _refuse(error)
        raise
    if "--params-file" in given and not node.has_given_parameters:
        node.get_logger().warning(
            "no parameter file has parameters for this node: write them below "
            f"{node.get_fully_qualified_name()} or /**"
        )
    if interruption.happened():
        rclpy.try_shutdown()
    while rclpy.ok():
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            break
        except Exception:  # of one callback: the node goes on, unless ROS was ended meanwhile
            if rclpy.ok():
                node.get_logger().error(traceback.format_exc())

    _handle_signals(signal.SIG_IGN)  # what follows is short and must be finished
    stopped = node.close(_EXIT_TIME)
    executor.shutdown(timeout_sec=0)
    node.destroy_node()
    rclpy.try_shutdown()
    if not stopped:
        # The interpreter cannot end in good order beside a thread that is inside a native library.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _no_log_file() -> str:
    """Why ROS could not write its log file, which would keep it from starting; empty if it can.

    See https://docs.ros.org/en/jazzy/Concepts/Intermediate/About-Logging.html for the place.
    """
    home = os.environ.get("ROS_HOME") or "~/.ros"
    folder = Path(os.environ.get("ROS_LOG_DIR") or f"{home}/log").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return ""
    except (OSError, RuntimeError) as error:  # the latter if there is no home
        return str(error)


def _refuse(reason: BaseException) -> int:
    sys.stderr.write(f"facerot_node: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
