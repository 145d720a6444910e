"""The same prepared rows as a user of plain PyTorch would feed them; prints rows per second."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

from benchmarks.feed.ranks import joined_ranks
from benchmarks.feed.rate import measure_rate
from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.contract.row_draws import NumpyDraws, numpy_draws
from data_pipelines.prepared.ray_dataset import ShardedSplit
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import check_settings
from trainables.ray_train.row_sources import open_splits
from trainables.workloads import build_pipeline

TENSORS, TENSOR_LOADER, PARQUET_LOADER = "tensors", "DataLoader of a TensorDataset", "DataLoader of Parquet"


class CutRows(Dataset):
    """Rows in memory, of which every batch takes parts: windows or patches cut at random."""

    def __init__(self, rows: pa.Table, pipeline: DataPipeline):
        self._rows, self._pipeline, self._seed = rows, pipeline, torch.initial_seed()
        self._draws: dict[int, NumpyDraws] = {}

    def __len__(self) -> int:
        return self._rows.num_rows

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.take(torch.tensor([index])).items()}

    def take(self, indices: Tensor) -> dict[str, Tensor]:
        """One batch."""
        count = len(indices)
        if count not in self._draws:
            self._draws[count] = numpy_draws(count, self._seed)
        rows = pa.concat_tables([self._rows.slice(index, 1) for index in indices.tolist()])
        return self._pipeline.collate_train(rows, self._draws[count])


class WholeRows(TensorDataset):
    """Rows of one size, as tensors in memory."""

    def take(self, indices: Tensor) -> tuple[Tensor, ...]:
        """One batch, cut out by one index for each tensor: no loader can be quicker."""
        return self[indices]


class ParquetRows(IterableDataset):
    """Batches from the shards, which all processes share out; shuffled within windows of four, as ours."""

    window = 4

    def __init__(self, split: ShardedSplit, pipeline: DataPipeline, batch_size: int):
        self._split, self._pipeline, self._batch_size = split, pipeline, batch_size
        self._rank, self._world_size = _rank_of()
        self._epoch = 0

    def __iter__(self) -> Iterator[Any]:
        process = get_worker_info()
        inner, processes = (process.id, process.num_workers) if process else (0, 1)
        first, step = self._rank * processes + inner, self._world_size * processes
        self._epoch += 1
        mixed = torch.randperm(len(self._split.shards), generator=torch.Generator().manual_seed(self._epoch))
        shards = mixed.tolist()[first::step]
        left = None
        for start in range(0, len(shards), self.window):
            tables = [self._split.load(shard, self._pipeline) for shard in shards[start : start + self.window]]
            rows = pa.concat_tables([*([left] if left else []), *tables]).combine_chunks()
            parts, order = CutRows(rows, self._pipeline), torch.randperm(len(rows)).numpy()
            for begin in range(0, len(rows) - self._batch_size + 1, self._batch_size):
                chosen = order[begin : begin + self._batch_size]
                if self._pipeline.aliases_rows:
                    yield parts.take(torch.from_numpy(chosen))
                else:
                    yield self._pipeline.collate(rows.take(pa.array(chosen)))
            left = rows.take(pa.array(order[len(rows) // self._batch_size * self._batch_size :]))


def read_all(split: ShardedSplit, pipeline: DataPipeline) -> CutRows | WholeRows:
    """All rows in memory; whole ones must be of one size."""
    rows = pa.concat_tables([split.load(index, pipeline) for index in range(len(split.shards))]).combine_chunks()
    if pipeline.aliases_rows:
        return CutRows(rows, pipeline)
    return WholeRows(*(tensor.reshape(rows.num_rows, -1) for tensor in pipeline.collate(rows).values()))


def take_by_index(data: CutRows | WholeRows, batch_size: int, epoch: int) -> Iterator[Any]:
    """This rank's batches in a random order."""
    rank, world_size = _rank_of()
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(epoch))[rank::world_size]
    for start in range(0, len(order) - batch_size + 1, batch_size):
        yield data.take(order[start : start + batch_size])


def _rank_of() -> tuple[int, int]:
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def build_epoch(arguments: dict[str, Any], batch_size: int) -> Callable[[int], Iterable[Any]]:
    """What yields the batches of an epoch."""
    experiment = check_settings(arguments["settings"], origin="benchmark")
    plan, pipeline = build_plan(experiment), build_pipeline(experiment.workload)
    split = open_splits(plan)["train"]
    if arguments["peer"] == PARQUET_LOADER:
        processes = arguments["processes"]
        rows: Any = ParquetRows(split, pipeline, batch_size)
        loader = DataLoader(rows, batch_size=None, num_workers=processes, persistent_workers=processes > 0)
        return lambda _: loader
    data = read_all(split, pipeline)
    if arguments["peer"] == TENSORS:
        return lambda epoch: take_by_index(data, batch_size, epoch)
    loader = DataLoader(data, batch_size=batch_size, shuffle=True, drop_last=True)
    return lambda _: loader


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    root = os.getppid() if "RANK" in os.environ else os.getpid()
    workers = arguments["workers"]
    batch_size = check_settings(arguments["settings"], origin="benchmark").training.batch_size // workers
    with joined_ranks("benchmarks.feed.peers", workers) as rank:
        found = measure_rate(build_epoch(arguments, batch_size), batch_size, began=arguments["began"], root=root)
    if rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
