"""Pipeline for rows that fit in memory, as a dict of NumPy arrays for each split."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import SPLITS, DataPipeline, DataSpec, Split
from data_pipelines.prepared.byte_columns import tensor_of

if TYPE_CHECKING:
    from torch import Tensor

ROWS_PER_TABLE = 4096
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""Dtypes that NumPy and torch both have."""


class ArrayPipeline(DataPipeline["dict[str, Tensor]"]):
    """Pipeline of arrays by split and name; the first dimension counts the rows. Needs nothing but the arrays.

    A batch holds a tensor for each array, of its dtype, shaped [batch, ...]. The data spec gives for each name
    `{"dtype": ..., "shape": [...]}`, the shape of one row; further values for the task go into `data_spec`.

    Args:
        splits: By split (train, val, test), arrays by name; every split has the same names, dtypes and row shapes.
        name: Prefix of the prepared folder's name.
        data_spec: Further plain data for the task, for example class names.

    Raises:
        ValueError: Names the split and the array that does not fit: no rows, other lengths, dtypes or shapes, a dtype
            that is neither boolean, integer nor float.
    """

    def __init__(
        self,
        splits: Mapping[str, Mapping[str, np.ndarray]],
        *,
        name: str = "arrays",
        data_spec: DataSpec | None = None,
    ):
        self._splits: Mapping[Split, Mapping[str, np.ndarray]] | None = _check(splits)
        first = self._splits["train"]
        self._forms = {array: (values.dtype.str, values.shape[1:]) for array, values in first.items()}
        self._num_rows: dict[Split, int] = {
            split: len(next(iter(arrays.values()))) for split, arrays in self._splits.items()
        }
        self._further = dict(data_spec or {})
        self._name = name

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the arrays: tasks that decode prepared rows do not need them."""
        return {**self.__dict__, "_splits": None, "_digest": self._digest}

    @property
    def key(self) -> str:
        """`<name>-<digest of all arrays>`."""
        return f"{self._name}-{self._digest[:16]}"

    @property
    def source(self) -> str:
        """The name, followed by `arrays in memory`."""
        return f"{self._name}, arrays in memory"

    @property
    def schema(self) -> pa.Schema:
        """One column of little-endian bytes for each array."""
        fields = [pa.field(name, pa.binary(max(_width(form), 1)), nullable=False) for name, form in self._forms.items()]
        return pa.schema(fields)

    def data_spec(self) -> DataSpec:
        """Return dtype and row shape by array, and the further data given to the constructor."""
        forms = {
            name: {"dtype": np.dtype(dtype).name, "shape": list(shape)} for name, (dtype, shape) in self._forms.items()
        }
        return {**forms, **self._further}

    def source_hash(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        assert self._splits is not None, "a pickled ArrayPipeline brings its digest along"
        return _hash(self._splits, self._further)

    def num_raw_rows(self) -> dict[Split, int]:
        return dict(self._num_rows)

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        assert self._splits is not None, "a pickled ArrayPipeline holds no arrays"
        for first in range(start_row, self._num_rows.get(split, 0), ROWS_PER_TABLE):
            arrays = {name: values[first : first + ROWS_PER_TABLE] for name, values in self._splits[split].items()}
            yield pa.table([_to_bytes(values) for values in arrays.values()], schema=self.schema)

    def collate(self, table: pa.Table) -> "dict[str, Tensor]":
        """Return a tensor for each array, [batch, ...]."""
        import torch

        batch = {}
        for name, (dtype, shape) in self._forms.items():
            kind = getattr(torch, np.dtype(dtype).name)
            batch[name] = tensor_of(table[name]).view(kind).reshape(table.num_rows, *shape)
        return batch


def _check(splits: Mapping[str, Mapping[str, np.ndarray]]) -> dict[Split, dict[str, np.ndarray]]:
    known: list[Split] = [split for split in SPLITS if split in splits]
    if len(known) < len(splits) or "train" not in splits:
        raise ValueError(f"the splits are {', '.join(splits) or 'none'}; give train, and val and test if there are any")
    checked: dict[Split, dict[str, np.ndarray]] = {}
    for split in known:
        arrays = {name: _little_endian(f"{split}/{name}", values) for name, values in splits[split].items()}
        lengths = {name: len(values) for name, values in arrays.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise ValueError(f"{split}: every array needs the same number of rows, at least 1; they have {lengths}")
        checked[split] = arrays
        forms, wanted = _forms(arrays), _forms(checked["train"])
        if forms != wanted:
            raise ValueError(
                f"{split} holds {forms}, but train holds {wanted}; names, dtypes and row shapes must agree"
            )
    return checked


def _forms(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (values.dtype.name, values.shape[1:]) for name, values in arrays.items()}


def _little_endian(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 0 or array.dtype.name not in DTYPES or 0 in array.shape[1:]:
        raise ValueError(
            f"{name} is {array.dtype.name} of shape {list(array.shape)}; an array needs rows, its first "
            f"dimension, of one of the dtypes {', '.join(DTYPES)}"
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _hash(splits: Mapping[Split, Mapping[str, np.ndarray]], further: DataSpec) -> str:
    digest = hashlib.sha256(json.dumps(further, sort_keys=True).encode())
    for split in SPLITS:
        for name, values in splits.get(split, {}).items():
            digest.update(json.dumps([split, name, values.dtype.str, list(values.shape)]).encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _width(form: tuple[str, tuple[int, ...]]) -> int:
    dtype, shape = form
    return np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))


def _to_bytes(values: np.ndarray) -> pa.Array:
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    width = rows.shape[1] * rows.dtype.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows.tobytes())])
