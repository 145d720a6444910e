"""Prepared splits as the datasets of a TorchTrainer, named after run and split, as Ray's dashboard shows them.

Rows that stay resident are decoded once, into the object store, where all workers of a machine, and all trials of a
search over the same data, read them without a copy. Of streamed data the evaluation splits are datasets. Their training
rows are not: no public splitting of a dataset gives every number of workers the same batches; see
`engine/data/row_order.py`.
"""

import traceback
from typing import Any

import ray.train
from ray.data import DataIterator, Dataset

from data_pipelines.contract.pipeline import Split
from data_pipelines.prepared.ray_dataset import ShardedSplit, cause_of, ray_dataset
from trainables.plan import Plan
from trainables.ray_train.row_sources import evaluated_pieces, open_splits
from trainables.ray_train.worker_main import RunError, explain

RunDatasets = dict[Split, Dataset]
"""Datasets of a run by split."""


def build_datasets(plan: Plan) -> RunDatasets:
    """Return the datasets of a run; rows that stay resident are decoded now, and freed with the last reference.

    The datasets of a streamed run are lazy, and there are none when its workers read by themselves.

    Raises:
        RunError: A shard cannot be read.
    """
    tasks, is_resident = plan.scaling.read_tasks, plan.feed == "resident"
    if not is_resident and not tasks:
        return {}
    pipeline = plan.workload.build_pipeline(plan.run.workload)
    datasets: RunDatasets = {}
    for name, split in open_splits(plan).items():
        if is_resident or name != "train":
            dataset = ray_dataset(split, pipeline, split.whole(), concurrency=max(tasks, 1))
            dataset.set_name(f"{plan.run_id}_{name}")
            datasets[name] = _decoded(dataset) if is_resident else dataset
    return datasets


def _decoded(dataset: Dataset) -> Dataset:
    try:
        return dataset.materialize()
    except Exception as error:
        raise RunError(explain(error), traceback.format_exc(), isinstance(cause_of(error), ValueError)) from error


class RowShares(ray.train.DataConfig):
    """Assignment of a run's rows: resident ones to every worker, and of streamed splits its share to each."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(datasets_to_split=[])
        self._plan = plan

    def configure(
        self, datasets: dict[str, Dataset], world_size: int, *arguments: Any, **settings: Any
    ) -> list[dict[str, DataIterator]]:
        """Return the iterators of each rank by split; see `DataConfig.configure`."""
        if self._plan.feed == "resident":
            return super().configure(datasets, world_size, *arguments, **settings)
        plan, splits = self._plan, open_splits(self._plan)
        pipeline = plan.workload.build_pipeline(plan.run.workload)

        def share(split: ShardedSplit, rank: int) -> DataIterator:
            pieces = evaluated_pieces(split, rank, world_size)
            dataset = ray_dataset(split, pipeline, pieces, concurrency=plan.scaling.read_tasks, sharers=world_size)
            dataset.set_name(f"{plan.run_id}_{split.split}_{rank}")
            return dataset.iterator()

        evaluated = {name: split for name, split in splits.items() if name in datasets}
        return [{name: share(split, rank) for name, split in evaluated.items()} for rank in range(world_size)]
