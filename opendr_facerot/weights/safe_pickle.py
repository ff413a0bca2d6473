"""NumPy arrays out of pickles, without running anything that a pickle asks for.

A pickle is a program. The one written for an array calls four well-known functions; these are
replaced by look-alikes that only take notes, every other call is refused by name, and the arrays
are built from the notes afterwards.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])


class UnsafePickleError(Exception):
    """A pickle asks for something else than arrays and plain containers."""


class DamagedPickleError(Exception):
    """A pickle is truncated or inconsistent."""


def load_arrays(data: bytes) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array, or the arrays in the dictionary, that were pickled.

    Args:
        data: A pickle of any protocol, by Python 2 or 3 and any NumPy.

    Returns:
        The array; or, of a dictionary, the entries that are arrays, by name.

    Raises:
        UnsafePickleError: The pickle asks for a function or class; the message names it.
        DamagedPickleError: It cannot be read, or is neither an array nor a dictionary.
    """
    try:
        content = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
        if isinstance(content, _ArrayNote):
            return content.array()
        if isinstance(content, dict):
            return {
                str(key): value.array()
                for key, value in content.items()
                if isinstance(value, _ArrayNote)
            }
    except UnsafePickleError:
        raise
    except Exception as error:  # whatever a damaged pickle happens to make the unpickler do
        raise DamagedPickleError(f"damaged pickle ({type(error).__name__}: {error})") from error
    raise DamagedPickleError(f"a pickled {type(content).__name__}, not an array or a dictionary")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")
        try:
            return _Constructor(_CONSTRUCTORS[module, name])
        except KeyError:
            raise UnsafePickleError(f"it asks to run {module}.{name}") from None


class _Constructor:
    """Stands for an allowed function; unlike one, it has no attributes that a pickle could set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise UnsafePickleError("it asks to change a function")


class _DtypeNote:
    """A simple dtype; its byte order arrives as state."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _DTYPES:
            raise UnsafePickleError(f"it holds an array of type {code!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise DamagedPickleError(f"byte order {state[1]!r}")
        self._order = state[1]

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code)


class _ArrayNote:
    """Shape, type and bytes of an array."""

    __slots__ = ("_bytes", "_dtype", "_fortran", "_shape")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self._shape, self._dtype, self._fortran, self._bytes = state

    def array(self) -> NDArray[Any]:
        dtype, shape = self._dtype.dtype(), tuple(int(n) for n in self._shape)
        raw = self._bytes.encode("latin1") if isinstance(self._bytes, str) else self._bytes
        if min(shape, default=0) < 0 or len(raw) != dtype.itemsize * math.prod(shape):
            raise DamagedPickleError(f"{len(raw)} bytes for an array of shape {shape}")
        array = np.frombuffer(raw, dtype).reshape(shape, order="F" if self._fortran else "C")
        return array.astype(dtype.newbyteorder("="))


def _reconstruct(*_: Any) -> _ArrayNote:
    return _ArrayNote()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _ArrayNote:
    note = _ArrayNote()
    note.__setstate__((1, shape, dtype, order == "F", bytes(buffer)))
    return note


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise UnsafePickleError(f"it asks to run _codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _array_class(*_: Any) -> Any:
    raise UnsafePickleError("it asks to run numpy.ndarray")


_CONSTRUCTORS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _array_class,  # only ever an argument of _reconstruct
    ("numpy", "dtype"): _DtypeNote,
    ("_codecs", "encode"): _encode,
}
