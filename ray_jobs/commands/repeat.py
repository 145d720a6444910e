"""The `repeat` verb: one experiment with several seeds or folds, and the spread of what they reach."""

import argparse
import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_experiment
from ray_jobs.commands.train import load_to_train, train_one
from ray_jobs.text_table import TextTable

if TYPE_CHECKING:
    from ray_jobs.runs.training import Result
    from ray_jobs.settings.experiment import Experiment
    from trainables.contract.workload_config import WorkloadConfig

SUMMARY = "train with several seeds or folds; mean and standard deviation"
DESCRIPTION = """Train an experiment with each of several seeds or folds, or both, as a run of its own each.

Gives mean and standard deviation of the best models' results; of folds also the scores over all subjects, each
tested by the model that never saw it. Finished runs are neither trained nor evaluated again."""
EXAMPLE = "quintet repeat demo/pruning --seeds 0,1,2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--seeds", metavar="N,N,...", type=read_seeds, help="the seeds")
    parser.add_argument(
        "--folds",
        metavar="N",
        help="number of folds of a cross-validation, or what is left out once each, such as `database`",
    )
    parser.add_argument("--new", action="store_true", help="set earlier runs of these settings aside")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train with every seed and fold, and print the spread of the results, and the scores over all folds."""
    from ray_jobs.result_tables import explain_mark, tabulate_results
    from ray_jobs.terminal import show

    if options.seeds is None and options.folds is None:
        raise ValueError("repeat needs --seeds N,N,... or --folds N, or both")
    experiment = load_to_train(options)
    workload = experiment.workload
    variants = find_variants(workload, options.seeds, options.folds)
    spreads, summary = repeat(experiment, variants, lambda one: train_one(one, is_new=options.new))
    show(tabulate_spreads(spreads, workload), *explain_mark(workload, spreads))
    if options.folds is not None:
        joint = cross_validate(experiment, variants)
        show(tabulate_results(joint["metrics"], workload, title="all folds"), f"folder: {joint['folder']}")
        summary["out_of_fold"] = joint
    return summary


@dataclass(frozen=True)
class Spread:
    """Mean and deviation of one metric over the seeds that have it."""

    mean: float
    deviation: float
    """Of the sample, with n - 1; 0 for one seed."""
    count: int


def read_seeds(words: str) -> list[int]:
    """Return the seeds in words such as `0,1,2`. Raises ArgumentTypeError for none, and for equal ones."""
    seeds = [int(word) for word in words.split(",") if word.strip().isdigit()]
    if len(set(seeds)) < len(words.split(",")):
        raise argparse.ArgumentTypeError(f"{words!r}: give different seeds, for example --seeds 0,1,2")
    return seeds


def find_variants(
    workload: "WorkloadConfig", seeds: Sequence[int] | None, folds: str | None
) -> dict[str, dict[str, Any]]:
    """Return the changes of settings of each run, by the end of its name, such as `seed1` or `fold1of5-seed1`.

    Raises ValueError for folds that the workload does not have.
    """
    by_seed: dict[str, dict[str, Any]] = {f"seed{seed}": {"seed": seed} for seed in seeds or ()}
    if folds is None:
        return by_seed
    by_fold = workload.folds(folds)
    if not by_seed:
        return {name: dict(changes) for name, changes in by_fold.items()}
    return {
        f"{fold}-{seed}": {**changes, **change} for seed, change in by_seed.items() for fold, changes in by_fold.items()
    }


def repeat(
    experiment: "Experiment", variants: Mapping[str, Mapping[str, Any]], train: "Callable[[Experiment], Result]"
) -> tuple[dict[str, Spread], dict[str, Any]]:
    """Train each variant as a run of its own, `<run id>-<variant>`, one after the other; finished ones stand.

    `variants` are changes of settings by variant, and the experiment's run id begins the names of the runs.

    Returns:
        The spread of the best models' metrics, and the same as plain data.
    """
    found: dict[str, Mapping[str, float]] = {}
    for variant in variants:
        one = _change(experiment, variant, variants[variant])
        final = train(one).final
        found[one.run_id] = final["best_metrics"] or final["metrics"]
    spreads = summarise(list(found.values()))
    plain = {name: {"mean": s.mean, "deviation": s.deviation, "count": s.count} for name, s in spreads.items()}
    return spreads, {"runs": list(found), "metrics": plain}


def _change(experiment: "Experiment", variant: str, changes: Mapping[str, Any]) -> "Experiment":
    return experiment.override({**changes, "tracking.run_name": f"{experiment.run_id}-{variant}"})


def cross_validate(experiment: "Experiment", variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Evaluate the best model of each fold, and score all subjects together, each by the model that never saw it.

    What was evaluated before, with the same settings and data, is not evaluated again.

    Of several seeds, each has scores of its own, and the means are returned. The joined tables, scores and pictures
    lie in `repeats/<run id>` below the storage path.

    Returns:
        The folder, and the metrics.
    """
    from data_pipelines.storage.folder import Folder
    from ray_jobs.commands.evaluate import evaluate
    from ray_jobs.runs.model_references import REPEATED, REPEATS
    from trainables.contract.prediction import write_csv
    from trainables.engine.files.panel_files import save_panels
    from trainables.run_paths import PREDICTIONS
    from trainables.workloads import score_jointly

    rows: dict[str, list[dict[str, Any]]] = {}
    for variant, changes in variants.items():
        found = evaluate(_change(experiment, variant, changes), None, {}, reuses=True)
        fold, _, seed = variant.partition("-")
        rows.setdefault(seed, []).extend({"fold": fold, **row} for row in read_rows(found["predictions"]))
    folder = Folder(experiment.storage.path) / f"{REPEATS}/{experiment.run_id}"
    scores = []
    for seed, table in rows.items():
        part = folder / seed if seed else folder
        part.write(PREDICTIONS, write_csv(table))
        result = score_jointly(experiment.workload, table)
        if result is not None:
            save_panels(part, result.panels, step=0, epoch=0)
            scores.append(dict(result.metrics))
    means = {name: spread.mean for name, spread in summarise(scores).items()}
    folder.write_json(REPEATED, {"variants": list(variants), "metrics": means})
    return {"folder": str(folder), "metrics": means}


