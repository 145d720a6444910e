"""The least that a TorchTrainer can do: one worker, the same network, one batch in memory, one report after a block."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.workloads import build_pipeline, build_task


def measure(
    settings: dict[str, Any], steps_per_block: int, began: float, is_tuned: bool, is_fed: bool
) -> dict[str, Any]:
    """Seconds from the start to the first step.

    Args:
        settings: Of the experiment.
        steps_per_block: Steps until the report.
        began: Time of the start.
        is_tuned: Whether it is the only trial of a Tuner.
        is_fed: Whether the batch comes from a dataset of the trainer, as by Ray's guide for data.
    """
    config = {"settings": settings, "steps_per_block": steps_per_block, "is_fed": is_fed}
    fitted = fit_in_tuner if is_tuned else fit
    return {"first_s": fitted(_work, config, num_workers=1) - began}


def fit(work: Callable[[dict[str, Any]], Any], config: dict[str, Any], *, num_workers: int) -> Any:
    """What the first of the workers returns; on a cluster of its own."""
    _start_ray()
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:
        return _fit(work, config, num_workers, folder)


def fit_in_tuner(work: Callable[[dict[str, Any]], Any], config: dict[str, Any], *, num_workers: int) -> Any:
    """The same, by the trial of a Tuner, in the way that Ray's guide gives for hyperparameters of a TorchTrainer.

    As there, what the worker reports goes to Tune.
    """
    from ray import tune

    _start_ray()
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:

        def trial(changes: dict[str, Any]) -> dict[str, Any]:
            from ray.tune.integration.ray_train import TuneReportCallback

            return {"returned": _fit(work, config, num_workers, folder, [TuneReportCallback()])}

        resources = tune.PlacementGroupFactory([{"CPU": 0.0, "memory": 1024.0}])
        tuner = tune.Tuner(tune.with_resources(trial, resources), run_config=tune.RunConfig(storage_path=folder))
        [result] = tuner.fit()
    assert result.metrics is not None
    return result.metrics["returned"]


def _start_ray() -> None:
    import ray

    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    ray.init(include_dashboard=False, log_to_driver=False)


def _fit(
    work: Callable[[dict[str, Any]], Any],
    config: dict[str, Any],
    num_workers: int,
    folder: str,
    callbacks: list[Any] | None = None,
) -> Any:
    import ray.train.torch

    trainer = ray.train.torch.TorchTrainer(
        work,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=num_workers),
        run_config=ray.train.RunConfig(storage_path=folder, callbacks=callbacks),
        datasets={"train": _make_dataset(config)} if config.get("is_fed") else None,
    )
    return trainer.fit().return_value


def _make_rows(pipeline: Any, experiment: Any) -> Any:
    return pipeline.decode(pipeline.make_fake_rows(experiment.training.batch_size, seed=0))


def _make_dataset(config: dict[str, Any]) -> Any:
    import ray.data

    from ray_jobs.settings.experiment import check_settings

    experiment = check_settings(config["settings"], origin="benchmark")
    return ray.data.from_arrow(_make_rows(build_pipeline(experiment.workload), experiment))


def _work(config: dict[str, Any]) -> float:
    import ray.train.torch
    import torch

    from data_pipelines.contract.row_draws import numpy_draws, torch_draws
    from ray_jobs.settings.experiment import check_settings

    experiment = check_settings(config["settings"], origin="benchmark")
    torch.set_num_threads(1)
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), experiment.seed)
    module = ray.train.torch.prepare_model(task.module.train())
    if config["is_fed"]:
        shard: Any = ray.train.get_dataset_shard("train")
        rows: Any = next(iter(shard.iter_batches(batch_size=None, batch_format="pyarrow")))
    else:
        rows = _make_rows(pipeline, experiment)
    draws = torch_draws(rows.num_rows, 0)
    batch = pipeline.augment(pipeline.collate_train(rows, numpy_draws(rows.num_rows, 0)), draws=draws)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-4)
    first_at = time.time()
    for _ in range(config["steps_per_block"]):
        task.loss(module, batch, draws=draws).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    ray.train.report({})
    return first_at


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))
