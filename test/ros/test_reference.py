"""docs/ros.md says what the code and a running node say."""

from __future__ import annotations

import pytest

pytest.importorskip("opendr_facerot_interfaces", reason="ROS 2 or the interfaces are not installed")

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from graph import Graph, NodeProcess
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from squares import picture

from opendr_facerot.errors import ImageError
from opendr_facerot.ros.images import image_from_message
from opendr_facerot.ros.parameters import PARAMETERS
from opendr_facerot_interfaces.srv import GetStatistics, RotateFace

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ros.md"
TOOL = ROOT / "tools" / "ros_reference.py"

# Beside those of every lifecycle node, which the page names.
OF_EVERY_NODE = {"/rosout", "/parameter_events"}
PARAMETER_SERVICES = {
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters",
    "set_parameters", "set_parameters_atomically", "get_type_description",
}  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """Cells of every row of every table, without heads."""
    for head, row in re.findall(r"^(?!\|---)\|(.+)\|\n(?=(\|---)?)", text, re.MULTILINE):
        if not row:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", head)]


def run_tool(page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, TOOL, "--check", "--page", page),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_tables_are_up_to_date() -> None:
    done = run_tool(PAGE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("written", "changed"),
    [("| `0.6` |", "| `0.7` |"), ("| `done` | `uint32` |", "| `done` | `uint64` |")],
)
def test_an_outdated_table_is_found(page: str, tmp_path: Path, written: str, changed: str) -> None:
    assert page.count(written) == 1
    outdated = tmp_path / "ros.md"
    outdated.write_text(page.replace(written, changed))
    done = run_tool(outdated)
    assert done.returncode == 1
    assert "is out of date: run python tools/ros_reference.py" in done.stdout
    assert changed in outdated.read_text()


def test_every_parameter_and_interface_has_its_row(page: str) -> None:
    assert [row[0] for row in rows(section(page, "Parameters"))] == [f"`{p}`" for p in PARAMETERS]
    headings = set(re.findall(r"^### (.+)$", section(page, "Messages"), re.MULTILINE))
    folder = ROOT / "opendr_facerot_interfaces"
    files = {f"{path.parent.name}/{path.stem}" for path in folder.glob("[msa]*/*.[msa]*")}
    assert headings == files


def test_error_codes(page: str) -> None:
    documented = {row[1]: int(row[0]) for row in rows(section(page, "Error codes"))}
    constants = {name: getattr(RotateFace.Response, name) for name in documented}
    assert documented == constants
    text = (ROOT / "opendr_facerot_interfaces/srv/RotateFace.srv").read_text()
    assert set(re.findall(r"^uint16 ([A-Z_]+)=", text, re.MULTILINE)) == set(documented)


def test_encodings(page: str) -> None:
    with pytest.raises(ImageError) as refusal:
        image_from_message(Image(encoding="none"))
    supported = str(refusal.value).rpartition("send one of ")[2]
    text = " ".join(section(page, "Topics, services and actions").split())
    assert f"Encodings: {supported}." in text


def test_links(page: str) -> None:
    titles = re.findall(r"^## (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", page):
        if target.startswith("#"):
            assert target[1:] in anchors
        else:
            assert (PAGE.parent / target).exists(), target


@pytest.mark.slow
def test_topics_services_and_actions_of_a_running_node(
    page: str, start_node: Callable[..., NodeProcess], connect: Callable[[str], Graph]
) -> None:
    space = "/documented"
    start_node("-r", f"__ns:={space}", "-p", "pipeline:=squares", "-p", "publish_humans:=true")
    client = connect(space)
    client.connect()
    client.publish(picture())
    client.wait(lambda: client.statistics().faces, "a face")
    found = names_in_the_graph(client, space)
    assert client.change_state("deactivate")
    assert client.set_parameters(image_transport="compressed") == ""
    assert client.change_state("activate")
    compressed = ("subscribed", f"{space}/image/compressed")
    client.wait(lambda: compressed in names_in_the_graph(client, space), "the subscription")
    found |= names_in_the_graph(client, space)

    documented = {}
    for name, kind, message_type, qos, _ in rows(section(page, "Topics, services and actions")):
        full = name.strip("`").replace("~", f"{space}/facerot").replace("<id>", "face0")
        full = full if full.startswith("/") else f"{space}/{full}"
        documented[kind, full] = (message_type.strip("`"), qos.partition(",")[0])
    assert found == documented


def names_in_the_graph(client: Graph, space: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Type and QoS of all that the node has, by kind and name, except what every node has."""
    node = client.node
    found = {}
    for kind, pairs in {
        "published": node.get_publisher_names_and_types_by_node("facerot", space),
        "subscribed": node.get_subscriber_names_and_types_by_node("facerot", space),
        "service": node.get_service_names_and_types_by_node("facerot", space),
        "action": get_action_server_names_and_types_by_node(node, "facerot", space),
    }.items():
        for name, types in pairs:
            leaf = name.rpartition("/")[2]
            if (
                name in OF_EVERY_NODE
                or leaf in PARAMETER_SERVICES
                or f"`~/{leaf}`" in lifecycle_names()
                or "/_action/" in name
            ):
                continue
            (found_type,) = types
            found[kind, name] = (found_type, quality_of_service(client, kind, name))
    return found


def lifecycle_names() -> str:
    text = section(PAGE.read_text(), "Topics, services and actions")
    (sentence,) = re.findall(r"A lifecycle node also has (.+?), and like", text, re.DOTALL)
    return str(sentence)


def quality_of_service(client: Graph, kind: str, name: str) -> str:
    if kind in ("service", "action"):
        return f"{kind}s' default"
    published = kind == "published"
    node = client.node
    ask = node.get_publishers_info_by_topic if published else node.get_subscriptions_info_by_topic
    own = {info.qos_profile.reliability for info in ask(name) if info.node_name == "facerot"}
    (reliability,) = own
    return {ReliabilityPolicy.RELIABLE: "reliable", ReliabilityPolicy.BEST_EFFORT: "best effort"}[
        reliability
    ]


@pytest.mark.slow
def test_diagnostics_and_statistics(page: str, shared: Graph) -> None:
    shared.subscribe()
    shared.publish(picture(raises=RuntimeError))
    shared.wait(lambda: shared.statistics().last_error, "an error")
    shared.publish(picture())
    shared.wait(lambda: shared.statistics().output_age.count, "a face")
    keys = set(shared.counts())

    documented, fields = set(), set()
    for row in rows(section(page, "Statistics and diagnostics")):
        if not row[0].startswith("`"):
            continue
        fields |= set(re.findall(r"`(\w+)`", row[1]))
        first, *others = re.findall(r"`([^`]+)`", row[0])
        if others:  # e.g. latency mean, p50, ... [ms]
            prefix, _, name = first.rpartition(" ")
            unit = others.pop()
            documented |= {f"{prefix} {name} {unit}" for name in (name, *others)}
        else:
            documented.add(first)
    stages = {key for key in keys if key.startswith("stage ")}
    assert documented - {"stage <name> [ms]"} == keys - stages
    assert fields == set(GetStatistics.Response.get_fields_and_field_types()) - {
        "stamp", "device", "problem",
    }  # fmt: skip
