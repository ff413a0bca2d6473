"""What several photos of one person give that one does not: views against the true ones.

    python benchmarks/evaluate_person.py POSED_FOLDER --yaw-deg 0 -45 [--fov-deg 28.07]

The pictures of a posed folder (named y+30_p-15.png, see ``facerot evaluate``) at the given yaws and
pitch 0 are the photos. Views are made from each alone and from all together, and scored as
``facerot evaluate`` scores them: cosine of SFace to the true view / PSNR of the head, by yaw. Needs
the extra ``evaluate``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.evaluation.identity import IdentityNet
from opendr_facerot.evaluation.pose import FaceObserver
from opendr_facerot.evaluation.posed import TrueView, evaluate_posed, read_posed
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.rotator import FittedFace

_COLUMNS_DEG = (-90, -75, -60, -45, -30, 0, 30, 45, 60, 75, 90)


class _WithOthers(HeadRotator):
    """The head pipeline, given further photos of every person."""

    others: Sequence[NDArray[np.uint8]] = ()

    def fit(self, image: NDArray[np.uint8]) -> list[FittedFace]:
        return [self.fit_person([image, *self.others])] if self.others else super().fit(image)


def main() -> None:
    """Print a table with a row for each photo and one for all together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yaw-deg", nargs="+", type=int, required=True)
    parser.add_argument("--fov-deg", type=float, default=35.0)
    options = parser.parse_args()
    views = {_degrees(view): view for view in read_posed(options.folder)}
    photos = [views[yaw, 0] for yaw in options.yaw_deg]
    asked = [view for (yaw, pitch), view in views.items() if pitch == 0 and yaw in _COLUMNS_DEG]
    rotator = _WithOthers(_WithOthers.Settings(fov=math.radians(options.fov_deg)))
    observer, identity = FaceObserver(), IdentityNet()

    print("| photos |", " | ".join(f"{_degrees(view)[0]:+d}" for view in asked), "|")
    print("|--" * (len(asked) + 1) + "|")
    for chosen in [*([photo] for photo in photos), photos]:
        rotator.others = [photo.image for photo in chosen[1:]]
        _, scores, _ = evaluate_posed(rotator, observer, identity, asked, chosen[0])
        cells = [
            "–"
            if score.identity_true is None or score.psnr_head is None
            else f"{score.identity_true:.2f} / {score.psnr_head:.1f}"
            for score in scores
        ]
        name = ", ".join(f"{_degrees(photo)[0]:+d}" for photo in chosen)
        print("|", " | ".join([name, *cells]), "|", flush=True)


def _degrees(view: TrueView) -> tuple[int, int]:
    return round(math.degrees(view.yaw)), round(math.degrees(view.pitch))


if __name__ == "__main__":
    main()
