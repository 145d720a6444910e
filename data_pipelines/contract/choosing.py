"""The contract of a pipeline that chooses its rows from stored ones, which other settings choose from too.

The rows lie in *stores*: pipelines of their own, prepared like any other, whose keys follow from what changes a stored
row. The choosing pipeline's prepared folder says which of them are its rows, and holds the columns that it adds.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import Batch, DataPipeline, Split

STORE, ROW = "store", "row"
"""Columns of a choice: the number of the store, and the number of the row among all of the store's."""


class StoreRows(Protocol):
    """The rows of a prepared store."""

    def find(self, split: Split, raw_row: int) -> int:
        """Return the number of a raw row among the rows of all splits.

        Raises BadFileError when it was left out, with the fault of its file.
        """
        ...

    def column(self, name: str) -> list[Any]:
        """Return the values of a small column for all rows; read once."""
        ...

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Read some columns of the rows with these numbers, in this order."""
        ...


class ChoosingPipeline(DataPipeline[Batch]):
    """Pipeline whose rows are chosen from those of its stores, with some columns of its own.

    `read_raw` gives the same rows from the raw data, for folders prepared by earlier versions, which hold all columns.
    """

    own_columns: tuple[str, ...] = ()
    """Columns of the schema that the choice says; all others are those of the stores."""

    @abstractmethod
    def stores(self) -> Sequence[DataPipeline[Any]]:
        """Return the stores, cheaply; none when the raw data are not at hand, or the rows are stored by themselves.

        A store leaves out damaged files, as it is up to the choosing pipeline whether it needs them.
        """

    @abstractmethod
    def choose(self, split: Split, start_row: int, stores: Sequence[StoreRows]) -> Iterator[pa.Table]:
        """Yield tables with `STORE`, `ROW` and the own columns, for the rows of `read_raw` in their order.

        Nothing is read of the raw data but what lists them.

        Raises:
            BadFileError: The row after those yielded was left out; a caller may go on with the row behind it.
        """

    def count_decoded(self, choice: pa.Table) -> np.ndarray:
        """Return the number of rows that each row of a choice decodes to, by its own columns; by default one."""
        return np.ones(choice.num_rows, np.int64)

    @property
    def choice_schema(self) -> pa.Schema:
        """Arrow schema of a choice."""
        places = [pa.field(STORE, pa.int32(), nullable=False), pa.field(ROW, pa.int64(), nullable=False)]
        return pa.schema([*places, *(self.schema.field(name) for name in self.own_columns)])
