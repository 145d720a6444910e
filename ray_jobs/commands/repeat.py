"""The `repeat` verb: one experiment with several seeds, and the mean and standard deviation of what they reach."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_jobs.runs.training import Result
from ray_jobs.settings.experiment import Experiment


@dataclass(frozen=True)
class Spread:
    """Of one metric over the seeds that have it."""

    mean: float
    deviation: float
    """Of the sample, with n - 1; 0 for one seed."""
    count: int


def read_seeds(words: str | None) -> list[int]:
    """What `--seeds` gives. Raises ValueError for none, and for equal ones."""
    if not words:
        raise ValueError("repeat needs --seeds, for example --seeds 0,1,2")
    seeds = [int(word) for word in words.split(",") if word.strip().isdigit()]
    if len(set(seeds)) < len(words.split(",")):
        raise ValueError(f"--seeds {words}: give different seeds, for example --seeds 0,1,2")
    return seeds


def repeat(
    experiment: Experiment, seeds: Sequence[int], train: Callable[[Experiment], Result]
) -> tuple[dict[str, Spread], dict[str, Any]]:
    """Train each seed as a run of its own, `<run id>-seed<N>`, one after the other; finished ones are not repeated.

    Gives the spread of the best models' metrics, and the same as plain data.
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
    """The spread of every metric that any result has, by name."""
    spreads = {}
    for name in sorted({name for metrics in results for name in metrics}):
        values = [metrics[name] for metrics in results if name in metrics]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        spreads[name] = Spread(statistics.fmean(values), deviation, len(values))
    return spreads


def format_spreads(spreads: Mapping[str, Spread]) -> str:
    """One line for each metric."""
    width = max((len(name) for name in spreads), default=0)
    return "\n".join(
        f"  {name:<{width}}  {spread.mean:>10.4g} +- {spread.deviation:<10.4g} ({spread.count} seeds)"
        for name, spread in spreads.items()
    )
