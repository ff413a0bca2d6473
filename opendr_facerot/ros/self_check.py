"""``facerot info --ros``: can the node work in this environment, and what to do if not.

This module looks at the environment and needs no ROS; what asks ROS is in
:mod:`opendr_facerot.ros.self_check_graph`.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from pathlib import Path

from opendr_facerot import __version__
from opendr_facerot.ros.errors import HOW_TO_BUILD

INTERFACES = "opendr_facerot_interfaces"
FAST_DDS = "rmw_fastrtps_cpp"
LARGE_IMAGE = 1920 * 1080 * 3
"""Bytes of an uncompressed full-HD image."""

PROFILE_ADVICE = (
    "set FASTRTPS_DEFAULT_PROFILES_FILE to share/opendr_facerot/config/fastdds_profile.xml, for "
    "the camera driver too"
)

_FRAMES_IN_SEGMENT = 3  # being written, on its way, being read
_SHARED_MEMORY = Path("/dev/shm")
_LEAST_SHARED_MEMORY = 64 * 2**20  # two segments of the profile that is shipped
_MAX_DOMAIN, _MAX_PLAIN_DOMAIN = 232, 101  # above: ports that Linux also gives to other sockets
_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
_XML_NAMESPACE = re.compile(r"^\{.*\}")


class Level(Enum):
    """How a check ended."""

    OK = "OK"
    WARN = "WARN"  # works, but not in every way
    FAIL = "FAIL"  # the node cannot work, or not as it was told to


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: How it is.
        check: What was looked at.
        message: What was found.
        advice: What to do about it; empty if all is well.
    """

    level: Level
    check: str
    message: str
    advice: str = ""


def self_check(parameter_file: Path | None = None) -> Iterator[Finding]:
    """Look at everything, one thing after the other; takes some seconds.

    Args:
        parameter_file: Parameters of the node to be checked too.
    """
    environment = os.environ
    yield check_domain(environment)
    yield check_discovery_range(environment)
    yield check_multicast(environment)
    yield check_shared_memory(_SHARED_MEMORY)
    yield check_leftovers(_SHARED_MEMORY)
    try:
        import rclpy.node  # noqa: F401
    except ImportError as error:
        yield Finding(Level.FAIL, "rclpy", f"ROS 2 cannot be imported: {error}", HOW_TO_BUILD)
        return
    yield Finding(Level.OK, "rclpy", "ROS 2 is there")
    try:
        import opendr_facerot_interfaces.msg  # noqa: F401
    except ImportError as error:
        yield Finding(Level.FAIL, "interfaces", f"cannot be imported: {error}", HOW_TO_BUILD)
        return
    yield check_interfaces(share_folder(INTERFACES))

    from opendr_facerot.ros.self_check_graph import graph_findings, middleware

    found = middleware()
    yield found
    if found.message.startswith(FAST_DDS):
        yield check_profile(environment)
    yield from graph_findings(parameter_file)


def exit_status(findings: Iterable[Finding]) -> int:
    """1 if anything failed, else 0."""
    return int(any(finding.level is Level.FAIL for finding in findings))


def as_text(finding: Finding) -> str:
    """A line for people, with the advice below it."""
    line = f"{finding.level.value:4} {finding.check}: {finding.message}"
    advice = "".join(f"\n     {part}" for part in finding.advice.strip().splitlines())
    return line + advice


def as_json(findings: Iterable[Finding]) -> str:
    """All findings for programs."""
    listed = [{**dataclasses.asdict(f), "level": f.level.value} for f in findings]
    return json.dumps(listed, indent=2)


def check_domain(environment: Mapping[str, str]) -> Finding:
    """Whether ROS_DOMAIN_ID is a domain whose ports are free."""
    text = environment.get("ROS_DOMAIN_ID", "")
    if not text:
        return Finding(Level.OK, "domain", "0, as ROS_DOMAIN_ID is not set")
    domain = int(text) if text.isascii() and text.isdigit() else -1
    advice = f"set ROS_DOMAIN_ID to 0..{_MAX_PLAIN_DOMAIN}"
    if not 0 <= domain <= _MAX_DOMAIN:
        return Finding(Level.FAIL, "domain", f"ROS_DOMAIN_ID is {text!r}", advice)
    if domain > _MAX_PLAIN_DOMAIN:
        message = f"{domain}: its ports may be taken by other programs"
        return Finding(Level.WARN, "domain", message, advice)
    return Finding(Level.OK, "domain", str(domain))


