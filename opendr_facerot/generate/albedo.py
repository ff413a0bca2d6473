"""Log colours of a head without light on it, continued to where no photo shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import smoothstep
from opendr_facerot.generate.hair_texture import HairTexture
from opendr_facerot.generate.observation import Observation
from opendr_facerot.reconstruct.head_model import HeadSurface, Part

_MATCHED_COSINE = (0.25, 0.55)  # at which the light of both halves starts to be compared, is fully
_UNKNOWN_DIFFERENCE = 0.02  # weight of "both halves look alike" far from where both are seen
_MIXED = 0.35  # natural log: distance from the hair's colour of what is half something else


def continue_albedo(
    surface: HeadSurface,
    seen: Observation,
    other: Observation,
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
    other_hair: NDArray[np.floating],
    hair_texture: HairTexture | None,
    matched: bool,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Colour without shading of each vertex, natural log.

    Args:
        surface: The coarse surface.
        seen: What the photo shows; its colours are free of shading.
        other: What stands in for it, likewise.
        confidence: ``(V,)`` in [0, 1], that of ``seen`` less where ``other`` is better.
        hair: ``(V,)`` in [0, 1].
        other_hair: ``(V,)`` in [0, 1], on the vertices that stand in.
        hair_texture: Of the hair on the head, if there is any.
        matched: The colours of ``other`` are those that ``seen`` would have.

    Returns:
        ``difference`` ``(V, 3)`` between each vertex and what stands in for it, continued from
        where both are seen; ``albedo`` ``(V, 3)``, continued from where either is seen.
    """
    topology, zones = surface.topology, surface.zones
    i, j = topology.edges.T
    own_kind = 0.005 + 0.995 * np.exp(-(((hair[i] - hair[j]) / 0.18) ** 2))
    at_ear = np.where(zones.pinna[i] != zones.pinna[j], 0.06, 1.0)

    def kinds(
        photo: Observation, label: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """How far a photo shows skin and hair at each vertex."""
        strands = label**2 * smoothstep(0.5, 0.9, photo.hair)
        return (1.0 - label) ** 2 * photo.skin_like, strands * (0.03 + 0.97 * photo.deep_inside)

    bare, covered = kinds(seen, hair)
    other_bare, other_covered = kinds(other, other_hair)
    difference = np.zeros_like(seen.colour)
    if not matched:
        same_kind = bare * other_bare + covered * other_covered
        both = 2.0 * seen.confidence * other.confidence * same_kind
        both *= smoothstep(*_MATCHED_COSINE, np.minimum(seen.cosine, other.cosine))
        known = both + _UNKNOWN_DIFFERENCE
        apart = (both / known)[:, None] * (seen.colour - other.colour)
        difference = topology.smooth_field(apart, known, own_kind)

    borrowed = 0.8 * other.confidence * (1.0 - confidence)
    lent_colour = other.colour + difference
    skin_prior = _prior_albedo(surface, seen.colour, confidence, hair)

    def spread(
        own: NDArray[np.floating],
        lent: NDArray[np.floating],
        prior: NDArray[np.floating],
        prior_weight: float,
        stiffness: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        weight = own + lent + prior_weight
        data = own[:, None] * seen.colour + lent[:, None] * lent_colour + prior_weight * prior
        return topology.smooth_field(data / weight[:, None], weight, 0.3 * stiffness)

    # Skin is continued from skin and hair from hair: one field for both would blend them.
    skin = spread(confidence * bare, borrowed * bare * other_bare, skin_prior, 0.004, at_ear)
    if hair_texture is None:
        return difference, skin

    def pure(colour: NDArray[np.floating]) -> NDArray[np.floating] | float:
        """How far a colour is the hair's alone: thin hair shows skin, its rim light from behind."""
        if not hair_texture.narrow:
            return 1.0
        away = ((colour - hair_texture.colour) ** 2).sum(axis=1)
        return np.asarray(np.exp(-away / (2.0 * _MIXED**2)))

    strands = spread(
        confidence * covered * pure(seen.colour),
        borrowed * covered * other_covered * pure(lent_colour),
        hair_texture.colour,
        0.015,
        np.ones(len(i)),
    )
    return difference, skin + hair[:, None] * (strands - skin)


def _prior_albedo(
    surface: HeadSurface,
    albedo: NDArray[np.floating],
    confidence: NDArray[np.floating],
    hair: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Log colours ``(V, 3)`` of skin and what lies in it, far from everything that was seen."""
    zones = surface.zones
    bare = confidence * (hair < 0.25) * (zones.neck_weight > 0.5) * zones.skin
    skin = np.average(albedo, axis=0, weights=bare + 1e-9)
    prior = np.tile(skin, (len(albedo), 1))
    darker = np.minimum(0.0, skin - np.log([200.0, 160.0, 140.0]))  # than evenly lit light skin
    eye = (surface.part == Part.LEFT_EYE) | (surface.part == Part.RIGHT_EYE)
    teeth = (surface.part == Part.UPPER_TEETH) | (surface.part == Part.LOWER_TEETH)
    prior[zones.mouth_bag] = skin - 1.0
    prior[eye] = np.log([185.0, 180.0, 175.0]) + darker
    prior[teeth] = np.log([190.0, 180.0, 165.0]) + darker
    prior[surface.part == Part.TONGUE] = skin - 0.5
    return prior
