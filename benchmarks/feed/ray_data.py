"""Ray Data as its documentation feeds a TorchTrainer, over our shards, with our decoding; prints rows per second.

Files are read in a new order in every epoch, and the rows of each block are mixed after decoding, which costs less than
`local_shuffle_buffer_size`. Beside the training workers, every core is left to the tasks that read.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
import ray.train
from ray.train.torch import TorchTrainer

from benchmarks.feed.rate import measure_rate
from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.contract.row_draws import numpy_draws
from ray_jobs.cluster.connection import SETTINGS
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import check_settings
from trainables.ray_train.row_sources import open_splits
from trainables.workloads import build_pipeline

ROOT = Path(__file__).resolve().parents[2]


class Decode:
    """Block of stored rows to arrays of decoded and cut rows, mixed."""

    def __init__(self, pipeline: DataPipeline) -> None:
        self._pipeline = pipeline

    def __call__(self, table: pa.Table) -> dict[str, np.ndarray]:
        """Decode a block."""
        random = np.random.default_rng()
        rows = self._pipeline.decode(table)
        batch = self._pipeline.collate_train(rows, numpy_draws(rows.num_rows, int(random.integers(2**31))))
        order = random.permutation(rows.num_rows)
        return {name: tensor.numpy()[order] for name, tensor in batch.items()}


def take_all(config: dict[str, Any]) -> Any:
    """Take whole epochs in a training worker."""
    shard: Any = ray.train.get_dataset_shard("train")
    size = config["batch_size"]

    def epoch(_: int) -> Any:
        return shard.iter_torch_batches(batch_size=size, drop_last=True)

    found = measure_rate(epoch, size, began=config["began"], root=config["root"])
    ray.train.report({})
    return found


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    experiment = check_settings(arguments["settings"], origin="benchmark")
    pipeline, workers = build_pipeline(experiment.workload), arguments["workers"]
    split = open_splits(build_plan(experiment))["train"]
    ray.init(
        address="local",
        num_cpus=(os.cpu_count() or 1) + workers,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**SETTINGS, "PYTHONPATH": str(ROOT)}},
    )
    files = [(split.folder / shard.name).path for shard in split.shards]
    rows = ray.data.read_parquet(files, filesystem=split.folder.fs, shuffle="files")
    rows = rows.map_batches(Decode(pipeline).__call__, batch_size=None, batch_format="pyarrow", zero_copy_batch=True)
    config = {"batch_size": experiment.training.batch_size // workers, "began": arguments["began"], "root": os.getpid()}
    trainer = TorchTrainer(
        take_all,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=False),
        run_config=ray.train.RunConfig(storage_path=str(experiment.storage.path)),
        datasets={"train": rows},
    )
    print(json.dumps(trainer.fit().return_value))


if __name__ == "__main__":
    main()
