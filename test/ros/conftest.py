"""Real ROS graphs for tests: the node in a process of its own, its clients in the test's."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # ROS may be missing, and the tests skipped
    from graph import Graph, NodeProcess

REPOSITORY = Path(__file__).parents[2]
_METADATA = "Metadata-Version: 2.1\nName: squares\nVersion: 0\n"
_ENTRY_POINTS = "[opendr_facerot.pipelines]\nsquares = squares:SquaresRotator\n"


@pytest.fixture(scope="session")
def node_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A ROS domain of this test run, in which the pipeline "squares" is installed."""
    site = tmp_path_factory.mktemp("site")
    metadata = site / "squares-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(_METADATA)
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    paths = [str(REPOSITORY), str(site), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "ROS_DOMAIN_ID": str(random.randint(1, 101)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(REPOSITORY / "config" / "fastdds_profile.xml"),
        "RCUTILS_LOGGING_BUFFERED_STREAM": "0",
    }


@pytest.fixture(scope="session", autouse=True)
def _same_environment(node_environment: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_PYTHON_CHECK_FIELDS"):
            patch.setenv(name, node_environment[name])
        patch.setenv(
            "FASTRTPS_DEFAULT_PROFILES_FILE", node_environment["FASTRTPS_DEFAULT_PROFILES_FILE"]
        )
        yield


@pytest.fixture
def start_node(
    node_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., NodeProcess]]:
    """Start nodes with ROS arguments; they end with the test."""
    from graph import NodeProcess

    started: list[NodeProcess] = []

    def start(*arguments: str) -> NodeProcess:
        log = tmp_path / f"node{len(started)}.log"
        started.append(NodeProcess(arguments, node_environment, log))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture(scope="module")
def squares_node(
    node_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """An active node with the pipeline "squares", shared by the tests of a module."""
    from graph import NodeProcess

    log = tmp_path_factory.mktemp("log") / "node.log"
    process = NodeProcess(("-r", "__ns:=/shared", "-p", "pipeline:=squares"), node_environment, log)
    yield process
    process.end()


@pytest.fixture(scope="module")
def connect(node_environment: dict[str, str]) -> Iterator[Callable[[str], Graph]]:
    """Make clients of the node in a namespace; they live as long as the module's tests."""
    from graph import Graph

    made: list[Graph] = []

    def make(namespace: str) -> Graph:
        made.append(Graph(namespace))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def _shared_client(squares_node: NodeProcess, connect: Callable[[str], Graph]) -> Graph:
    client = connect("/shared")
    client.connect()
    return client


@pytest.fixture
def shared(_shared_client: Graph) -> Iterator[Graph]:
    """A client of the module's node, which gets its frames; subscriptions end with the test."""
    yield _shared_client
    _shared_client.unsubscribe()
