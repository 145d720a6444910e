"""The `show` verb: what an experiment will do, without starting Ray."""

from typing import Any

import yaml

from ray_jobs.experiment import Experiment
from ray_jobs.planning import prepared_folder


def describe(experiment: Experiment) -> tuple[str, dict[str, Any]]:
    """Text for people, and the same as plain data: parameters, macs, steps per epoch, data."""
    from data_pipelines.manifest import read_manifest

    pipeline = experiment.workload.build_pipeline()
    folder = prepared_folder(experiment, pipeline)
    manifest = read_manifest(folder)
    facts = manifest.facts if manifest else pipeline.facts()
    parameters, macs = count_parameters_and_macs(experiment, facts)
    num_rows, problem = (manifest.num_rows("train"), None) if manifest else _count_raw_rows(pipeline)
    summary = {
        "run_id": experiment.run_id,
        "folder": str(experiment.folder),
        "parameters": parameters,
        "macs": macs,
        "train_rows": num_rows,
        "steps_per_epoch": num_rows and num_rows // experiment.training.batch_size,
        "data": pipeline.source,
        "prepared": str(folder),
        "is_prepared": manifest is not None,
    }
    data = f"{pipeline.source}; {'prepared' if manifest else 'to be prepared'} in {folder}"
    lines = [
        yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False).rstrip(),
        "---",
        f"run:              {experiment.run_id} in {experiment.folder}",
        f"parameters:       {parameters:,}",
        f"MACs per sample:  {macs:,} (convolutions, linear layers, attention products)",
        f"steps per epoch:  {problem or summary['steps_per_epoch']}",
        f"data:             {data}",
    ]
    return "\n".join(lines), summary


def _count_raw_rows(pipeline: Any) -> tuple[int | None, str | None]:
    try:
        return pipeline.num_raw_rows()["train"], None
    except ValueError as error:
        return None, f"unknown, as the raw data are not there ({error})"


def count_parameters_and_macs(experiment: Experiment, facts: Any) -> tuple[int, int]:
    """Trainable and frozen parameters, and multiply-accumulates of one sample's forward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    task = experiment.workload.build_task(facts, experiment.seed)
    module = task.module.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(*task.example_inputs())
    return sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2
