"""What each part of the head pipeline's look is worth: scores with the part switched off.

    python benchmarks/ablate_head.py PATH [PATH ...] [--posed-fov-deg F] [--markdown FILE]

PATH is a photo or a posed folder, as for ``facerot evaluate``; its scores are means over yaws -60°
to 60°. A part is switched off by putting something simpler in its place.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import opendr_facerot as facerot
from opendr_facerot.evaluation.runner import Evaluation
from opendr_facerot.evaluation.scores import ViewScore
from opendr_facerot.generate import completion, detail
from opendr_facerot.pipelines import head
from opendr_facerot.reconstruct import silhouette
from opendr_facerot.reconstruct.head_model import HeadModel

_YAWS = tuple(math.radians(yaw) for yaw in (-60, -45, -30, 30, 45, 60))
_MEASURES = {
    "SFace to source": "identity_source",
    "to true": "identity_true",
    "PSNR head": "psnr_head",
    "SSIM head": "ssim_head",
    "holes %": "holes",
    "leak %": "leak",
}


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    with mock.patch.object(owner, name, value):
        yield


def _unmirrored(*arguments: Any) -> Any:
    stand_in = completion_mirrored(*arguments)
    stand_in.seen.confidence[:] = 0.0
    return stand_in


completion_mirrored = completion.mirrored
measured_detail = detail.measure_detail

PARTS: dict[str, Callable[[], Any]] = {
    "all parts": lambda: _replaced(completion, "mirrored", completion_mirrored),
    "no outline fit": lambda: _replaced(
        head, "fit_silhouette", lambda model, vertices, *rest: vertices
    ),
    "no hair over ears and neck": lambda: _replaced(silhouette, "_COVERED_MEAN", math.inf),
    "flat subdivision": lambda: _replaced(HeadModel, "refine", HeadModel.subdivide),
    "no mirror image": lambda: _replaced(completion, "mirrored", _unmirrored),
    "no light matched across": lambda: _replaced(completion, "_LARGEST_CORRECTION", 0.0),
    "no distrust of rims": lambda: _replaced(completion, "_RIM_CONTRAST", (9.0, 10.0)),
    "no shading, no occlusion": lambda: _replaced(
        completion, "_shading", lambda surface, *rest: np.zeros(len(surface.vertices))
    ),
    "no grain, no strands": lambda: _replaced(
        completion, "measure_detail", lambda *given: 0.0 * measured_detail(*given)
    ),
}


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--posed-fov-deg", type=float)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    fov = None if options.posed_fov_deg is None else math.radians(options.posed_fov_deg)
    evaluation = Evaluation(facerot.load("head"), yaws=_YAWS, posed_fov=fov)
    lines = []
    for path in options.paths:
        lines += [f"## {path.stem}", "", "| | " + " | ".join(_MEASURES) + " |"]
        lines += ["|---" * (len(_MEASURES) + 1) + "|"]
        for part, switched_off in PARTS.items():
            with switched_off():
                (result,) = evaluation.run([path])
            turned = [view for view in result.subject.views if abs(view.yaw) > 0.1]
            cells = [_mean(turned, name) for name in _MEASURES.values()]
            lines.append(f"| {part} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
        lines.append("")
    if options.markdown:
        words = [p.name if p.is_absolute() else str(p) for p in options.paths]
        if options.posed_fov_deg is not None:
            words.append(f"--posed-fov-deg {options.posed_fov_deg:g}")
        title = "# The head pipeline with each part of its look switched off"
        given = f"`python benchmarks/ablate_head.py {' '.join(words)}`"
        given += ": means of yaw ±30°, ±45° and ±60°."
        options.markdown.write_text("\n".join([title, "", given, "", *lines]))


def _mean(views: Sequence[ViewScore], name: str) -> str:
    percent = 100.0 if name in ("holes", "leak") else 1.0
    values = [percent * v for view in views if (v := getattr(view, name)) is not None]
    return f"{np.mean(values):.3g}" if values else "–"


if __name__ == "__main__":
    main()
