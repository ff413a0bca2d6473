"""Lifecycle cycles without end: memory, threads, files and ROS entities stay as they are."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from graph import Graph, NodeProcess
from numpy.typing import NDArray
from squares import picture

pytestmark = pytest.mark.slow

CYCLES = 20
TRANSITIONS = ("deactivate", "cleanup", "configure", "activate")


@dataclass(frozen=True)
class Usage:
    files: int
    entities: tuple[int, int, int]
    segments: int


def usage(node: NodeProcess, client: Graph) -> Usage:
    """What the node holds, as its process and as others in the graph see it."""
    namespace, _, name = client.name.rpartition("/")
    graph = client.node
    return Usage(
        files=node.open_files(),
        entities=(
            len(graph.get_publisher_names_and_types_by_node(name, namespace)),
            len(graph.get_subscriber_names_and_types_by_node(name, namespace)),
            len(graph.get_service_names_and_types_by_node(name, namespace)),
        ),
        segments=len(node.shared_memory()),
    )


@pytest.mark.parametrize(
    ("pipeline", "warm_up"),
    [("squares", 4), ("head", 8)],  # the allocator's pools grow until they have met all arrays
)
def test_cycles_leave_nothing_behind(
    start_node: Callable[..., NodeProcess],
    connect: Callable[[str], Graph],
    astronaut: NDArray[np.uint8],
    pipeline: str,
    warm_up: int,
) -> None:
    image = astronaut if pipeline == "head" else picture()
    node = start_node("-r", f"__ns:=/{pipeline}", "-p", f"pipeline:={pipeline}")
    client = connect(f"/{pipeline}")
    client.connect()
    memory: list[float] = []
    first: Usage | None = None
    threads: list[int] = []
    for _ in range(warm_up + CYCLES):
        for transition in TRANSITIONS:
            assert client.change_state(transition)
            if transition == "cleanup":
                memory.append(node.memory())
        assert client.rotate(image).success
        threads.append(int(node.status("Threads")))
        first = first or usage(node, client)
        client.wait(lambda: usage(node, client) == first, "what was given up to be gone")  # noqa: B023

    # The executor starts its threads one by one, up to its limit, when callbacks come together.
    assert threads[-1] - threads[warm_up] < CYCLES / 3
    # What a part of the cycles leaves for a while is no growth: the least of some is compared.
    before, after = min(memory[warm_up : warm_up + 5]), min(memory[-5:])
    assert after - before < 0.02 * before, memory
