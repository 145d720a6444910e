"""Rows of the toy workload: x, eight float32, and y, their sum."""

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import Split
from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.prepared.sources.array_pipeline import ArrayPipeline
from tests.toy_workload.config import ToyConfig

FEATURES = 8


def die_if_asked(file: Path) -> None:
    """Count the file's number down and end as if killed by someone; nothing when there is none, or it is 0."""
    if file.exists() and (count := int(file.read_text())):
        file.write_text(str(count - 1))
        os.kill(os.getpid(), signal.SIGKILL)


class ToyPipeline(ArrayPipeline):
    """Points made from a seed."""

    def __init__(self, config: ToyConfig):
        self.config = config
        sizes: dict[Split, int] = {"train": config.num_rows, "test": 16}
        splits = {split: make_points(size, seed) for seed, (split, size) in enumerate(sizes.items())}
        if config.nan_at_row is not None:
            splits["train"]["y"][config.nan_at_row] = np.nan
        super().__init__(splits, name="toy")

    @property
    def source(self) -> str:
        return "made-up points"

    @property
    def key(self) -> str:
        return f"toy-{self.config.num_rows}-{self.config.nan_at_row}" + (
            f"-{self.config.padding_bytes}" if self.config.padding_bytes else ""
        )

    def decode(self, table: pa.Table) -> pa.Table:
        if self.config.reader_kill_file:
            die_if_asked(Path(self.config.reader_kill_file))
        padding = np.zeros(self.config.padding_bytes * len(table), np.uint8)
        offsets = pa.array(np.arange(len(table) + 1, dtype=np.int32) * self.config.padding_bytes)
        column = pa.BinaryArray.from_buffers(
            pa.binary(), len(table), [None, offsets.buffers()[1], pa.py_buffer(padding)]
        )
        return table.append_column("padding", column) if self.config.padding_bytes else table

    def augment(self, batch, *, draws: TorchDraws):
        noise = draws.normal(*batch["x"].shape[1:])
        return {**batch, "x": batch["x"] + 0.01 * noise}

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        points = {"train": make_points(num_rows, seed)}
        return pa.concat_tables(ArrayPipeline(points).read_raw("train", 0)).combine_chunks()


def make_points(num_rows: int, seed: int) -> dict[str, np.ndarray]:
    """Normal x, [rows, 8], and their sums y."""
    x = np.random.default_rng(seed).normal(size=(num_rows, FEATURES)).astype(np.float32)
    return {"x": x, "y": x.sum(1)}
