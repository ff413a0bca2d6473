"""What a full fit of one frame says about a head, in the head's own axes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import smoothstep
from opendr_facerot.pipelines.head_state import HeadState
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.render.texture import VertexAppearance
from opendr_facerot.tracking.live_texture import FrameSight

_KEPT = ("second_correction", "fill", "hair")
"""Parts of the appearance that do not depend on the pose in the frame."""

_CHIN_HEIGHT = 75.0  # centimetres, template space; collars are below
_COLLAR_RINGS = 4  # of triangles


@dataclass(frozen=True, eq=False)
class HeadLook:
    """The look of a head, as far as it does not depend on its pose.

    Attributes:
        identity: ``(I,)`` coefficients of the head model.
        relief: ``(V, 3)`` by which the fine vertices differ from the model's, template space.
        appearance: Its colours; what belongs to one frame is that of the frame fitted.
        trust: ``(V,)`` in [0, 1], factor on the confidence in what a frame shows: the full fit
            knows clothing, loose hair and rims of light.
        colour: ``(V, 3)`` natural log of the RGB colour at ordinary exposure.
        weight: ``(V,)`` how well ``colour`` is known.
    """

    identity: NDArray[np.floating]
    relief: NDArray[np.floating]
    appearance: VertexAppearance
    trust: NDArray[np.floating]
    colour: NDArray[np.floating]
    weight: NDArray[np.floating]

    def towards(self, other: HeadLook, share: float) -> HeadLook:
        """The look a share, in [0, 1], of the way to another one."""

        def mixed(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
            return a + a.dtype.type(share) * (b - a)

        appearance: dict[str, Any] = {
            name: mixed(getattr(self.appearance, name), getattr(other.appearance, name))
            for name in _KEPT
        }
        parts = {
            f.name: mixed(getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)
            if f.name != "appearance"
        }
        return HeadLook(appearance=replace(other.appearance, **appearance), **parts)


def head_look(
    model: HeadModel, state: HeadState, sight: FrameSight, exposure: NDArray[np.floating]
) -> HeadLook:
    """The look of a head by the full fit of one frame.

    Args:
        model: The head model.
        state: The full fit.
        sight: What the tracker sees of the head in the same frame.
        exposure: ``(3,)`` natural log of the frame's RGB exposure against the ordinary one.
    """
    appearance = state.appearance
    zones, mirror = model.fine.zones, model.fine.mirror
    # The fit trusts a vertex less where its mirror image is seen better: that is a matter of pose.
    by_mirror = appearance.second_confidence[mirror] * (zones.skin & ~zones.mouth_bag)
    believed = np.maximum(appearance.confidence, by_mirror)
    trust = np.clip(believed / np.maximum(sight.confidence, 0.05), 0.0, 1.0)
    trust = 1.0 + smoothstep(0.1, 0.3, sight.confidence) * (trust - 1.0)
    # The collar moves against the neck by more than a triangle.
    near_collar = trust
    for _ in range(_COLLAR_RINGS):
        near_collar = model.fine.topology.neighbour_min(near_collar)
    trust = np.where(model.fine.vertices[:, 1] < _CHIN_HEIGHT, near_collar, trust)
    trust = np.where(sight.is_opening, 1.0, trust)
    return HeadLook(
        identity=state.fit.identity,
        relief=relief_of(model, state),
        appearance=replace(
            appearance, fill=(appearance.fill - exposure).astype(appearance.fill.dtype)
        ),
        trust=trust,
        colour=sight.colour - exposure,
        weight=sight.confidence * trust * zones.skin * (1.0 - appearance.hair),
    )


def relief_of(model: HeadModel, state: HeadState) -> NDArray[np.floating]:
    """By how much the fine vertices differ from the model's, ``(V, 3)``, template space."""
    return np.asarray((state.vertices - model.refine(state.fit.vertices)) @ state.fit.rotation)


def relative_exposure(look: HeadLook, sight: FrameSight) -> NDArray[np.floating] | None:
    """Exposure of a frame against the ordinary one, natural log of RGB, ``(3,)``.

    The weighted median over the skin that both show; None if that is too little.
    """
    weight = np.minimum(look.weight, sight.confidence)
    index = np.flatnonzero(weight > 0.5)[::4]
    if len(index) < 50:
        return None
    return np.asarray(np.median(sight.colour[index] - look.colour[index], axis=0))
