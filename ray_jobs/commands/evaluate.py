"""The `evaluate` verb: score a trained model with the settings given now, and keep the result in the run's folder."""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import VerbParser, add_checkpoint, add_experiment, add_set, load_target
from ray_jobs.settings.builtin_experiments import is_experiment

if TYPE_CHECKING:
    from data_pipelines.storage.folder import Folder
    from ray_jobs.settings.experiment import Experiment
    from trainables.plan import Plan

logger = logging.getLogger(__name__)
SUMMARY = "evaluate a trained model"
DESCRIPTION = """Score the best model of an experiment's run, or others, and keep the result in the run's folder.

A workload's evaluation has options of its own. They appear here when an experiment is given:
  quintet evaluate EXPERIMENT --help"""
EXAMPLE = "quintet evaluate demo/flow_matching --num-samples 500"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    add_checkpoint(
        parser,
        "a path, a run, or wandb:team/project/name:alias; by default the run's best model. Several "
        "are compared in a table",
    )


def add_workload_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options of the experiment's workload, if there is an experiment among the words.

    Raises ValueError for an experiment that is not there, and for wrong settings.
    """
    from ray_jobs.settings.experiment import Experiment, check_experiment
    from ray_jobs.settings.setting_kinds import takes_texts

    found = _find_experiment_among(words)
    if found is None:
        return
    experiment = load_target(found, check_experiment)
    group = parser.add_argument_group(
        f"options of the workload {experiment.workload.name}", "each stands for a setting, for this evaluation alone"
    )
    settings = experiment.model_dump(mode="json")
    for name, dotted in experiment.workload.evaluation_options.items():
        value: Any = settings
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        words_now = f"{dotted}, now {json.dumps(value)}".replace("%", "%%")
        action = "store"
        if takes_texts(Experiment, dotted, settings):
            action, words_now = "append", f"{words_now}; can be given several times"
        group.add_argument(
            f"--{name}", metavar="VALUE", dest=dotted, action=action, default=argparse.SUPPRESS, help=words_now
        )


def _find_experiment_among(words: Sequence[str]) -> argparse.Namespace | None:
    """Return the options that lead to an experiment: it, and --set.

    While the workload is not known, the values of its options look like experiments; a YAML file or a built-in name
    is preferred.
    """
    parser = VerbParser(prog="quintet evaluate", add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", "--json", action="store_true")
    add_checkpoint(parser, "")
    add_set(parser, "")
    options, rest = parser.parse_known_args(words)
    loose = [word for word in rest if not word.startswith("-")]
    options.experiment = next(filter(is_experiment, loose), loose[0] if loose else None)
    return options if loose else None


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate each model, and print its results beside the baselines."""
    from ray_jobs.result_tables import compare_results, explain_mark, tabulate_results
    from ray_jobs.terminal import show

    experiment = load_target(options)
    workload, given = experiment.workload, vars(options)
    settings = experiment.model_dump(mode="json")
    changes = {
        dotted: _read_option(dotted, given[dotted], settings)
        for dotted in workload.evaluation_options.values()
        if dotted in given
    }
    summaries = []
    for checkpoint in options.checkpoint or [None]:
        summary = evaluate(experiment, checkpoint, changes)
        summaries.append(summary)
        show(
            *summary["messages"],
            tabulate_results(summary["metrics"], workload, title=summary["checkpoint"]),
            *explain_mark(workload, summary["metrics"]),
            f"pictures: {', '.join(summary['pictures']) or 'none'}",
            *([f"what was scored: {summary['predictions']}"] if summary["predictions"] else []),
        )
    if len(summaries) == 1:
        return summaries[0]
    show("", compare_results({summary["checkpoint"]: summary["metrics"] for summary in summaries}, workload))
    return {"evaluations": summaries}


def _read_option(dotted: str, given: str | list[str], settings: dict[str, Any]) -> Any:
    """Read the value of an option, or the values of one that was given several times; each may be a list of its own."""
    from ray_jobs.settings.experiment import Experiment
    from ray_jobs.settings.experiment_file import read_value

    if isinstance(given, str):
        return read_value(dotted, given, settings, Experiment)
    if given == ["null"]:
        return None
    values: list[Any] = []
    for word in given:
        is_list = word.startswith("[") and word.endswith("]")
        values += read_value(dotted, word, settings, Experiment) if is_list else [word]
    return values


