"""Reasons for which the node cannot do what it was asked, beside those of the pipelines."""

from __future__ import annotations

from opendr_facerot.errors import FacerotError


class NoImageError(FacerotError):
    """A request asks for the latest frame, and none has arrived."""


class BusyError(FacerotError):
    """As many requests are waiting as may wait."""


class NotActiveError(FacerotError):
    """The node is not in the state "active", or is disabled."""
