"""The `evaluate` verb: score a trained model with the settings given now, and keep the result in the run's folder."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.model_references import best_model, locate_model
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment, check_settings
from trainables.engine.loop.saved_model_evaluation import evaluate_saved_model
from trainables.plan import Plan
from trainables.ray_train.worker_main import run_locally
from trainables.run import set_dotted
from trainables.run_paths import EVALUATIONS, load_aliases


def evaluate(experiment: Experiment, checkpoint: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate the best model of the experiment's run, or the given one, with `changes` to its settings.

    Returns run id, folder, checkpoint, metrics and pictures. Raises ValueError when there is no such model.
    """
    run_folder = experiment.folder
    source = locate_model(checkpoint, experiment.storage.path) if checkpoint else find_best(experiment)
    plan = build_plan(_change(experiment, changes))
    number = max((int(name) for name in run_folder.names(EVALUATIONS) if name.isdigit()), default=0) + 1
    target = run_folder / f"{EVALUATIONS}/{number:03d}"
    action = partial(evaluate_saved_model, source=source, target=target)
    result = _work(replace(plan, folder=target), action)  # apart from a training that may be running
    summary = {
        "run_id": experiment.run_id,
        "folder": str(run_folder),
        "checkpoint": str(source),
        "settings": dict(changes),
        **result,
        "pictures": [f"{target}/{name}" for name in result["pictures"]],
    }
    target.write_json("metrics.json", summary)
    return summary


def find_best(experiment: Experiment) -> Folder:
    """The model that the alias `best` names, else `latest`. Raises ValueError when the run has none."""
    folder = experiment.folder
    if load_aliases(folder)["latest"] is None:
        options = ", ".join(f"--{name}" for name in experiment.workload.evaluation_options)
        hint = f"; evaluation has options of its own: {options}" if options else ""
        raise ValueError(f"{folder} holds no model yet; train first with the same --set, or give --checkpoint{hint}")
    return best_model(folder)


def _change(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    settings = experiment.model_dump(mode="json")
    for dotted, value in changes.items():
        set_dotted(settings, dotted, value)
    settings["tracking"]["run_name"] = experiment.run_id  # other settings, yet the same run
    return check_settings(settings, origin="evaluation options")


def _work(plan: Plan, action: partial) -> dict[str, Any]:
    if plan.scaling.num_workers == 0:
        return run_locally(plan, action)
    import ray.train

    from trainables.ray_train.run_trainable import as_run_error, build_trainer, decode_in_background

    try:
        return build_trainer(plan, decode_in_background(plan), action=action).fit().return_value  # pyright: ignore
    except ray.train.TrainingFailedError as error:
        raise as_run_error(error) from error
    finally:
        plan.folder.delete("ray")
