"""Which of the 478 points of the attention mesh is what.

Points 0..467 are MediaPipe's face mesh, 468..472 and 473..477 the centre and four border points of
the right and the left iris. Left and right are the subject's own, as in MediaPipe's
``face_mesh_connections``: in a frontal photo the right eye is in the left half of the image. Every
constant is a read-only array of indices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _indices(*points: int) -> NDArray[np.intp]:
    array = np.array(points, np.intp)
    array.flags.writeable = False
    return array


POINT_COUNT = 478
"""Points of the attention mesh."""

FACE_POINT_COUNT = 468
"""Points on the skin and lips: the first ones; the irises follow."""

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
"""Outer corners of the eyes: the line between them gives the face's roll."""

# fmt: off
FACE_OVAL = _indices(
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
"""Outline of the face, closed, from the top of the forehead over the subject's left cheek."""

LIPS_OUTER = _indices(
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)
"""Outer border of the lips, closed, from the right mouth corner along the lower lip."""

LIPS_INNER = _indices(
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)
"""Inner border of the lips, closed, from the right mouth corner along the lower lip."""

RIGHT_EYE_CONTOUR = _indices(
    33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
)
"""Border of the right eye's opening, closed, from the outer corner along the lower lid."""

LEFT_EYE_CONTOUR = _indices(
    263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
)
"""Border of the left eye's opening, closed, from the outer corner along the lower lid."""

RIGHT_IRIS = _indices(468, 469, 470, 471, 472)
"""Centre of the right iris, then four points of its border."""

LEFT_IRIS = _indices(473, 474, 475, 476, 477)
"""Centre of the left iris, then four points of its border."""

REFINED_LIPS = _indices(
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)
"""Points that the net's lip branch gives more exactly, in the order of its output."""

REFINED_RIGHT_EYE = _indices(
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
    23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244,
    113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121,
    128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)
"""Points that the net's right eye branch gives more exactly, in the order of its output."""

REFINED_LEFT_EYE = _indices(
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339,
    254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451,
    452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346,
    347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)
"""Points that the net's left eye branch gives more exactly, in the order of its output."""

LANDMARKS_68 = _indices(
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,                                      # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,                                                # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,                          # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,                                # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,                                                  # inner lips
)
"""Mesh points at the 68 landmarks of iBUG 300-W (Sagonas et al., "300 Faces In-the-Wild Challenge",
ICCV Workshops 2013), in its order. The jaw points are the nearest ones of the oval."""
# fmt: on
