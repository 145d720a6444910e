"""Plain pickles are read; anything that would run code is refused and does not run."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipelines.readers.safe_pickle import load_plain_pickle


class _Payload:
    """Creates a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def _dump(folder: Path, value: Any, protocol: int = 2) -> Path:
    path = folder / "data_batch_1"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_arrays_survive(tmp_path: Path, protocol: int) -> None:
    value = {
        "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
        "labels": [0, 9, -3, 2**40],
        "wide": np.array([[-1, 2], [3, 2**40]], dtype=">i8"),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "names": ["caf\u00e9"],
    }
    loaded = load_plain_pickle(_dump(tmp_path, value, protocol))
    assert loaded["labels"] == value["labels"]
    assert loaded["names"] == value["names"]
    for name in ("data", "wide", "fortran"):
        assert loaded[name].dtype == value[name].dtype
        np.testing.assert_array_equal(loaded[name], value[name])


def test_strings_of_python_2_arrive_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "batches.meta"
    path.write_bytes(b"\x80\x02}U\x04dataU\x02\xff\x00s.")
    assert load_plain_pickle(path) == {b"data": b"\xff\x00"}


def test_old_and_new_names_of_numpy_are_known(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3, dtype=np.uint8), 2)
    assert b"numpy._core.multiarray" in content
    path = tmp_path / "old"
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(load_plain_pickle(path), [0, 1, 2])


@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "created"
    path = _dump(tmp_path, {"data": _Payload(target)}, protocol)
    with pytest.raises(ValueError, match=r"data_batch_1: .*posix\.system, which is not allowed"):
        load_plain_pickle(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())
    assert target.exists(), "the payload is harmless, so this test shows nothing"


@pytest.mark.parametrize("name", [b"builtins\neval", b"numpy\nload", b"numpy.core.multiarray\nscalar"])
def test_other_names_are_refused(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "batch"
    path.write_bytes(b"c" + name + b"\n.")
    with pytest.raises(ValueError, match=name.decode().replace("\n", r"\.") + ", which is not allowed"):
        load_plain_pickle(path)


@pytest.mark.parametrize("array", [np.zeros(3), np.array([None]), np.array(["text"])])
def test_arrays_that_are_not_integers_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="only integers"):
        load_plain_pickle(_dump(tmp_path, array))


def test_a_truncated_pickle_names_the_file(tmp_path: Path) -> None:
    path = _dump(tmp_path, {"data": np.zeros((9, 9), np.uint8)})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="data_batch_1: cannot be read"):
            load_plain_pickle(path)
