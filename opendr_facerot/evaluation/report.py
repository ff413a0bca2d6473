"""Scores as a Markdown document and as JSON.

The JSON file is one object:

``schema``
    1; grows when a name changes its meaning or goes.
``command``
    The command line, without the folders of absolute paths.
``pipeline``, ``size``
    What made the views, and the side of those of photos, pixels.
``subjects``
    One object per photo, posed folder or sequence, in the order given: ``name``, ``kind``
    (``"photo"``, ``"posed"``, ``"sequence"``), ``yaw_deg``, ``pitch_deg``, ``roll_deg`` (of the
    head in the photo; null without a face), ``flags``, ``failure`` (null, or why there are no
    views), and ``views``: per view the fields of
    :class:`~opendr_facerot.evaluation.scores.ViewScore`, angles in degrees under ``yaw_deg``,
    ``pitch_deg``, ``asked_deg``, ``found_deg``, ``found_true_deg``, numbers that do not exist null.
``summary``
    A list for each kind: for each ``abs_yaw_deg`` and ``pitch_deg``, over both signs
    of the yaw and all subjects, ``views``, ``failures``, and for every number ``mean``, ``median``,
    ``min``, ``max`` and ``n``; further ``yaw_error_deg`` and ``pitch_error_deg``, asked against
    found, and ``flicker``, the ratio of the temporal differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, median
from typing import Any

from opendr_facerot.evaluation.scores import Kind, Subject, ViewScore

SCHEMA = 1

_INTRODUCTION = """\
What the numbers mean, and how they are taken: [evaluate.md](evaluate.md). SFace is the cosine of
two identity embeddings (same person above 0.363), the ceiling that of the true view to the source;
PSNR is in dB over the head that both pictures show; angles are degrees."""

_KINDS: tuple[Kind, ...] = ("posed", "photo", "sequence")

_ANGLE_PAIRS = ("asked", "found", "found_true")
_NUMBERS = tuple(
    field.name
    for field in fields(ViewScore)
    if field.name not in ("yaw", "pitch", "failure", *_ANGLE_PAIRS)
)
_ERRORS = ("yaw_error_deg", "pitch_error_deg")
_DERIVED = (*_ERRORS, "flicker")


@dataclass(frozen=True)
class _Column:
    """A column of a table: heading, number of the score, factor and decimals to show it with."""

    heading: str
    key: str
    factor: float = 1.0
    decimals: int = 2

    def text(self, value: float | None) -> str:
        return "–" if value is None else f"{value * self.factor:.{self.decimals}f}"


_MIDDLE: Mapping[str, Callable[[list[float]], float]] = {"mean": fmean, "median": median}
_SPREAD: Mapping[str, Callable[[list[float]], float]] = {**_MIDDLE, "min": min}

_POSED_COLUMNS = (
    _Column("SFace to source", "identity_source"),
    _Column("to true", "identity_true"),
    _Column("ceiling", "identity_ceiling"),
    _Column("PSNR head", "psnr_head", decimals=1),
    _Column("PSNR face", "psnr_face", decimals=1),
    _Column("SSIM head", "ssim_head", decimals=3),
    _Column("SSIM face", "ssim_face", decimals=3),
    _Column("holes %", "holes", 100.0, 1),
    _Column("leak %", "leak", 100.0, 1),
    _Column("seen %", "seen", 100.0, 0),
    _Column("misaligned px", "misalignment", decimals=1),
)
_PHOTO_COLUMNS = (
    _Column("SFace to source", "identity_source"),
    _Column("yaw error °", "yaw_error_deg", decimals=1),
    _Column("pitch error °", "pitch_error_deg", decimals=1),
    _Column("leak %", "leak", 100.0, 1),
    _Column("seen %", "seen", 100.0, 0),
)
_SEQUENCE_COLUMNS = (
    _Column("of the face, grey levels", "temporal_input"),
    _Column("of the view, grey levels", "temporal_view"),
    _Column("ratio", "flicker"),
)


def report_json(
    subjects: Sequence[Subject], *, command: str, pipeline: str, size: int
) -> dict[str, Any]:
    """The object described above, ready for :func:`json.dump`."""
    return {
        "schema": SCHEMA,
        "command": command,
        "pipeline": pipeline,
        "size": size,
        "subjects": [_subject_json(subject) for subject in subjects],
        "summary": {
            kind: [
                {
                    "abs_yaw_deg": yaw,
                    "pitch_deg": pitch,
                    "views": len(group),
                    "failures": sum(score.failure is not None for score in group),
                    **{key: _statistics(group, key) for key in (*_NUMBERS, *_DERIVED)},
                }
                for (yaw, pitch), group in _groups(subjects, kind).items()
            ]
            for kind in _KINDS
        },
    }


def report_markdown(subjects: Sequence[Subject], *, command: str) -> str:
    """A document of tables: each posed folder, all photos, means over ±yaw, failures."""
    parts = ["# Quality, measured", f"Made by\n\n```sh\n{command}\n```", _INTRODUCTION]
    for subject in subjects:
        if subject.kind == "posed" and subject.views:
            parts += [f"## {subject.name}: against true views", _where(subject)]
            parts.append(_view_table(subject))
    parts += _summary(subjects, "posed", "## True views, mean of ±yaw", _POSED_COLUMNS)
    photos = [subject for subject in subjects if subject.kind == "photo" and subject.views]
    if photos:
        parts += [
            "## Photos: SFace cosine to the photo",
            _photo_table(photos, lambda score: score.identity_source, 2, _SPREAD),
            "## Photos: yaw found in the view, degrees",
            _photo_table(photos, _found_yaw, 0, _MIDDLE),
        ]
    parts += _summary(subjects, "photo", "## Photos, mean of ±yaw", _PHOTO_COLUMNS)
    parts += _summary(
        subjects, "sequence", "## Sequences: difference from frame to frame", _SEQUENCE_COLUMNS
    )
    failures = [
        f"- {subject.name}: {subject.failure}" for subject in subjects if subject.failure
    ] + [
        f"- {subject.name}, yaw {_degrees(score.yaw):+g}°, pitch {_degrees(score.pitch):+g}°: "
        f"{score.failure}"
        for subject in subjects
        for score in subject.views
        if score.failure
    ]
    if failures:
        parts += ["## Failures", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def _degrees(angle: float) -> float:
    return round(math.degrees(angle), 3) + 0.0


def _value(score: ViewScore, key: str) -> float | None:
    if key == "flicker":
        if score.temporal_view is None or not score.temporal_input:
            return None
        return score.temporal_view / score.temporal_input
    if key in _ERRORS:
        if score.asked is None or score.found is None:
            return None
        axis = _ERRORS.index(key)
        return abs(math.degrees(score.found[axis] - score.asked[axis]))
    value: float | None = getattr(score, key)
    return value


def _present(group: Iterable[ViewScore], key: str) -> list[float]:
    return [value for score in group if (value := _value(score, key)) is not None]


def _statistics(group: Sequence[ViewScore], key: str) -> dict[str, float | int | None]:
    values = _present(group, key)
    functions: dict[str, Callable[[list[float]], float]] = {
        "mean": fmean,
        "median": median,
        "min": min,
        "max": max,
    }
    return {
        **{name: _rounded(f(values)) if values else None for name, f in functions.items()},
        "n": len(values),
    }


def _rounded(value: float) -> float:
    return round(value, 6)


def _groups(subjects: Sequence[Subject], kind: Kind) -> dict[tuple[float, float], list[ViewScore]]:
    """Scores by |yaw| and pitch, degrees."""
    groups: dict[tuple[float, float], list[ViewScore]] = {}
    for subject in subjects:
        for score in subject.views if subject.kind == kind else ():
            key = (abs(_degrees(score.yaw)), _degrees(score.pitch))
            groups.setdefault(key, []).append(score)
    return dict(sorted(groups.items(), key=lambda item: (abs(item[0][1]), item[0][1], item[0][0])))


def _subject_json(subject: Subject) -> dict[str, Any]:
    yaw, pitch, roll = subject.angles or (None, None, None)
    return {
        "name": subject.name,
        "kind": subject.kind,
        "yaw_deg": None if yaw is None else _degrees(yaw),
        "pitch_deg": None if pitch is None else _degrees(pitch),
        "roll_deg": None if roll is None else _degrees(roll),
        "flags": list(subject.flags),
        "failure": subject.failure,
        "views": [_view_json(score) for score in subject.views],
    }


def _view_json(score: ViewScore) -> dict[str, Any]:
    result: dict[str, Any] = {"yaw_deg": _degrees(score.yaw), "pitch_deg": _degrees(score.pitch)}
    for name in _ANGLE_PAIRS:
        pair = getattr(score, name)
        result[f"{name}_deg"] = None if pair is None else [_degrees(angle) for angle in pair]
    for name in _NUMBERS:
        value = getattr(score, name)
        result[name] = None if value is None else _rounded(value)
    result["failure"] = score.failure
    return result


def _where(subject: Subject) -> str:
    if subject.angles is None:
        return ""
    yaw, pitch, roll = (f"{math.degrees(angle):+.1f}°" for angle in subject.angles)
    flags = f"; {', '.join(subject.flags)}" if subject.flags else ""
    return f"In the source the head is at yaw {yaw}, pitch {pitch}, roll {roll}{flags}."


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---:"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _angles(pair: tuple[float, float] | None) -> str:
    return "–" if pair is None else " / ".join(f"{math.degrees(angle):+.0f}" for angle in pair)


def _view_table(subject: Subject) -> str:
    headings = ["yaw / pitch", "asked", "found", "found in true"]
    return _table(
        headings + [column.heading for column in _POSED_COLUMNS],
        (
            [
                _angles((score.yaw, score.pitch)),
                *(_angles(pair) for pair in (score.asked, score.found, score.found_true)),
                *(column.text(_value(score, column.key)) for column in _POSED_COLUMNS),
            ]
            for score in subject.views
        ),
    )


def _summary(
    subjects: Sequence[Subject], kind: Kind, title: str, columns: Sequence[_Column]
) -> list[str]:
    groups = _groups(subjects, kind)
    if not groups:
        return []
    rows = []
    for (yaw, pitch), group in groups.items():
        means = ((column, _present(group, column.key)) for column in columns)
        cells = [column.text(fmean(values) if values else None) for column, values in means]
        failures = sum(score.failure is not None for score in group)
        rows.append([f"{yaw:g} / {pitch:+g}", *cells, str(len(group)), str(failures)])
    headings = ["±yaw / pitch", *(column.heading for column in columns), "views", "failures"]
    return [title, _table(headings, rows)]


def _found_yaw(score: ViewScore) -> float | None:
    return None if score.found is None else math.degrees(score.found[0])


def _photo_table(
    photos: Sequence[Subject],
    number: Callable[[ViewScore], float | None],
    decimals: int,
    reductions: Mapping[str, Callable[[list[float]], float]],
) -> str:
    """A row per photo, a column per view, then reductions of the columns and their counts."""
    poses = [(score.yaw, score.pitch) for score in photos[0].views]
    columns = [[number(photo.views[k]) for photo in photos] for k in range(len(poses))]
    found = [[value for value in column if value is not None] for column in columns]

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"

    rows = [
        [photo.name, _angles(photo.angles and photo.angles[:2]), *map(cell, values)]
        for photo, *values in zip(photos, *columns, strict=True)
    ]
    for name, reduce in reductions.items():
        rows.append([f"**{name}**", "", *(cell(reduce(v) if v else None) for v in found)])
    rows.append(["**n**", "", *(str(len(values)) for values in found)])
    level = all(pitch == 0.0 for _, pitch in poses)
    headings = [f"{_degrees(yaw):+g}°" if level else _angles((yaw, pitch)) for yaw, pitch in poses]
    return _table(["photo", "yaw / pitch in it", *headings], rows)
