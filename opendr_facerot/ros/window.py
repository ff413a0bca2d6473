"""A window for pictures."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from opendr_facerot.errors import FacerotError

_REFRESH = 0.05  # seconds between two looks for a click


class DisplayError(FacerotError):
    """There is no display to open a window on."""


class Window:
    """Shows one picture at a time, without copying it to a file.

    Args:
        title: Text above the pictures.

    Raises:
        DisplayError: There is no display, or Python has no tkinter.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise DisplayError(
                f"no window can be opened: {error}: install python3-tk, or write files instead"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise DisplayError(
                f"no window can be opened: {error}: set DISPLAY, or write files instead"
            ) from error
        self._root.title(title)
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._picture: tkinter.PhotoImage | None = None
        self.is_open = True
        self._root.protocol("WM_DELETE_WINDOW", self.close)

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Show ``(H, W, 3)`` uint8 RGB."""
        import tkinter

        if not self.is_open:
            return
        height, width = pixels.shape[:2]
        data = b"P6 %d %d 255 " % (width, height) + pixels.tobytes()
        # The label does not keep its picture alive.
        self._picture = tkinter.PhotoImage(master=self._root, data=data, format="ppm")
        self._label.configure(image=self._picture)
        self.refresh()

    def refresh(self) -> None:
        """Follow clicks and redraw; to be called a few times a second."""
        if self.is_open:
            self._root.update()

    def wait_until_closed(self) -> None:
        """Wait for the user to close it."""
        while self.is_open:
            self.refresh()
            time.sleep(_REFRESH)

    def close(self) -> None:
        """Close it; further pictures are not shown."""
        if self.is_open:
            self.is_open = False
            self._root.destroy()
