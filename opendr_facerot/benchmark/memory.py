"""How much memory this process has used."""

from __future__ import annotations

from pathlib import Path


def peak_memory() -> float:
    """Most MiB that have been resident at once.

    Not from ``getrusage``: a process inherits that of the one that started it.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) / 1024
