"""The `train` verb: an experiment is trained, after what it builds on."""

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_experiment, load_target
from ray_jobs.text_table import TextTable

if TYPE_CHECKING:
    from ray_jobs.runs.training import Result
    from ray_jobs.settings.experiment import Experiment

SUMMARY = "train, or resume an interrupted training"
DESCRIPTION = """Train an experiment, first what its `after` names.

The same command resumes an interrupted training from its last checkpoint. A finished run is not trained again, unless
--new sets it aside."""
EXAMPLE = "quintet train demo/flow_matching --set training.epochs=5 --set storage.path=out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--new", action="store_true", help="set an earlier run of these settings aside")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train to the end, print the results of the best model, and write the run's report."""
    from ray_jobs.report.report import write_report
    from ray_jobs.terminal import show

    experiment = load_to_train(options)
    result = train_one(experiment, is_new=options.new)
    changes = [word for change in options.set for word in ("--set", change)]
    evaluate = shlex.join(["quintet", "evaluate", options.experiment, *changes])
    show(*describe_results(experiment, result), f"folder: {result.folder}")
    show(
        f"report: {write_report(str(result.folder), None, experiment.storage.path)}",
        f"next:   {evaluate} (its options: quintet evaluate {shlex.quote(options.experiment)} --help)",
    )
    final = result.final
    return {
        "run_id": result.run_id,
        "folder": str(result.folder),
        "metrics": final["metrics"],
        "best_model": final["best_model"],
        "best_metrics": final["best_metrics"],
    }


def load_to_train(options: argparse.Namespace) -> "Experiment":
    """Load the experiment, once all that it comes after is trained; `--new` does not repeat a finished one of these."""
    experiment = load_target(options)
    if not experiment.after:
        return experiment
    from ray_jobs.runs.prerequisites import train_earlier

    train_earlier(experiment, train_one)
    return load_target(options)


def train_one(experiment: "Experiment", *, is_new: bool = False) -> "Result":
    """Train one experiment, with a progress bar."""
    from ray_jobs.progress_bar import progress_bar
    from ray_jobs.runs.training import train

    with progress_bar() as bar:
        return train(experiment, on_progress=bar.show_rows, on_report=bar.show_steps, is_new=is_new)


def describe_results(experiment: "Experiment", result: "Result") -> list[str | TextTable]:
    """Return the best model's results, then those of the last model if that is another one."""
    from ray_jobs.result_tables import explain_mark, tabulate_results, tabulate_training
    from trainables.run_paths import load_aliases

    workload, final, folder = experiment.workload, result.final, result.folder
    latest = load_aliases(folder)["latest"]
    last = f"models/{latest}" if latest else None
    title = _title("last", result, last)
    if final["best_model"] is None:
        if experiment.training.evaluate_every is None:
            title = "this run has no evaluation (training.evaluate_every is null); what the training measured last:"
            return [tabulate_training(final["metrics"], title=title)]
        cause = f"no best model: {workload.selection_metric.metric} was never a finite number"
        return [cause, tabulate_results(final["metrics"], workload, title=title)]
    best = final["best_model"]
    parts: list[str | TextTable] = [
        tabulate_results(final["best_metrics"], workload, title=_title("best", result, best)),
        *explain_mark(workload, final["best_metrics"]),
    ]
    if last != best:
        parts += ["", tabulate_results(final["metrics"], workload, title=title)]
    return [*parts, ""]


def _title(alias: str, result: "Result", model: str | None) -> str:
    """Return for example `best model (epoch 3): models/step_000000120`."""
    from trainables.run_paths import METADATA

    metadata = f"{model}/{METADATA}"
    if model is None or not result.folder.exists(metadata):
        return f"{alias} model:"
    return f"{alias} model (epoch {result.folder.read_json(metadata)['epoch']}): {model}"
