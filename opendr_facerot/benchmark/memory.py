"""How much memory a process has used."""

from __future__ import annotations

from pathlib import Path


def peak_memory(pid: int | None = None) -> float:
    """Most MiB that have been resident at once, of this process or of another.

    Not from ``getrusage``: a process inherits that of the one that started it.
    """
    status = Path("/proc", "self" if pid is None else str(pid), "status")
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) / 1024
