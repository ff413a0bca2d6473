"""The client's window, on a display without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opendr_facerot.ros.window import DisplayError, Window

pytest.importorskip("tkinter", reason="this Python has no tkinter")

# In a process of its own: Tk ends its process when the display goes away.
SCRIPT = """
import numpy as np
from opendr_facerot.ros.window import Window

window = Window("views")
for size in ((30, 50), (40, 20)):
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
    window.show(pixels)
    shown = window._picture
    assert (shown.height(), shown.width()) == size
    rows = [[shown.get(x, y) for x in range(size[1])] for y in range(size[0])]
    assert np.array_equal(np.array(rows, np.uint8), pixels)

window._root.after(50, window.close)  # as the user does
window.wait_until_closed()
assert not window.is_open
window.show(pixels)
window.refresh()
print("done")
"""


@pytest.fixture
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ("Xvfb", "-displayfd", str(writer), "-nolisten", "tcp"),
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as told:
            number = told.readline().strip()
        assert number, "Xvfb has not started"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DisplayError, match="set DISPLAY, or write files instead"):
        Window("views")


@pytest.mark.slow
def test_pictures_until_the_window_is_closed(display: str) -> None:
    done = subprocess.run(
        (sys.executable, "-c", SCRIPT),
        env={**os.environ, "DISPLAY": display, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
