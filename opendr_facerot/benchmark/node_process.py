"""The ROS node in a process of its own, in a graph of its own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opendr_facerot.errors import FacerotError

_ACTIVE = b"active: pipeline"
_END_TIME = 10.0


@dataclass(frozen=True)
class ActiveNode:
    """A node that is ready for frames.

    Attributes:
        process: It.
        seconds: From its start until it was ready.
    """

    process: subprocess.Popen[bytes]
    seconds: float


def private_graph() -> dict[str, str]:
    """Environment of processes that find one another and nothing else, and pass large messages."""
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(random.randint(1, 101)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "RCUTILS_LOGGING_USE_STDOUT": "0",
    }
    for folder in (Path(__file__).parents[2], Path(sys.prefix, "share", "opendr_facerot")):
        if (profile := folder / "config" / "fastdds_profile.xml").is_file():
            environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
    return environment


@contextmanager
def active_node(
    environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> Iterator[ActiveNode]:
    """A node from when it is active on; ended with the context.

    Args:
        environment: Its environment variables.
        arguments: Its arguments.

    Raises:
        FacerotError: It ends instead; the message is its output.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "opendr_facerot.ros.node", *arguments],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield ActiveNode(process, _wait_until_active(process) - start)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_END_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_active(process: subprocess.Popen[bytes]) -> float:
    assert process.stderr is not None
    said = b""
    for line in process.stderr:
        if _ACTIVE in line:
            return time.perf_counter()
        said += line
    raise FacerotError(f"the node did not become active: {said.decode()[-500:]}")
