"""What each part of the head pipeline's look is worth, and what it costs: the part switched off.

    python benchmarks/ablate_head.py PATH [PATH ...] [--posed-fov-deg F] [--rounds N]
        [--markdown FILE]

PATH is a photo or a posed folder, as for ``facerot evaluate``; its scores are means over yaws -60°
to 60°. A part is switched off by putting something simpler in its place. What it costs is the time
with all parts less the time without it, both in turn in each of the rounds: their median ± half the
interquartile range.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.benchmark.measurement import measurement
from opendr_facerot.benchmark.scenes import NINE_VIEWS
from opendr_facerot.evaluation.runner import Evaluation
from opendr_facerot.evaluation.scores import ViewScore
from opendr_facerot.generate import completion, observation
from opendr_facerot.generate.detail import measure_detail
from opendr_facerot.pipelines import head
from opendr_facerot.pipelines.head import HeadRotator
from opendr_facerot.reconstruct import silhouette
from opendr_facerot.reconstruct.head_model import HeadModel
from opendr_facerot.rotator import FaceRotator

ALL_PARTS = "all parts"

_YAWS = tuple(math.radians(yaw) for yaw in (-60, -45, -30, 30, 45, 60))
_MEASURES = {
    "SFace to source": "identity_source",
    "to true": "identity_true",
    "PSNR head": "psnr_head",
    "SSIM head": "ssim_head",
    "holes %": "holes",
    "leak %": "leak",
}
_COSTS = ("ms per photo", "ms per view")
_INTRODUCTION = """\
# The head pipeline with each part of its look switched off

`python benchmarks/ablate_head.py {arguments}`

Each row has one part replaced by something simpler: the scores are those of `facerot evaluate`,
means of yaw ±30°, ±45° and ±60°. The last two columns are what the part costs: the time with all
parts less the time without it, measured in turn, the median of {rounds} rounds ± half the
interquartile range; in the first row they are the whole times.
"""


@dataclass(frozen=True)
class Times:
    """Milliseconds of a fit, and of one of nine views."""

    photo: float
    view: float

    def __sub__(self, other: Times) -> Times:
        return Times(self.photo - other.photo, self.view - other.view)


@contextmanager
def _replaced(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Other values for attributes: owners, names and values."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


_mirrored = completion.mirrored
_procedural_hair = (
    completion, "continue_hair", lambda model, appearance, *rest: appearance.detail,
)  # fmt: skip


def _unmirrored(*arguments: Any) -> Any:
    stand_in = _mirrored(*arguments)
    stand_in.seen.confidence[:] = 0.0
    return stand_in


PARTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    ALL_PARTS: nullcontext,
    "no outline fit": lambda: _replaced(
        (head, "fit_silhouette", lambda model, vertices, *rest: vertices)
    ),
    "no hair over ears and neck": lambda: _replaced((silhouette, "_COVERED_MEAN", math.inf)),
    "flat subdivision": lambda: _replaced((HeadModel, "refine", HeadModel.subdivide)),
    "no mirror image": lambda: _replaced((completion, "mirrored", _unmirrored)),
    "no light matched across": lambda: _replaced((completion, "_LARGEST_CORRECTION", 0.0)),
    "no distrust of rims": lambda: _replaced((observation, "_RIM_CONTRAST", (9.0, 10.0))),
    "no shading, no occlusion": lambda: _replaced(
        (completion, "shading_of", lambda surface, *rest: np.zeros(len(surface.vertices)))
    ),
    "no hair continued from the photo's": lambda: _replaced(_procedural_hair),
    "no grain, no strands": lambda: _replaced(
        _procedural_hair, (head, "measure_detail", lambda *given: 0.0 * measure_detail(*given))
    ),
}


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--posed-fov-deg", type=float)
    parser.add_argument("--rounds", type=int, default=20, help="of timing (default: 20)")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    fov = None if options.posed_fov_deg is None else math.radians(options.posed_fov_deg)
    rotator = HeadRotator(HeadRotator.Settings())
    evaluation = Evaluation(rotator, yaws=_YAWS, posed_fov=fov)
    lines = []
    for path in options.paths:
        columns = [*_MEASURES, *_COSTS]
        lines += [f"## {path.stem}", "", "| | " + " | ".join(columns) + " |"]
        lines += ["|---" * (len(columns) + 1) + "|"]
        scores, photo = {}, None
        for part, switched_off in PARTS.items():
            with switched_off():
                (result,) = evaluation.run([path])
            scores[part] = [view for view in result.subject.views if abs(view.yaw) > 0.1]
            photo = result.photo
        assert photo is not None
        for part, times in costs(rotator, photo, options.rounds).items():
            cells = [_mean(scores[part], name) for name in _MEASURES.values()]
            cells += [_amount([one.photo for one in times]), _amount([one.view for one in times])]
            lines.append(f"| {part} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
        lines.append("")
    if options.markdown:
        words = [p.name if p.is_absolute() else str(p) for p in options.paths]
        if options.posed_fov_deg is not None:
            words.append(f"--posed-fov-deg {options.posed_fov_deg:g}")
        introduction = _INTRODUCTION.format(arguments=" ".join(words), rounds=options.rounds)
        options.markdown.write_text("\n".join([introduction, *lines]))


def costs(rotator: FaceRotator, photo: NDArray[np.uint8], rounds: int) -> dict[str, list[Times]]:
    """What each part takes in each round, and under :data:`ALL_PARTS` the whole.

    Args:
        rotator: The pipeline.
        photo: ``(H, W, 3)`` uint8 RGB with a face.
        rounds: How often each is timed, after a first time that is not counted.
    """
    wholes: list[Times] = []
    parts: dict[str, list[Times]] = {part: [] for part in PARTS if part != ALL_PARTS}
    for index in range(rounds + 1):
        for part, without in parts.items():
            whole = _times(rotator, photo)
            with PARTS[part]():
                rest = _times(rotator, photo)
            if index:
                wholes.append(whole)
                without.append(whole - rest)
    return {ALL_PARTS: wholes, **parts}


def _times(rotator: FaceRotator, photo: NDArray[np.uint8]) -> Times:
    start = time.perf_counter()
    face = rotator.fit(photo)[0]
    fitted = time.perf_counter()
    for _ in rotator.render(face, NINE_VIEWS):
        pass
    rendered = time.perf_counter()
    return Times(1e3 * (fitted - start), 1e3 * (rendered - fitted) / len(NINE_VIEWS))


def _amount(milliseconds: Sequence[float]) -> str:
    one = measurement("", 0, milliseconds, {})
    return f"{one.median:.2f} ± {one.spread / 2:.2f}"


def _mean(views: Sequence[ViewScore], name: str) -> str:
    percent = 100.0 if name in ("holes", "leak") else 1.0
    values = [percent * v for view in views if (v := getattr(view, name)) is not None]
    return f"{np.mean(values):.3g}" if values else "–"


if __name__ == "__main__":
    main()
