"""The subcommand ``facerot weights``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from opendr_facerot.weights.installed import ComponentStatus, weights_status
from opendr_facerot.weights.manifest import COMPONENTS
from opendr_facerot.weights.store import weights_root


def add_weights_parser(parser: argparse.ArgumentParser) -> None:
    """Make ``parser`` that of ``facerot weights``; ``options.run(options)`` then runs it."""
    parser.description = "Model files of the rotate_and_render pipeline; 'head' needs none."
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    importing = commands.add_parser("import", help="install model files that you have")
    importing.description = (
        "Finds model files by content in files, folders and zip files (ckpt_and_bfm.zip, "
        "latest_net_G.zip, checkpoints.zip, clones of 3DDFA or OpenDR), checks them, and installs "
        "them as safetensors. Nothing in them is run."
    )
    importing.set_defaults(run=_import)
    importing.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    importing.add_argument(
        "--allow-modified",
        action="store_true",
        help="take files that differ from the published ones of their name",
    )
    listing = commands.add_parser("list", help="what is needed, what is there, what to do")
    listing.set_defaults(run=_list)
    synthetic = commands.add_parser(
        "synthetic", help="install small random weights, to try the pipeline without model files"
    )
    synthetic.set_defaults(run=_synthetic)
    synthetic.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    for command in (importing, listing, synthetic):
        command.add_argument(
            "--dest",
            type=Path,
            metavar="DIR",
            help="folder of installed weights (default: $FACEROT_WEIGHTS, else "
            "~/.local/share/opendr_facerot)",
        )


def status_text(root: Path | None = None) -> str:
    """What ``facerot weights list`` prints about the weights in a folder."""
    folder = weights_root(root)
    states = weights_status(folder)
    ready = all(state.fault is None for state in states)
    return "\n".join(
        [
            "head: ready; its models are part of the package (Apache-2.0, CC0-1.0)",
            f"rotate_and_render: {'ready' if ready else 'not ready'}; weights in {folder}",
            *(line for state in states for line in _lines(state)),
        ]
    )


def _lines(state: ComponentStatus) -> list[str]:
    info = COMPONENTS[state.component]
    if state.size is None:
        return [f"  {info.title}: missing ({info.licence})", f"    import {info.source}"]
    kind = f"{state.layout}, " if state.layout else ""
    line = f"  {info.title}: {kind}{state.size / 2**20:.1f} MiB, from {state.source}"
    if state.fault is not None:
        return [line, f"    {state.fault}"]
    return [f"{line} ({state.licence})"]


def _import(options: argparse.Namespace) -> int:
    from opendr_facerot.weights.importing import import_weights

    report = import_weights(options.paths, options.dest, allow_modified=options.allow_modified)
    for component, source in report.installed.items():
        _print(f"installed {COMPONENTS[component].title} from {source}")
    for note in report.notes:
        _print(f"note: {note}")
    if report.ignored:
        _print(f"not needed: {', '.join(report.ignored)}")
    _print(status_text(options.dest))
    return 0


def _list(options: argparse.Namespace) -> int:
    _print(status_text(options.dest))
    return 0


def _synthetic(options: argparse.Namespace) -> int:
    from opendr_facerot.weights.synthetic import write_synthetic

    folder = write_synthetic(options.dest, seed=options.seed)
    _print(f"installed random weights in {folder}")
    _print("the views that they generate show nobody; they are for trying and testing the pipeline")
    return 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
