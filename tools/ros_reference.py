"""Write the tables of docs/ros.md that follow from the code: parameters and interfaces.

    python tools/ros_reference.py          # rewrites what is between the "generated" marks
    python tools/ros_reference.py --check  # only says whether it is up to date

The package ``opendr_facerot`` and its interfaces must be installed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from opendr_facerot.ros.parameters import PARAMETERS, Parameter

_REPOSITORY = Path(__file__).resolve().parent.parent
_PAGE = _REPOSITORY / "docs" / "ros.md"
_INTERFACES = _REPOSITORY / "opendr_facerot_interfaces"
_MARKED = re.compile(r"(?<=<!-- generated: )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)

_TYPES = {bool: "bool", int: "integer", float: "double", str: "string", list: "double array"}
_PARTS = {
    "msg": ("field",),
    "srv": ("request", "response"),
    "action": ("goal", "result", "feedback"),
}


def main() -> int:
    """Run the command line; returns the exit status, 1 if ``--check`` finds an outdated page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--page", type=Path, default=_PAGE, help="default: docs/ros.md")
    options = parser.parse_args()
    before = options.page.read_text(encoding="utf-8")
    after = updated(before)
    if options.check:
        if after != before:
            print(f"{options.page} is out of date: run python tools/ros_reference.py")
        return int(after != before)
    options.page.write_text(after, encoding="utf-8")
    return 0


def updated(page: str) -> str:
    """The page with its generated sections written anew.

    Raises:
        ValueError: A section is missing, occurs twice, or is unknown.
    """
    sections = {"parameters": _parameters, "interfaces": _interfaces}
    found = [match[1] for match in _MARKED.finditer(page)]
    if sorted(found) != sorted(sections):
        raise ValueError(f"the page has the sections {found}: it needs {list(sections)}, once each")
    written = {name: "\n".join(lines()).strip() for name, lines in sections.items()}
    return _MARKED.sub(lambda match: f"{match[1]} -->\n\n{written[match[1]]}\n\n", page)


def _parameters() -> Iterator[str]:
    yield from _table_head("parameter", "type", "default", "range", "may change", "what")
    for name, parameter in PARAMETERS.items():
        yield _row(
            f"`{name}`",
            _TYPES[type(parameter.default)],
            f"`{_yaml(parameter.default)}`",
            _range(parameter),
            _when(parameter),
            _text(parameter.description),
        )


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if value == "" else str(value)


def _range(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    if parameter.range is None:
        return ""
    limits = "{:g} to {:g}".format(*parameter.range)
    return f"each {limits}, or NaN" if isinstance(parameter.default, list) else limits


def _when(parameter: Parameter) -> str:
    if parameter.read_only:
        return "never"
    return "at any time" if parameter.live else "while not active"


def _interfaces() -> Iterator[str]:
    for folder, parts in _PARTS.items():
        for path in sorted(_INTERFACES.glob(f"{folder}/*.{folder}")):
            yield from _interface(path, parts)


def _interface(path: Path, parts: tuple[str, ...]) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    yield f"### {path.parent.name}/{path.stem}"
    yield ""
    yield _summary(text)
    for part, definition in zip(parts, re.split(r"^---$", text, flags=re.MULTILINE), strict=True):
        fields = dict(_fields(definition))
        yield ""
        if not fields:
            yield f"No {part}."
            continue
        yield from _table_head(part, "type", "what")
        for name, (kind, comment) in fields.items():
            yield _row(f"`{name}`", f"`{kind}`", _text(comment))
    yield ""


def _summary(text: str) -> str:
    """The comment above the first field."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return _text("\n".join(lines).strip())


def _fields(definition: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, type and comment of each field and constant; a comment may go on below its field."""
    current: tuple[str, str, str] | None = None
    for line in definition.splitlines():
        code, _, comment = (part.strip() for part in line.partition("#"))
        if code:
            if current:
                yield current[0], current[1:]
            kind, name = code.split()
            current = (name, kind, comment)
        elif current and comment and line[0].isspace():
            current = (*current[:2], f"{current[2]} {comment}")
    if current:
        yield current[0], current[1:]


def _table_head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(plain: str) -> str:
    """Markdown that reads as the plain text: two ~ would strike out what is between them."""
    for special in "~|":
        plain = plain.replace(special, f"\\{special}")
    return plain.replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