def read_rows(table: str | None) -> list[dict[str, Any]]:
    """Return the rows of `predictions.csv`, whose values are text; none where an evaluation gives no table."""
    if table is None:
        return []
    from data_pipelines.storage.folder import Folder

    folder, _, name = table.rpartition("/")
    return list(csv.DictReader(io.StringIO(Folder(folder).read(name).decode())))


def summarise(results: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Return the spread of every metric that any result has, by name."""
    spreads = {}
    for name in sorted({name for metrics in results for name in metrics}):
        values = [metrics[name] for metrics in results if name in metrics]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        spreads[name] = Spread(statistics.fmean(values), deviation, len(values))
    return spreads


def tabulate_spreads(spreads: Mapping[str, Spread], workload: "WorkloadConfig") -> TextTable:
    """Return a table of the results' means and deviations; of all that was measured when nothing was evaluated."""
    from ray_jobs.report.format_numbers import number
    from ray_jobs.result_tables import BASELINE, MARK, order_results, without_ends

    goal = workload.selection_metric.metric
    names = without_ends(order_results(list(spreads), workload)) or sorted(spreads)
    rows = []
    for name in names:
        spread, baseline = spreads[name], spreads.get(BASELINE + name)
        values = [spread.mean, spread.deviation, baseline.mean if baseline else None]
        rows.append([name + (MARK if name == goal else ""), *map(number, values), str(spread.count)])
    strong = [position for position, name in enumerate(names) if name == goal]
    return TextTable(["metric", "mean", "std", "baseline", "runs"], rows, numeric=range(1, 5), strong=strong)