def check_discovery_range(environment: Mapping[str, str]) -> Finding:
    """Which machines are searched for nodes."""
    name = "discovery range"
    if "ROS_LOCALHOST_ONLY" in environment:
        value = environment["ROS_LOCALHOST_ONLY"]
        return Finding(
            Level.WARN, name, f"ROS_LOCALHOST_ONLY={value} is deprecated and goes before the range",
            "unset it; ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST keeps to this machine",
        )  # fmt: skip
    value = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "") or "SUBNET"
    if value not in _RANGES:
        return Finding(
            Level.WARN, name, f"ROS_AUTOMATIC_DISCOVERY_RANGE is {value!r}",
            f"set it to one of {', '.join(_RANGES)}",
        )  # fmt: skip
    peers = environment.get("ROS_STATIC_PEERS") or environment.get("ROS_DISCOVERY_SERVER")
    if value == "OFF" and not peers:
        return Finding(
            Level.WARN, name, "OFF: no other node is found, on this machine neither",
            "set ROS_STATIC_PEERS, or ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST",
        )  # fmt: skip
    return Finding(Level.OK, name, f"{value}, peers {peers}" if peers else value)


def check_multicast(environment: Mapping[str, str]) -> Finding:
    """Whether a multicast datagram to the group of DDS discovery comes back to this machine."""
    name = "multicast"
    group, payload = "239.255.0.1", os.urandom(16)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("", 0))
            membership = struct.pack("4sl", socket.inet_aton(group), socket.INADDR_ANY)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            receiver.settimeout(1.0)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(payload, (group, receiver.getsockname()[1]))
            if receiver.recv(64) == payload:
                return Finding(Level.OK, name, "works on this machine")
            reason = "another datagram came"
    except OSError as error:
        reason = str(error)
    if environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") in ("LOCALHOST", "OFF"):
        return Finding(Level.OK, name, f"does not work ({reason}), and is not needed here")
    return Finding(
        Level.WARN, name, f"does not work ({reason}): nodes of other machines are not found",
        "set ROS_STATIC_PEERS to their addresses, or use a discovery server",
    )  # fmt: skip


def check_shared_memory(folder: Path) -> Finding:
    """Whether there is room for the segments through which images go."""
    name = "shared memory"
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            Level.WARN, name, f"there is no {folder}: {error.strerror}",
            "images go through UDP, slowly; mount a tmpfs there",
        )  # fmt: skip
    message = f"{free / 2**20:.0f} MiB free in {folder}"
    if free < _LEAST_SHARED_MEMORY:
        advice = "remove what is left over there, or enlarge it (docker run --shm-size=512m)"
        return Finding(Level.WARN, name, message, advice)
    return Finding(Level.OK, name, message)


def check_leftovers(folder: Path) -> Finding:
    """Fast DDS's segments whose process was killed: their lock files are locked by nobody."""
    name = "left-over shared memory"
    stale: list[Path] = []
    for lock in folder.glob("fastrtps_*_el"):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # in use, another user's, or gone meanwhile
            continue
        stale.append(lock.with_name(lock.name.removesuffix("_el")))
    size = sum(path.stat().st_size for path in stale if path.exists())
    if not stale:
        return Finding(Level.OK, name, "none")
    return Finding(
        Level.WARN, name,
        f"{len(stale)} segments of Fast DDS, {size / 2**20:.0f} MiB, of processes that were killed",
        f"'fastdds shm clean' removes them; or, while no ROS runs: rm {folder}/fastrtps_*",
    )  # fmt: skip


