"""The client's window, on a display without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from opendr_facerot.ros.window import DisplayError, Window

tkinter = pytest.importorskip("tkinter", reason="this Python has no tkinter")


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ("Xvfb", "-displayfd", str(writer), "-nolisten", "tcp"),
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as told:
        number = told.readline().strip()
    assert number, "Xvfb has not started"
    monkeypatch.setenv("DISPLAY", f":{number}")
    yield
    server.terminate()
    server.wait()


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DisplayError, match="set DISPLAY, or write files instead"):
        Window("views")


@pytest.mark.slow
def test_pixels_on_the_display(display: None) -> None:
    window = Window("views")
    for size in ((30, 50), (40, 20)):
        pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
        window.show(pixels)
        shown = window._picture
        assert shown is not None
        assert (shown.height(), shown.width()) == size
        rows = [[shown.get(x, y) for x in range(size[1])] for y in range(size[0])]
        assert np.array_equal(np.array(rows, np.uint8), pixels)


@pytest.mark.slow
def test_closed_window_takes_no_more_pictures(display: None) -> None:
    window = Window("views")
    pixels = np.zeros((20, 20, 3), np.uint8)
    window.show(pixels)
    window._root.after(50, window.close)  # as the user does
    window.wait_until_closed()
    assert not window.is_open
    window.show(pixels)
    window.refresh()
