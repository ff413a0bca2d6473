"""Files that name the node's topics: RViz's and Foxglove's views, the policy of SROS2."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from graph import Graph, NodeProcess
from rclpy.action import get_action_server_names_and_types_by_node
from squares import picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RVIZ = ROOT / "rviz" / "facerot.rviz"
FOXGLOVE = ROOT / "config" / "foxglove_layout.json"
POLICY = ROOT / "config" / "sros2" / "facerot_policy.xml"


@pytest.fixture(scope="module")
def graph(
    node_environment: dict[str, str],
    connect: Callable[[str], Graph],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Graph]:
    """Sees the node with its default names, active and publishing all it can."""
    log = tmp_path_factory.mktemp("log") / "node.log"
    options = ("-p", "pipeline:=squares", "-p", "publish_humans:=true")
    process = NodeProcess(options, node_environment, log)
    client = connect("")
    client.connect()
    client.subscribe()
    while not client.faces:
        client.publish(picture())
        client.report()
    yield client
    process.end()


def names(by_node: list[tuple[str, list[str]]]) -> set[str]:
    return {name for name, _ in by_node if "/_action/" not in name}


def published(graph: Graph) -> set[str]:
    return names(graph.node.get_publisher_names_and_types_by_node("facerot", "/"))


def subscribed(graph: Graph) -> set[str]:
    return names(graph.node.get_subscriber_names_and_types_by_node("facerot", "/"))


def services(graph: Graph) -> set[str]:
    return names(graph.node.get_service_names_and_types_by_node("facerot", "/"))


def actions(graph: Graph) -> set[str]:
    return names(get_action_server_names_and_types_by_node(graph.node, "facerot", "/"))


def values(tree: Any, key: str) -> list[Any]:
    """All values of a key, at any depth."""
    if isinstance(tree, dict):
        own = [tree[key]] if key in tree else []
        return own + [value for branch in tree.values() for value in values(branch, key)]
    if isinstance(tree, list):
        return [value for branch in tree for value in values(branch, key)]
    return []


def test_rviz_shows_the_source_and_the_montage(graph: Graph) -> None:
    displays = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    topics = {display["Name"]: display["Topic"] for display in displays}
    assert topics["Source"]["Value"] in subscribed(graph)
    assert topics["Montage"]["Value"] in published(graph)
    for topic in topics.values():
        (end, *_) = graph.node.get_publishers_info_by_topic(topic["Value"])
        wanted = topic["Reliability Policy"].upper().replace(" ", "_")
        assert wanted in ("BEST_EFFORT", end.qos_profile.reliability.name)


def test_foxglove_panels_name_what_the_node_has(graph: Graph) -> None:
    layout = json.loads(FOXGLOVE.read_text())
    panels = layout["configById"]
    placed = values(layout["layout"], "first") + values(layout["layout"], "second")
    assert {panel for panel in placed if isinstance(panel, str)} == set(panels)
    assert {panel.partition("!")[0] for panel in panels} == {
        "Image", "DiagnosticSummary", "DiagnosticStatusPanel", "Parameters", "CallService",
    }  # fmt: skip

    assert set(values(panels, "imageTopic")) == {"/image", "/facerot/montage"}
    assert set(values(panels, "imageTopic")) <= subscribed(graph) | published(graph)
    assert set(values(panels, "calibrationTopic")) <= subscribed(graph)
    assert set(values(panels, "topicToRender")) <= published(graph)
    (service,) = values(panels, "serviceName")
    assert service == f"{graph.name}/rotate_face"
    assert service in services(graph)


def test_foxglove_calls_the_service_with_a_usable_request(graph: Graph) -> None:
    (payload,) = values(json.loads(FOXGLOVE.read_text()), "requestPayload")
    response = graph.rotate(**json.loads(payload))
    assert response.success, response.message
    assert [round(view.yaw, 3) for view in response.faces[0].views] == [-0.5, 0.0, 0.5]


def allowed(node: str, kind: str, right: str) -> set[str]:
    """Full names of what the policy allows a node."""
    (profile,) = ElementTree.parse(POLICY).getroot().iterfind(f".//profile[@node='{node}']")
    prefix = profile.attrib["ns"].rstrip("/")
    return {
        _full(str(entry.text), prefix, node)
        for group in profile.iterfind(f"{kind}s[@{right}='ALLOW']")
        for entry in group.iterfind(kind)
    }


def _full(name: str, prefix: str, node: str) -> str:
    if name.startswith("~"):
        return f"{prefix}/{node}{name[1:]}"
    return name if name.startswith("/") else f"{prefix}/{name}"


def test_policy_has_the_form_of_sros2() -> None:
    """The elements and attributes of policy.xsd of the package sros2, version 0.2.0."""
    policy = ElementTree.parse(POLICY).getroot()
    assert (policy.tag, policy.attrib) == ("policy", {"version": "0.2.0"})
    rights = {
        "topics": {"publish", "subscribe"},
        "services": {"reply", "request"},
        "actions": {"call", "execute"},
    }
    assert [child.tag for child in policy] == ["enclaves"]
    for enclave in policy[0]:
        assert (enclave.tag, set(enclave.attrib)) == ("enclave", {"path"})
        for profile in _only_children(enclave, "profiles", "profile"):
            assert set(profile.attrib) == {"ns", "node"}
            for group in profile:
                assert set(group.attrib) <= rights[group.tag]
                assert set(group.attrib.values()) == {"ALLOW"}
                assert len(group)
                assert {entry.tag for entry in group} == {group.tag[:-1]}


def _only_children(enclave: Any, *path: str) -> Iterator[Any]:
    level = [enclave]
    for tag in path:
        level = [child for parent in level for child in parent]
        assert {child.tag for child in level} == {tag}
    return iter(level)


def test_policy_allows_the_node_what_it_does_and_no_more(graph: Graph) -> None:
    may_publish = allowed("facerot", "topic", "publish")
    assert published(graph) <= _patterns_in(may_publish, published(graph))
    assert {p for p in may_publish if not any(fnmatchcase(n, p) for n in published(graph))} == set()

    elsewhere = {"/image/compressed", "/clock", "/parameter_events"}  # other transport, sim time
    assert allowed("facerot", "topic", "subscribe") == subscribed(graph) | elsewhere
    assert allowed("facerot", "service", "reply") == services(graph)
    assert allowed("facerot", "action", "execute") == actions(graph)


def _patterns_in(patterns: set[str], found: set[str]) -> set[str]:
    return {name for name in found if any(fnmatchcase(name, pattern) for pattern in patterns)}


def test_client_of_the_policy_gets_only_what_there_is(graph: Graph) -> None:
    client = "facerot_client"
    common = {"/clock", "/parameter_events", "/rosout"}
    assert allowed(client, "topic", "subscribe") - common <= published(graph)
    assert allowed(client, "topic", "publish") <= common
    assert allowed(client, "service", "request") <= services(graph)
    assert allowed(client, "action", "call") == actions(graph)
    changing = ("set_parameters", "set_parameters_atomically", "change_state", "enable")
    assert not {f"{graph.name}/{name}" for name in changing} & allowed(client, "service", "request")


def test_camera_of_the_policy_publishes_what_the_node_subscribes_to(graph: Graph) -> None:
    common = {"/parameter_events", "/rosout"}
    inputs = subscribed(graph) - common | {"/image/compressed"}
    assert allowed("camera", "topic", "publish") == inputs | common
    assert allowed("camera", "topic", "subscribe") == {"/clock", "/parameter_events"}
    assert not allowed("camera", "service", "request")
