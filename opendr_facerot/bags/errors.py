"""What can be wrong with a recording or with where it is to be written."""

from __future__ import annotations

from opendr_facerot.errors import FacerotError


class BagError(FacerotError):
    """A recording cannot be read, lacks what was asked for, or cannot be written."""


class MissingExtraError(FacerotError):
    """The library for recordings is not installed."""
