"""Reader of pickles of plain data and integer arrays only; no class or function named in the file is run."""

import pickle
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, describe_content

_INTEGER_DTYPE = re.compile(r"[<>|=]?[iu][1248]")


def load_plain_pickle(path: Path) -> Any:
    """Read numbers, strings, lists, dicts and integer arrays from a pickle; strings of Python 2 arrive as bytes.

    Raises BadFileError, which names a global in the pickle that is not allowed.
    """
    try:
        content = path.read_bytes()
        loaded = _PlainUnpickler(BytesIO(content), encoding="bytes").load()
        return _arrays_in(loaded)
    except Exception as error:
        # A damaged pickle can fail with nearly any error.
        raise BadFileError(path, f"cannot be read as a pickle of plain data ({_explain(path, error)})") from error


class _ForbiddenError(ValueError):
    """Part of a pickle that is not allowed."""


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}; allow it to be read, or put it back"
    if isinstance(error, _ForbiddenError):
        return f"{error}; get the data set from its own site"
    what = describe_content(path)
    return "it is damaged or cut off; download it again" if what == "a pickle" else f"it is {what}; download it again"


class _Dtype:
    """Substitute for `numpy.dtype`; only integers."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        self.name = _text(name)
        if not _INTEGER_DTYPE.fullmatch(self.name):
            raise _ForbiddenError(f"arrays of type {self.name!r} are not allowed, only integers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.name = _text(state[1]) + self.name.lstrip("<>|=")

    def build(self) -> np.dtype[Any]:
        return np.dtype(self.name)


class _Array:
    """Substitute for `numpy.ndarray` while the file is read; the array is made afterwards, from checked parts."""

    def __init__(self, *_: object) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        self.fill(content, dtype, shape, "F" if is_fortran else "C")

    def fill(self, content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: bytes | str) -> None:
        flat = np.frombuffer(content, dtype.build())
        self.value = flat.reshape(shape, order="F" if _text(order) == "F" else "C")


def _array_from_buffer(content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: bytes | str) -> _Array:
    array = _Array()
    array.fill(content, dtype, shape, order)
    return array


def _encode(text: str, encoding: bytes | str) -> bytes:
    if not isinstance(encoding, bytes | str) or _text(encoding) not in ("latin1", "latin-1"):
        raise _ForbiddenError("a text encoding other than latin1 is not allowed")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
    ("_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        allowed = _ALLOWED.get((module_name, global_name))
        if allowed is None:
            raise _ForbiddenError(f"it asks for {module_name}.{global_name}, which is not allowed")
        return allowed


def _arrays_in(value: Any) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without content")
        return value.value
    if isinstance(value, dict):
        return {key: _arrays_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_arrays_in(item) for item in value]
    return value


def _text(value: bytes | str) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else value