def check_profile(environment: Mapping[str, str]) -> Finding:
    """Whether Fast DDS is told to take large images through shared memory."""
    name = "Fast DDS profile"
    text = environment.get("FASTRTPS_DEFAULT_PROFILES_FILE", "")
    if not text:
        ignored = "FASTDDS_DEFAULT_PROFILES_FILE" in environment
        why = " (Jazzy ignores FASTDDS_DEFAULT_PROFILES_FILE)" if ignored else ""
        message = f"not set{why}: images above 512 kB are mostly lost under best effort"
        return Finding(Level.WARN, name, message, PROFILE_ADVICE)
    try:
        segment, largest = _shared_memory_sizes(ElementTree.parse(text).getroot())
    except (OSError, ElementTree.ParseError, ValueError) as error:
        return Finding(Level.FAIL, name, f"{text} cannot be read: {error}", PROFILE_ADVICE)
    needed = _FRAMES_IN_SEGMENT * LARGE_IMAGE
    message = f"{text}: segment {segment} B, largest message {largest} B"
    if segment < needed or largest <= LARGE_IMAGE:
        return Finding(
            Level.WARN, name, message,
            f"a full-HD image has {LARGE_IMAGE} B: give segment_size {needed} or more and "
            f"maxMessageSize above {LARGE_IMAGE}; or {PROFILE_ADVICE}",
        )  # fmt: skip
    return Finding(Level.OK, name, message)


def check_interfaces(share: Path | None) -> Finding:
    """Whether the installed messages are those that this package was made with.

    Type hashes follow from the definitions, which are compared without their comments.
    """
    name = "interfaces"
    advice = "build and install both packages from one release"
    if share is None:
        message = f"share/{INTERFACES} is in no prefix of AMENT_PREFIX_PATH nor in {sys.prefix}"
        return Finding(Level.WARN, name, message, "source the workspace's install/setup.bash")
    found = re.search(r"<version>(.*?)</version>", _read(share / "package.xml"))
    version = found.group(1).strip() if found else "unknown"
    if version != __version__:
        message = f"{share} has version {version}, opendr_facerot {__version__}"
        return Finding(Level.FAIL, name, message, advice)
    for definition in (files("opendr_facerot.bags") / "msg").iterdir():
        if _fields(definition.read_text("utf-8")) != _fields(
            _read(share / "msg" / definition.name)
        ):
            message = f"{definition.name} of {share} is not the one of opendr_facerot {__version__}"
            return Finding(Level.FAIL, name, message, advice)
    return Finding(Level.OK, name, f"version {version}, with the same types, in {share}")


def share_folder(package: str) -> Path | None:
    """Where an installed ROS package keeps its package.xml."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in (*filter(None, prefixes), sys.prefix):  # the latter for the wheels
        folder = Path(prefix) / "share" / package
        if (folder / "package.xml").is_file():
            return folder
    return None


def _fields(definition: str) -> list[list[str]]:
    """Types and names of a message's fields."""
    lines = (line.partition("#")[0].split() for line in definition.splitlines())
    return [words for words in lines if words]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _shared_memory_sizes(root: ElementTree.Element) -> tuple[int, int]:
    """Segment and largest message, bytes, of the transports that participants use by default."""
    segment, largest = 512 * 2**10, 64 * 2**10  # Fast DDS's own
    used = {e.text.strip() for e in _all(root, "userTransports", "transport_id") if e.text}
    for descriptor in (e for e in root.iter() if _tag(e) == "transport_descriptor"):
        values = {_tag(child): (child.text or "").strip() for child in descriptor}
        if values.get("type") == "SHM" and values.get("transport_id") in used:
            segment = int(values.get("segment_size", segment))
            largest = int(values.get("maxMessageSize", largest))
    return segment, largest


def _all(root: ElementTree.Element, parent: str, child: str) -> Iterator[ElementTree.Element]:
    for element in root.iter():
        if _tag(element) == parent:
            yield from (inner for inner in element.iter() if _tag(inner) == child)


def _tag(element: ElementTree.Element) -> str:
    return _XML_NAMESPACE.sub("", element.tag)
