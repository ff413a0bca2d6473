"""From start to end: transitions, parameters, signals."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import signal
from collections.abc import Callable
from pathlib import Path

from graph import Graph, NodeProcess
from squares import picture

from opendr_facerot_interfaces.srv import RotateFace

pytestmark = pytest.mark.slow

Code = RotateFace.Response
StartNode = Callable[..., NodeProcess]
MakeGraph = Callable[[str], Graph]


def test_transitions(start_node: StartNode, connect: MakeGraph) -> None:
    start_node("-r", "__ns:=/manual", "-p", "autostart:=false", "-p", "pipeline:=squares")
    client = connect("/manual")
    assert client.state() == "unconfigured"
    assert client.rotate(picture()).error_code == Code.NOT_ACTIVE
    client.begin_change_state("activate")  # impossible: rclpy raises and answers nothing
    assert client.state() == "unconfigured"

    assert client.change_state("configure")
    assert client.state() == "inactive"
    answer = client.rotate(picture())
    assert (answer.success, answer.error_code) == (False, Code.NOT_ACTIVE)
    assert "activate it" in answer.message
    assert client.activity() == "inactive"

    for _ in range(3):
        assert client.change_state("activate")
        assert client.state() == "active"
        assert client.rotate(picture()).success
        assert client.change_state("deactivate")
        assert client.rotate(picture()).error_code == Code.NOT_ACTIVE
        assert client.change_state("cleanup")
        assert client.state() == "unconfigured"
        assert client.change_state("configure")


def test_latest_frame_is_forgotten_when_deactivated(
    start_node: StartNode, connect: MakeGraph
) -> None:
    start_node("-r", "__ns:=/forget", "-p", "pipeline:=squares")
    client = connect("/forget")
    client.connect()
    assert client.change_state("deactivate")
    assert client.change_state("activate")
    answer = client.rotate()
    assert (answer.success, answer.error_code) == (False, Code.NO_IMAGE)
    assert "no frame has arrived" in answer.message


def test_pipeline_that_cannot_be_loaded(start_node: StartNode, connect: MakeGraph) -> None:
    node = start_node("-r", "__ns:=/broken", "-p", "pipeline:=cubes")
    client = connect("/broken")
    client.wait(lambda: "cannot configure" in client.activity(), "the report of the failure")
    assert client.diagnostics[-1].level == b"\x02"
    assert "no pipeline 'cubes'" in client.diagnostics[-1].message
    assert "no pipeline 'cubes'" in node.log
    assert client.state() == "unconfigured"
    assert client.set_parameters(pipeline="squares") == ""
    assert client.change_state("configure")
    assert client.change_state("activate")
    assert client.rotate(picture()).success


def test_parameters_change_at_the_next_frame_or_are_refused(shared: Graph) -> None:
    shared.subscribe()
    assert shared.set_parameters(yaw_deg=[5.0], pitch_deg=[0.0], output_size=64) == ""
    shared.publish(picture())
    shared.wait(lambda: shared.faces, "a face")
    (view,) = shared.faces[-1].views
    assert (round(view.yaw, 6), view.image.width) == (0.087266, 64)

    assert shared.set_parameters(view_preset="triptych", output_size=96) == ""
    shared.publish(picture())
    shared.wait(lambda: len(shared.faces) == 2, "another face")
    assert [view.image.width for view in shared.faces[-1].views] == [96] * 3

    assert "91 is outside [-90, 90]" in shared.set_parameters(yaw_deg=[91.0])
    assert "out of range" in shared.set_parameters(output_size=2000)
    assert "one of custom" in shared.set_parameters(view_preset="ten")
    assert "while the node is active" in shared.set_parameters(device="cuda")
    assert "read-only" in shared.set_parameters(autostart=False)
    assert "2 yaw and 3 pitch" in shared.set_parameters(
        view_preset="custom", yaw_deg=[1.0, 2.0], pitch_deg=[1.0, 2.0, 3.0]
    )
    assert shared.parameter("output_size") == 96
    assert shared.parameter("view_preset") == "triptych"
    assert shared.set_parameters(view_preset="custom", yaw_deg=[-30, 30], pitch_deg=[0]) == ""
    assert list(shared.parameter("yaw_deg")) == [-30.0, 30.0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-p", "yaw_degrees:=[0.0]"), "no parameter yaw_degrees"),
        (("-p", "output_size:=5000"), "parameter output_size is 5000"),
        (("-p", "yaw_deg:=[95.0]"), "parameter yaw_deg is [95.0]"),
        (("-p", "grid:=maybe"), "parameter grid is 'maybe'"),
        (("-p", "yaw_deg:=[]"), "parameter yaw_deg is empty"),
        (("-p", "max_rate:=fast"), "parameter max_rate is 'fast'"),
        (("-p", "pipeline:=3"), "parameter pipeline is 3"),
        (("-p", "view_preset:=ten"), "parameter view_preset is 'ten'"),
    ],
)
def test_unusable_arguments_end_the_node_with_a_reason(
    start_node: StartNode, arguments: tuple[str, ...], told: str
) -> None:
    node = start_node(*arguments)
    assert node.wait() == 1
    assert told in node.log
    assert "Traceback" not in node.log


def test_unknown_key_of_a_parameter_file(start_node: StartNode, tmp_path: Path) -> None:
    file = tmp_path / "facerot.yaml"
    file.write_text("facerot:\n  ros__parameters:\n    yaw_deg: [0, 10]\n    zoom: 2\n")
    node = start_node("--params-file", str(file))
    assert node.wait() == 1
    assert "no parameter zoom" in node.log


def test_parameter_file_of_another_node(
    start_node: StartNode, connect: MakeGraph, tmp_path: Path
) -> None:
    file = tmp_path / "facerot.yaml"
    file.write_text("facetor:\n  ros__parameters:\n    output_size: 128\n")
    node = start_node("-r", "__ns:=/typo", "--params-file", str(file))
    client = connect("/typo")
    assert client.parameter("output_size") == 256
    assert "no parameter file has parameters for this node" in node.log
    assert "/typo/facerot or /**" in node.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_an_active_node(
    start_node: StartNode, connect: MakeGraph, number: signal.Signals
) -> None:
    node = start_node("-r", f"__ns:=/idle{int(number)}", "-p", "pipeline:=squares")
    client = connect(f"/idle{int(number)}")
    client.connect()
    status, seconds = node.stop(number)
    assert status == 0
    assert seconds < 2.0
    assert "Traceback" not in node.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_node_that_is_busy(
    start_node: StartNode, connect: MakeGraph, number: signal.Signals
) -> None:
    node = start_node("-r", f"__ns:=/busy{int(number)}", "-p", "pipeline:=squares")
    client = connect(f"/busy{int(number)}")
    client.connect()
    requests = [client.begin_rotate(picture(slow_fit=2.5)) for _ in range(6)]
    client.wait(lambda: any(r.done() for r in requests), "a refusal")
    status, seconds = node.stop(number)
    assert status == 0
    assert seconds < 2.0
    assert "Traceback" not in node.log


def test_two_nodes_in_two_namespaces_do_not_hear_each_other(
    start_node: StartNode, connect: MakeGraph
) -> None:
    clients = []
    for namespace in ("/left", "/right"):
        start_node("-r", f"__ns:={namespace}", "-p", "pipeline:=squares")
        clients.append(connect(namespace))
    for client in clients:
        client.connect()
        client.subscribe()
    left, right = clients
    left.publish(picture((40,)), stamp=1)
    right.publish(picture((50,)), stamp=2)
    left.wait(lambda: left.faces and right.faces, "both faces")
    assert [face.roi.width for face in left.faces] == [40]
    assert [face.roi.width for face in right.faces] == [50]


def test_missing_interfaces_are_told_how_to_build(
    node_environment: dict[str, str], tmp_path: Path
) -> None:
    hidden = tmp_path / "opendr_facerot_interfaces"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('not built')\n")
    environment = {
        **node_environment,
        "PYTHONPATH": f"{tmp_path}:{node_environment['PYTHONPATH']}",
    }
    node = NodeProcess((), environment, tmp_path / "node.log")
    assert node.wait() == 1
    assert "colcon build" in node.log
    assert "make venv" in node.log
