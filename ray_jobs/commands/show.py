"""The `show` verb: what an experiment will do, without starting Ray."""

import argparse
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_experiment, load_target
from ray_jobs.terminal import print_text

if TYPE_CHECKING:
    from data_pipelines.contract.pipeline import DataPipeline, Manifest
    from data_pipelines.storage.folder import Folder
    from ray_jobs.settings.experiment import Experiment
    from trainables.contract.task import Task

SUMMARY = "print the resolved experiment, its run, its size and its data"
DESCRIPTION = """Print all settings of an experiment as they are resolved, the name and folder of its run, parameters,
multiply-accumulates, steps per epoch and where the data are. Starts no Ray, and writes nothing."""
EXAMPLE = "quintet show demo/flow_matching --set training.epochs=5"
KNOWN_WITH_DATA = ("parameters", "macs", "state_bytes", "train_rows", "steps_per_epoch", "data", "prepared")
STATES = {
    "new": "not there yet; `train` makes it",
    "begun": "begun; `train` resumes it",
    "finished": "finished; `train --new` sets it aside and trains again",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print what the experiment will do."""
    text, summary = describe(load_target(options))
    print_text(text)
    return summary


def describe(experiment: "Experiment") -> tuple[str, dict[str, Any]]:
    """Return a description of an experiment, as text for people and as plain data.

    The description has the run, parameters, macs, steps per epoch, data, and whether the runs that this one comes after
    are finished. Where the settings still lack data or weights these are None, and the text gives the reason.
    """
    from ray_jobs.run_folder.heartbeat import find_silence
    from ray_jobs.run_folder.run_recorder import FINAL
    from ray_jobs.runs.prerequisites import earlier_experiments
    from ray_jobs.settings.strict_yaml import dump_yaml

    earlier = {each.run_id: each.folder.exists(FINAL) for each in earlier_experiments(experiment)}
    name, state = _find_name(experiment), _find_state(experiment)
    goal = experiment.workload.selection_metric
    lines = [
        dump_yaml(experiment.model_dump(mode="json")).rstrip(),
        "---",
        f"run:              {name}",
        f"folder:           {experiment.folder} ({STATES[state]})",
        f"best model by:    {goal.metric}, {'lowest' if goal.mode == 'min' else 'highest'}",
        *([f"silent:           {silent}"] if (silent := find_silence(experiment.folder)) else []),
        *(f"after:            {each}, {'finished' if done else 'to be trained'}" for each, done in earlier.items()),
    ]
    try:
        described, found = _describe_size_and_data(experiment)
    except ValueError as error:  # what `train` refuses too
        described, found = [f"not known yet:    {error}"], dict.fromkeys(KNOWN_WITH_DATA)
    summary: dict[str, Any] = {"run_id": experiment.run_id, "run_name": name, "folder": str(experiment.folder)}
    summary["selection"] = goal.model_dump(mode="json")
    return "\n".join([*lines, *described]), summary | {"state": state, "after": earlier} | found


def _find_name(experiment: "Experiment") -> str:
    """Return the name that the run has, or will get: the given one, or one with the time of its start."""
    from ray_jobs.run_folder.identity import IDENTITY, load_identity

    if experiment.folder.exists(IDENTITY):
        return load_identity(experiment.folder).name
    return experiment.tracking.run_name or "_".join([*experiment.workload.run_name_parts, "<date>", "<time>"])


def _find_state(experiment: "Experiment") -> str:
    from ray_jobs.run_folder.run_recorder import CONFIG, FINAL

    if experiment.folder.exists(FINAL):
        return "finished"
    return "begun" if experiment.folder.exists(CONFIG) else "new"


def _describe_size_and_data(experiment: "Experiment") -> tuple[list[str], dict[str, Any]]:
    from data_pipelines.prepared.manifest import read_manifest
    from data_pipelines.prepared.prepare import find_stores
    from trainables.workloads import build_pipeline, build_task

    pipeline = build_pipeline(experiment.workload)
    folder = _find_prepared(experiment, pipeline)
    manifest = read_manifest(folder) if folder else None
    data_spec = manifest.data_spec if manifest else pipeline.data_spec()
    task = build_task(experiment.workload, data_spec, experiment.seed)
    parameters, macs = count_parameters_and_macs(task, pipeline)
    state_words, state_bytes = _describe_state(experiment, task)
    num_rows, origin = _count_rows(pipeline, manifest)
    training = experiment.training
    steps = num_rows and num_rows // training.batch_size * training.passes_per_epoch
    prepared = str(folder) if manifest else None
    lines = [
        f"parameters:       {parameters:,}",
        f"MACs per sample:  {macs:,} (convolutions, linear layers, attention products)",
        f"training state:   {state_words}",
        f"steps per epoch:  {steps or 'unknown'} ({origin})",
        f"data:             {pipeline.source}; {'' if manifest else 'to be '}prepared in {folder or '(unknown)'}",
    ]
    places = find_stores(pipeline, folder) if folder else []
    if places:
        words = f"chosen from those in {', '.join(map(str, places))}, which other settings share"
        lines.append(f"rows:             {'' if manifest else 'to be '}{words}")
    if manifest:
        lines.append(f"rows in memory:   {_describe_memory(experiment, manifest)}")
    values = (parameters, macs, state_bytes, num_rows, steps, pipeline.source, prepared)
    return lines, dict(zip(KNOWN_WITH_DATA, values, strict=True))


def _describe_memory(experiment: "Experiment", manifest: "Manifest") -> str:
    """Say what the training split takes: resident, and streamed as two windows divided among the workers."""
    num_bytes, shards = manifest.decoded_bytes["train"], manifest.splits["train"]
    workers, window = max(experiment.scaling.num_workers, 1), experiment.training.shuffle_window
    streamed = 2 * num_bytes * min(window / len(shards), 1) / workers
    whole, part = (f"{count / 2**20:,.1f} MiB" for count in (num_bytes, streamed))
    return f"{whole} for each machine when resident, about {part} for each worker when streamed"


def _find_prepared(experiment: "Experiment", pipeline: "DataPipeline") -> "Folder | None":
    from ray_jobs.runs.planning import prepared_folder

    try:
        return prepared_folder(experiment, pipeline)
    except ValueError:  # the settings name no data yet, which `train` refuses and `show` shows
        return None


def _count_rows(pipeline: "DataPipeline", manifest: "Manifest | None") -> tuple[int | None, str]:
    """Return the number of training rows, and how that is known."""
    if manifest:
        return manifest.num_samples("train"), "from the prepared data"
    try:
        return pipeline.num_raw_rows()["train"], "from the raw data"
    except ValueError as error:
        nominal = pipeline.nominal_rows().get("train")
        return (nominal, "of the whole published set") if nominal else (None, str(error))


def _describe_state(experiment: "Experiment", task: "Task") -> tuple[str, dict[str, Any]]:
    """Say what a worker holds of each parameter, a copy (ddp) or a part (fsdp); as words, and in bytes by kind."""
    from trainables.engine.step.state_bytes import count_state_bytes

    num_workers = max(experiment.scaling.num_workers, 1)
    counts = {"ddp": 1, "fsdp": num_workers} if num_workers > 1 else {"ddp": 1}
    found = {way: count_state_bytes(task.module, experiment.training, parts) for way, parts in counts.items()}
    totals = [f"{sum(held.values()) / 2**20:,.1f} MiB with {way}" for way, held in found.items()]
    kinds = ", ".join(name for name, held in found["ddp"].items() if held)
    return f"for each worker {' or '.join(totals)}: {kinds}; activations come on top", found


def count_parameters_and_macs(task: "Task", pipeline: "DataPipeline") -> tuple[int, int]:
    """Count trainable and frozen parameters, and multiply-accumulates of one sample's forward pass."""
    from trainables.metrics.macs import count_macs

    module, inputs = task.module.eval(), task.example_inputs()
    macs = _count_macs_of_loss(task, pipeline) if inputs is None else count_macs(module, *inputs)
    return sum(parameter.numel() for parameter in module.parameters()), macs


def _count_macs_of_loss(task: "Task", pipeline: "DataPipeline") -> int:
    """Count those of the loss of one row, for a task that gives no example of its inputs."""
    from data_pipelines.contract.row_draws import numpy_draws, torch_draws
    from trainables.metrics.macs import count_macs_inside

    row = pipeline.decode(pipeline.make_fake_rows(1, seed=0)).slice(0, 1)
    batch = pipeline.collate_train(row, numpy_draws(1, seed=0))
    return count_macs_inside(task.module, lambda module: task.loss(module, batch, draws=torch_draws(1, seed=0)))
