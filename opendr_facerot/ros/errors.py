"""Reasons for which the node cannot do what it was asked, beside those of the pipelines."""

from __future__ import annotations

from opendr_facerot.errors import FacerotError

HOW_TO_BUILD = """\
This needs ROS 2 Jazzy and the package opendr_facerot_interfaces, built in the project's folder:
  with ROS 2 installed:    source /opt/ros/jazzy/setup.bash
                           colcon build && source install/setup.bash
  without:                 make venv && source .venv/bin/activate
"""
"""What to tell users when ROS or the interfaces cannot be imported."""


class NoImageError(FacerotError):
    """A request asks for the latest frame, and none has arrived."""


class BusyError(FacerotError):
    """As many requests are waiting as may wait."""


class NotActiveError(FacerotError):
    """The node is not in the state "active", or is disabled."""
