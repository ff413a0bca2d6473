"""Which pixels can be skin in the shade, as the neck is below a chin.

Shade takes about as much of every channel of a colour, and what light it leaves comes off skin and
is redder. So skin in the shade is far darker than lit skin, as far from it as a coat is, and yet of
skin's own hue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.filters import blur, smoothstep
from opendr_facerot.reconstruct.work_image import WorkImage
from opendr_facerot.render.kernels import kernel

_HUE = (0.45, 0.75)  # log red/green, as a share of lit skin's: grey has none
_REDDER = (0.5, 0.3)  # log red/green beyond lit skin's
_OTHER_BLUE = (0.5, 0.3)  # log blue/green off lit skin's
_DARKER = (1.9, 1.5)  # log brightness below lit skin's
_LIGHTER = (0.3, 0.15)  # log brightness above it: a gleam, but not a white shirt
_COLOURED = (0.05, 0.12)  # log red/green of lit skin from which its hue says anything
_JAW = (0.45, 0.3)  # face heights above the chin
_ASIDE = 0.6  # face heights from the face's axis
_FEWEST = 20  # pixels of lit skin that its colour is learned from


def find_shaded_skin(
    work: WorkImage,
    foreground: NDArray[np.float32],
    skin: NDArray[np.bool_],
    matte: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How far each pixel can be the skin of a face's neck or jaw, lit or in the shade.

    Args:
        work: The work image.
        foreground: ``(S, S, 3)`` float32 RGB 0..255, the person's colours.
        skin: ``(S, S)`` bool, pixels known to be lit skin.
        matte: ``(S, S)`` float32 person matte.

    Returns:
        ``(S, S)`` float32 in [0, 1]; 0 above the jaw, where brown hair is of skin's hue too, and
        everywhere if the photo has no colours to tell skin by.
    """
    share = np.zeros(skin.shape, np.float32)
    height, lateral = work.along_face()
    neck = (height < _JAW[0]) & (lateral < _ASIDE) & (matte > 0.3)
    if np.count_nonzero(skin) < _FEWEST or not neck.any():
        return share
    lit = np.log(np.maximum(np.median(foreground[skin], axis=0), 1.0))
    red, blue, brightness = lit[0] - lit[1], lit[2] - lit[1], lit.sum()
    limits = np.exp(
        [
            (_HUE[0] * red, red + _REDDER[0]),
            (blue - _OTHER_BLUE[0], blue + _OTHER_BLUE[0]),
            (brightness - 3.0 * _DARKER[0], brightness + 3.0 * _LIGHTER[0]),
        ]
    ).astype(np.float32)
    box = tuple(
        slice(int(found[0]), int(found[-1]) + 1)
        for found in (np.flatnonzero(neck.any(axis=axis)) for axis in (1, 0))
    )
    colours, candidate = blur(foreground[box], 0.008 * work.face_height), neck[box]
    np.maximum(colours, 1.0, out=colours)
    _discard(colours, limits, candidate)
    log = np.log(colours[candidate])
    own_red, own_blue = log[:, 0] - log[:, 1], log[:, 2] - log[:, 1]
    darker = (brightness - log.sum(axis=1)) / 3.0
    likeness = smoothstep(*_HUE, own_red / max(red, _COLOURED[0]))
    likeness *= smoothstep(*_REDDER, own_red - red)
    likeness *= smoothstep(*_OTHER_BLUE, np.abs(own_blue - blue))
    likeness *= smoothstep(*_DARKER, darker) * smoothstep(*_LIGHTER, -darker)
    likeness *= smoothstep(*_JAW, height[box][candidate]) * smoothstep(*_COLOURED, red)
    share[box][candidate] = likeness
    return share


@kernel
def _discard(colours, limits, candidate):  # type: ignore[no-untyped-def]
    """Unmark what is beyond limits of red/green, of blue/green or of the channels' product.

    What is left is a small part of most photos: elsewhere no logarithms are needed.
    """
    for row in range(candidate.shape[0]):
        for column in range(candidate.shape[1]):
            r, g, b = colours[row, column, 0], colours[row, column, 1], colours[row, column, 2]
            candidate[row, column] &= (
                (r > limits[0, 0] * g)
                & (r < limits[0, 1] * g)
                & (b > limits[1, 0] * g)
                & (b < limits[1, 1] * g)
                & (r * g * b > limits[2, 0])
                & (r * g * b < limits[2, 1])
            )
