"""The `export` verb: a trained model in a form that needs no training code."""

from pathlib import Path
from typing import Any

from ray_jobs.commands.evaluate import find_best
from ray_jobs.runs.model_references import locate_model
from ray_jobs.settings.experiment import Experiment
from trainables.engine.files.checkpoints import refuse_other_architecture
from trainables.engine.loop.saved_model_evaluation import load_saved
from trainables.workloads import build_task


def export(experiment: Experiment, checkpoint: str | None, out: str | None, form: str) -> dict[str, Any]:
    """Export the best model of the experiment's run, or the model version `checkpoint`, to the new folder `out`.

    Returns the model, the folder and what the workload tells. Raises ValueError when the model or the folder cannot
    be used.
    """
    if out is None:
        raise ValueError("export needs --out FOLDER, a new folder for the files")
    target = Path(out).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"--out {target} is not an empty folder; give a new one")
    source = locate_model(checkpoint, experiment.storage.path) if checkpoint else find_best(experiment)
    if not source.exists("metadata.json"):
        raise ValueError(f"{source} is no model version; give a folder such as <run>/models/step_N")
    saved = load_saved(source)
    task = build_task(experiment.workload, source.read_json("metadata.json")["facts"], experiment.seed)
    task.load_state_dict(saved["task"])
    refuse_other_architecture(task.module.state_dict(), saved["weights"], str(source))
    task.module.load_state_dict(saved["weights"])
    return {"model": str(source), "folder": str(target), **task.export(target, form)}
