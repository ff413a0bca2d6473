"""A node's state as its reports tell it."""

from __future__ import annotations

from opendr_facerot.ros.diagnostics import NodeState

ACTIVE = NodeState(
    name="/ns/facerot",
    lifecycle="active",
    enabled=True,
    wanted=True,
    pipeline="head",
    device="cpu",
    problem="",
    frame_seconds=0.0,
    age_warn=0.5,
    age_error=2.0,
)
