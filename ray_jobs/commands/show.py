"""The `show` verb: what an experiment will do, without starting Ray."""

from pathlib import Path
from typing import Any

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Manifest
from data_pipelines.prepared.manifest import read_manifest
from ray_jobs.run_folder.run_recorder import FINAL
from ray_jobs.runs.planning import prepared_folder
from ray_jobs.runs.prerequisites import earlier_experiments
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.strict_yaml import dump_yaml
from trainables.workloads import build_pipeline, build_task

KNOWN_WITH_DATA = ("parameters", "macs", "train_rows", "steps_per_epoch", "data", "prepared")


def describe(experiment: Experiment) -> tuple[str, dict[str, Any]]:
    """Text for people, and the same as plain data: parameters, macs, steps per epoch, data; whether the runs that this
    one comes after are finished. Where the settings still lack data or weights these are None, and the text says why.
    """
    earlier = {each.run_id: each.folder.exists(FINAL) for each in earlier_experiments(experiment)}
    lines = [
        dump_yaml(experiment.model_dump(mode="json")).rstrip(),
        "---",
        f"run:              {experiment.run_id} in {experiment.folder}",
        *(f"after:            {name}, {'finished' if done else 'to be trained'}" for name, done in earlier.items()),
    ]
    try:
        described, found = _describe_size_and_data(experiment)
    except ValueError as error:  # what `train` refuses too
        described, found = [f"not known yet:    {error}"], dict.fromkeys(KNOWN_WITH_DATA)
    run = {"run_id": experiment.run_id, "folder": str(experiment.folder), "after": earlier}
    return "\n".join([*lines, *described]), run | found


def _describe_size_and_data(experiment: Experiment) -> tuple[list[str], dict[str, Any]]:
    pipeline = build_pipeline(experiment.workload)
    folder = _find_prepared(experiment, pipeline)
    manifest = read_manifest(folder) if folder else None
    parameters, macs = count_parameters_and_macs(experiment, manifest.data_spec if manifest else pipeline.data_spec())
    num_rows, origin = _count_rows(pipeline, manifest)
    training = experiment.training
    steps = num_rows and num_rows // training.batch_size * training.passes_per_epoch
    prepared = str(folder) if manifest else None
    lines = [
        f"parameters:       {parameters:,}",
        f"MACs per sample:  {macs:,} (convolutions, linear layers, attention products)",
        f"steps per epoch:  {steps or 'unknown'} ({origin})",
        f"data:             {pipeline.source}; {'' if manifest else 'to be '}prepared in {folder or '(unknown)'}",
    ]
    values = (parameters, macs, num_rows, steps, pipeline.source, prepared)
    return lines, dict(zip(KNOWN_WITH_DATA, values, strict=True))


def _find_prepared(experiment: Experiment, pipeline: DataPipeline) -> Path | None:
    try:
        return prepared_folder(experiment, pipeline)
    except ValueError:  # the settings name no data yet, which `train` refuses and `show` shows
        return None


def _count_rows(pipeline: DataPipeline, manifest: Manifest | None) -> tuple[int | None, str]:
    """Training rows, and how that is known."""
    if manifest:
        return manifest.num_samples("train"), "from the prepared data"
    try:
        return pipeline.num_raw_rows()["train"], "from the raw data"
    except ValueError as error:
        nominal = pipeline.nominal_rows().get("train")
        return (nominal, "of the whole published set") if nominal else (None, str(error))


def count_parameters_and_macs(experiment: Experiment, data_spec: DataSpec) -> tuple[int, int]:
    """Trainable and frozen parameters, and multiply-accumulates of one sample's forward pass."""
    from trainables.metrics.macs import count_macs

    task = build_task(experiment.workload, data_spec, experiment.seed)
    module = task.module.eval()
    return sum(parameter.numel() for parameter in module.parameters()), count_macs(module, *task.example_inputs())
