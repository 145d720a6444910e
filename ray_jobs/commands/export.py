"""The `export` verb: a trained model in a form that needs no training code."""

import argparse
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_checkpoint, add_experiment, load_target
from ray_jobs.commands.evaluate import find_best
from ray_jobs.terminal import print_text

if TYPE_CHECKING:
    from ray_jobs.settings.experiment import Experiment

SUMMARY = "write a trained model in a form that needs no training code"
DESCRIPTION = "Write the best model of an experiment's run, or another one, in a form that needs no training code."
EXAMPLE = "quintet export demo/pruning --out pruned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_experiment(parser)
    add_checkpoint(parser, "a model version, by path, run or artifact; by default the best model of the run")
    parser.add_argument("--out", metavar="FOLDER", help="a new folder for the files")
    parser.add_argument("--format", metavar="FORMAT", default="safetensors", help="by default safetensors")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Export one model, and print what was written."""
    from ray_jobs.console import format_value

    checkpoint = options.checkpoint[-1] if options.checkpoint else None
    summary = export(load_target(options), checkpoint, options.out, options.format)
    print_text("\n".join(f"{name}: {format_value(value)}" for name, value in summary.items()))
    return summary


def export(experiment: "Experiment", checkpoint: str | None, out: str | None, form: str) -> dict[str, Any]:
    """Export a model to a new folder.

    Args:
        experiment: Its run holds the model.
        checkpoint: A model version; None for the best model of the run.
        out: The folder.
        form: A format of the workload.

    Returns:
        The model, the folder and what the workload tells.

    Raises:
        ValueError: The model or the folder cannot be used.
    """
    from data_pipelines.contract.config import expand_home
    from ray_jobs.runs.model_references import locate_model
    from trainables.engine.files.checkpoints import refuse_other_architecture
    from trainables.engine.loop.saved_model_evaluation import load_saved
    from trainables.run_paths import METADATA, model_data_spec
    from trainables.workloads import build_task

    if out is None:
        raise ValueError("export needs --out FOLDER, a new folder for the files")
    target = expand_home(out, "give --out in full").absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"--out {target} is not an empty folder; give a new one")
    source = locate_model(checkpoint, experiment.storage.path) if checkpoint else find_best(experiment)
    if not source.exists(METADATA):
        raise ValueError(f"{source} is no model version; give a folder such as <run>/models/step_N")
    saved = load_saved(source)
    task = build_task(experiment.workload, model_data_spec(source.read_json(METADATA)), experiment.seed)
    task.load_state_dict(saved["task"])
    refuse_other_architecture(task.module.state_dict(), saved["weights"], str(source))
    task.module.load_state_dict(saved["weights"])
    return {"model": str(source), "folder": str(target), **task.export(target, form)}
