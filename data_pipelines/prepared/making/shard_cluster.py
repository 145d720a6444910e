"""Making of shards by the machines of a Ray cluster, by Ray Data: the same bytes as from one process.

A task whose machine is lost is done again elsewhere. Every machine must see the raw files, and the prepared folder must
lie on storage that all of them share.
"""

import pickle
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.prepared.making.shard_making import make_shards
from data_pipelines.prepared.making.shard_plan import MadeShard, ShardTask, share_tasks
from data_pipelines.prepared.making.shard_processes import LogCollector, Result, ShownInOrder, thaw
from data_pipelines.prepared.ray_dataset import cause_of, keeping_words
from data_pipelines.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_RETRIES = 5
"""Restarts of a task whose machine or process was lost."""


def make_on_cluster(
    frozen: bytes,
    folder: Folder,
    tasks: Sequence[ShardTask],
    data_spec: DataSpec,
    on_rows: Callable[[int], object],
) -> Iterator[MadeShard]:
    """Make the shards of the tasks; yields them as they are made, in any order. Ray must be connected.

    `frozen` is the pipeline, by `freeze`, and the tasks are in the order of the plan. `on_rows` is called, in this
    process, whenever shards have been made, with their raw rows.

    Raises:
        ValueError: The raw rows cannot be read, or a machine does not see them or the folder.
    """
    said, all_made = ShownInOrder(tasks), list[MadeShard]()
    try:
        dataset: Any = _dataset(frozen, folder, tasks, data_spec)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for content in batch["result"].to_pylist():
                result: Result = pickle.loads(content)
                assert result.made is not None
                said.add(result.made, result.said)
                on_rows(result.made.num_raw_rows)
                all_made.append(result.made)
                yield result.made
    except Exception as error:
        cause = cause_of(error)
        if isinstance(cause, ValueError):
            raise cause from error
        raise
    _refuse_own_disks(folder, all_made)


def _dataset(frozen: bytes, folder: Folder, tasks: Sequence[ShardTask], data_spec: DataSpec) -> "Dataset":
    import ray
    import ray.data

    files = thaw(frozen).raw_files()
    cpus = max(int(ray.cluster_resources().get("CPU", 1)), 1)
    items = [{"tasks": pickle.dumps(group)} for group in share_tasks(tasks, cpus)]
    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(
            _make_in_task, frozen=ray.put(frozen), folder=folder, data_spec=dict(data_spec), seen=(files[0], files[-1])
        ),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
        max_retries=_RETRIES,
    )
    dataset.set_name(f"prepare_{folder.path.rpartition('/')[2]}")
    dataset.context.raise_original_map_exception = True
    return dataset


def _make_in_task(
    items: pa.Table, *, frozen: Any, folder: Folder, data_spec: DataSpec, seen: Sequence[Path]
) -> pa.Table:
    import ray

    pipeline = thaw(ray.get(frozen))
    said, results = LogCollector(), []
    with keeping_words(), said:
        _refuse_unseen(seen)
        for content in items["tasks"].to_pylist():
            for made in make_shards(pipeline, folder, pickle.loads(content), data_spec, lambda count: None):
                results.append(pickle.dumps(Result(made=made, said=said.take())))
    return pa.table({"result": pa.array(results, pa.binary())})


def _refuse_unseen(files: Sequence[Path]) -> None:
    """Raise ValueError when this machine lacks a raw file: it shares no disk with the one that listed them."""
    for file in files:
        if not file.exists():
            raise ValueError(
                f"the machine {platform.node()} does not see {file}; let all machines of the cluster mount the raw "
                "data, or prepare on one of them by --processes"
            )


def _refuse_own_disks(folder: Folder, all_made: Sequence[MadeShard]) -> None:
    """Raise ValueError when shards are not to be seen from here: each machine wrote to a disk of its own."""
    sizes = folder.sizes()
    missing = [made.shard.name for made in all_made if made.shard is not None and made.shard.name not in sizes]
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} shards that other machines have written, such as {missing[0]}; give "
            "storage.path, or `prepared`, a place that all machines of the cluster share, or prepare on one of them by "
            "--processes"
        )
