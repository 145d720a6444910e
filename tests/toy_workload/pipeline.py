"""Rows of the toy workload: x, eight float32 as bytes, and y."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from data_pipelines.contract.pipeline import DataPipeline, Split
from tests.toy_workload.config import ToyConfig

FEATURES = 8


def die_if_asked(file: Path) -> None:
    """Count the file's number down and end as if killed by someone; nothing when there is none, or it is 0."""
    if file.exists() and (count := int(file.read_text())):
        file.write_text(str(count - 1))
        os.kill(os.getpid(), signal.SIGKILL)


class ToyPipeline(DataPipeline):
    """Points made from a seed."""

    schema = pa.schema([("x", pa.binary(4 * FEATURES)), ("y", pa.float32())])  # pyright: ignore
    source = "made-up points"  # pyright: ignore

    def __init__(self, config: ToyConfig):
        self.config = config

    @property
    def key(self) -> str:
        return f"toy-{self.config.num_rows}-{self.config.nan_at_row}" + (
            f"-{self.config.padding_bytes}" if self.config.padding_bytes else ""
        )

    def data_spec(self):
        return {"features": FEATURES}

    def source_hash(self) -> str:
        return self.key

    def num_raw_rows(self) -> dict[Split, int]:
        return {"train": self.config.num_rows, "test": 16}

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        table = self.make_fake_rows(self.num_raw_rows()[split], seed=0 if split == "train" else 1)
        if split == "train" and self.config.nan_at_row is not None:
            y = table["y"].to_numpy().copy()
            y[self.config.nan_at_row] = np.nan
            table = table.set_column(1, "y", pa.array(y))
        yield table.slice(start_row)

    def decode(self, table: pa.Table) -> pa.Table:
        if self.config.reader_kill_file:
            die_if_asked(Path(self.config.reader_kill_file))
        padding = np.zeros(self.config.padding_bytes * len(table), np.uint8)
        offsets = pa.array(np.arange(len(table) + 1, dtype=np.int32) * self.config.padding_bytes)
        column = pa.BinaryArray.from_buffers(
            pa.binary(), len(table), [None, offsets.buffers()[1], pa.py_buffer(padding)]
        )
        return table.append_column("padding", column) if self.config.padding_bytes else table

    def collate(self, table: pa.Table):
        x = np.frombuffer(b"".join(table["x"].to_pylist()), np.float32).reshape(-1, FEATURES).copy()
        return {"x": torch.from_numpy(x), "y": torch.from_numpy(table["y"].to_numpy().copy())}

    def augment(self, batch, *, generator: torch.Generator):
        noise = torch.randn(batch["x"].shape, generator=generator, device=batch["x"].device)
        return {**batch, "x": batch["x"] + 0.01 * noise}

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        x = np.random.default_rng(seed).normal(size=(num_rows, FEATURES)).astype(np.float32)
        columns = [pa.array([row.tobytes() for row in x], pa.binary(4 * FEATURES)), pa.array(x.sum(1))]
        return pa.Table.from_arrays(columns, schema=self.schema)
