"""The `repeat` verb: one experiment with several seeds, and the mean and standard deviation of what they reach."""

import argparse
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

SUMMARY = "train with several seeds; mean and standard deviation"
DESCRIPTION = """Train an experiment with each of several seeds, as a run of its own each.

Gives mean and standard deviation of the best models' results. Finished runs are not trained again."""
EXAMPLE = "quintet repeat demo/pruning --seeds 0,1,2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_experiment(parser)
    parser.add_argument("--seeds", metavar="N,N,...", type=read_seeds, required=True, help="the seeds")
    parser.add_argument("--new", action="store_true", help="set earlier runs of these settings aside")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train with every seed, and print the spread of the results."""
    from ray_jobs.result_tables import explain_mark
    from ray_jobs.terminal import show

    experiment = load_to_train(options)
    spreads, summary = repeat(experiment, options.seeds, lambda one: train_one(one, is_new=options.new))
    workload = experiment.workload
    show(tabulate_spreads(spreads, workload), *explain_mark(workload, spreads))
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


def repeat(
    experiment: "Experiment", seeds: Sequence[int], train: "Callable[[Experiment], Result]"
) -> tuple[dict[str, Spread], dict[str, Any]]:
    """Train each seed as a run of its own, `<run id>-seed<N>`, one after the other; finished ones are not repeated.

    Args:
        experiment: Its run id begins the names of the runs.
        seeds: Different ones.
        train: Trains one experiment.

    Returns:
        The spread of the best models' metrics, and the same as plain data.
    """
    found: dict[str, Mapping[str, float]] = {}
    for seed in seeds:
        name = f"{experiment.run_id}-seed{seed}"
        final = train(experiment.override({"seed": seed, "tracking.run_name": name})).final
        found[name] = final["best_metrics"] or final["metrics"]
    spreads = summarise(list(found.values()))
    plain = {name: {"mean": s.mean, "deviation": s.deviation, "count": s.count} for name, s in spreads.items()}
    return spreads, {"runs": list(found), "metrics": plain}


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
    from ray_jobs.result_tables import BASELINE, MARK, order_results

    goal = workload.selection_metric.metric
    names = order_results(list(spreads), workload) or sorted(spreads)
    rows = []
    for name in names:
        spread, baseline = spreads[name], spreads.get(BASELINE + name)
        values = [spread.mean, spread.deviation, baseline.mean if baseline else None]
        rows.append([name + (MARK if name == goal else ""), *map(number, values), str(spread.count)])
    strong = [position for position, name in enumerate(names) if name == goal]
    return TextTable(["metric", "mean", "std", "baseline", "seeds"], rows, numeric=range(1, 5), strong=strong)
