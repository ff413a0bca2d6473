"""Ending a node whose pipeline is inside native code."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from graph import Graph, NodeProcess
from numpy.typing import NDArray

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_node_that_fits_a_face(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    astronaut: NDArray[np.uint8],
    number: signal.Signals,
) -> None:
    node = start_node("-r", f"__ns:=/fit{int(number)}")
    client = connect(f"/fit{int(number)}")
    client.connect()
    client.subscribe()
    with client.stream([astronaut], rate=15.0):
        client.wait(lambda: client.faces, "a face")
        client.wait(lambda: client.counts()["frames pending"] != "0", "work in progress")
        status, seconds = node.stop(number)
    assert status == 0
    assert seconds < 2.0
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        ("rclpy", "init", RuntimeError),
        ("opendr_facerot.ros.facerot_node", "FacerotNode", RuntimeError),
        ("opendr_facerot.ros.facerot_node", "FacerotNode", ValueError),
    ],
)
@pytest.mark.parametrize("is_signalled", [True, False])
def test_signals_become_no_other_error(
    node_environment: dict[str, str],
    module: str,
    name: str,
    error: type[Exception],
    is_signalled: bool,
) -> None:
    """What a signal interrupts may raise an error of its own, which is no reason to complain."""
    program = f"""
import os, signal, sys, time
import {module} as module
from opendr_facerot.ros.node import main

def interrupted(*args, **kwargs):
    try:
        if {is_signalled}:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
    except KeyboardInterrupt:
        pass
    raise {error.__name__}("the context is invalid")

module.{name} = interrupted
sys.exit(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=node_environment, capture_output=True, text=True
    )
    if is_signalled:
        assert (ended.returncode, ended.stderr) == (0, "")
    else:
        assert ended.returncode == 1
        assert ended.stderr.endswith(": the context is invalid\n")
        assert ("Traceback" in ended.stderr) == (error is ValueError)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_holds_up_the_end(node_environment: dict[str, str], number: signal.Signals) -> None:
    """The main thread is inside a native library that no signal interrupts."""
    program = """
import ctypes, signal, sys
import opendr_facerot.ros.facerot_node as module
from opendr_facerot.ros.node import main

def hang():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *arguments: None)  # lest one comes before the lock
    print("hanging", flush=True)
    lock = ctypes.create_string_buffer(64)
    while True:
        ctypes.CDLL(None).pthread_mutex_lock(lock)

module.FacerotNode = hang
sys.exit(main())
"""
    node = subprocess.Popen(
        [sys.executable, "-c", program], env=node_environment, stdout=subprocess.PIPE
    )
    assert node.stdout is not None
    with node:
        assert node.stdout.readline() == b"hanging\n"
        started = time.monotonic()
        node.send_signal(number)
        assert node.wait(20.0) == 0
        assert 1.0 < time.monotonic() - started < 3.0