def evaluate(
    experiment: "Experiment", checkpoint: str | None, changes: Mapping[str, Any], *, reuses: bool = False
) -> dict[str, Any]:
    """Evaluate a model, and store the result as a folder of the run.

    Args:
        experiment: Where the run lies, and the settings of the evaluation.
        checkpoint: The model; None for the best one of the experiment's run.
        changes: Other values of settings, by dotted key, for this evaluation alone.
        reuses: Whether an evaluation that the run keeps of this model, with these settings and data, is read instead.

    Returns:
        Run id, folder, checkpoint, metrics, pictures.

    Raises:
        ValueError: There is no such model.
    """
    from ray_jobs.progress_bar import progress_bar
    from ray_jobs.runs.kept_evaluations import FOUND, SETTINGS, find_evaluation, next_evaluation
    from ray_jobs.runs.model_references import locate_model
    from ray_jobs.runs.planning import build_plan
    from ray_jobs.terminal import show
    from trainables.engine.loop.saved_model_evaluation import evaluate_saved_model

    run_folder = experiment.folder
    source = locate_model(checkpoint, experiment.storage.path) if checkpoint else find_best(experiment)
    changed = _change(experiment, changes)
    with progress_bar() as bar:
        plan = build_plan(changed, bar.show_rows, trains=False)
    num_learnt = _check_data(source, plan)
    known = {"checkpoint": str(source), "source_hash": plan.manifest.source_hash}
    kept = find_evaluation(run_folder, **known, shaping=changed.shaping) if reuses else None
    if kept is not None:
        show(f"{experiment.run_id} is already evaluated: {kept}")
        return kept.read_json(FOUND)
    target = next_evaluation(run_folder)
    action = partial(evaluate_saved_model, source=source, target=target)
    result = _work(replace(plan, folder=target), action)  # apart from a training that may be running
    summary = {
        "run_id": experiment.run_id,
        "folder": str(run_folder),
        **known,
        "settings": dict(changes),
        "learnt_subjects": num_learnt,
        **result,
        "pictures": [f"{target}/{name}" for name in result["pictures"]],
    }
    target.write_json(FOUND, summary)
    target.write_json(SETTINGS, changed.model_dump(mode="json"))
    return summary


def _check_data(source: "Folder", plan: "Plan") -> int:
    """Count test subjects that the model has learnt. Raises ValueError for data made otherwise than its own."""
    from ray_jobs.runs.setting_differences import refuse_differences
    from trainables.run_paths import METADATA, model_data_spec

    if not source.exists(METADATA):  # a checkpoint, which has none
        return 0
    try:
        metadata = source.read_json(METADATA)
    except ValueError:  # damaged, which loading the model says
        return 0
    there, here = model_data_spec(metadata) or {}, plan.manifest.data_spec
    if there.get("preprocessing") and here.get("preprocessing"):
        words = f"{source} was trained on data made with other settings; give those of the training"
        refuse_differences(words, there["preprocessing"], here["preprocessing"])
    tested = set(here.get("subjects", {}).get("test", ()))
    learnt = tested & set(there.get("subjects", {}).get("train", ()))
    if learnt:
        logger.warning(
            "%d of the %d test subjects, such as %s, are of the training of %s: the scores tell nothing of new ones",
            *(len(learnt), len(tested), min(learnt), source),
        )
    return len(learnt)


def find_best(experiment: "Experiment") -> "Folder":
    """Return the model that the alias `best` names, else `latest`. Raises ValueError when the run has none."""
    from ray_jobs.runs.model_references import best_model
    from trainables.run_paths import load_aliases

    folder = experiment.folder
    if load_aliases(folder)["latest"] is None:
        options = ", ".join(f"--{name}" for name in experiment.workload.evaluation_options)
        hint = f"; evaluation has options of its own: {options}" if options else ""
        raise ValueError(f"{folder} holds no model yet; train first with the same --set, or give --checkpoint{hint}")
    return best_model(folder)


def _change(experiment: "Experiment", changes: Mapping[str, Any]) -> "Experiment":
    from ray_jobs.settings.experiment import check_settings
    from trainables.run import set_dotted

    settings = experiment.model_dump(mode="json")
    for dotted, value in changes.items():
        set_dotted(settings, dotted, value)
    settings["tracking"]["run_name"] = experiment.run_id  # other settings, yet the same run
    return check_settings(settings, origin="evaluation options")


def _work(plan: "Plan", action: partial) -> dict[str, Any]:
    from trainables.ray_train.worker_main import run_locally

    if plan.scaling.num_workers == 0:
        return run_locally(plan, action)
    import ray.train

    from trainables.ray_train.run_datasets import build_datasets
    from trainables.ray_train.run_trainable import as_run_error, build_trainer

    try:
        return build_trainer(plan, build_datasets(plan), action=action).fit().return_value  # pyright: ignore
    except ray.train.TrainingFailedError as error:
        raise as_run_error(error) from error
    finally:
        plan.folder.delete("ray")
