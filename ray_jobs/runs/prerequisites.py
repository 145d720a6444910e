"""Prerequisites of an experiment: the files that its `after` names, trained first on its workers, in its storage."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.planning import refuse_missing_inputs
from ray_jobs.settings.experiment import Experiment


def train_earlier(experiment: Experiment, train: Callable[[Experiment], object]) -> None:
    """Train all prerequisites of an experiment. Raises ValueError at once for an input that none of them makes."""
    runs = [earlier.run_id for earlier in earlier_experiments(experiment)]
    refuse_missing_inputs(experiment, runs)
    for earlier in earlier_experiments(experiment):
        train(earlier)


def earlier_experiments(experiment: Experiment, waiting: tuple[Path, ...] = ()) -> Iterator[Experiment]:
    """Yield the prerequisites in the order of training.

    Each is loaded only when it is reached, as its settings may name the runs before it. Raises ValueError for a file
    that cannot be used, and when files wait for each other.
    """
    for file in experiment.after:
        file = file.resolve()
        if file in waiting:
            names = " -> ".join(path.name for path in (*waiting, file))
            raise ValueError(f"after: these experiments wait for each other: {names}")
        yield from earlier_experiments(_load_earlier(file, experiment), (*waiting, file))
        yield _load_earlier(file, experiment)


def _load_earlier(file: Path, later: Experiment) -> Experiment:
    try:
        return load_experiment(file, place_of=later)
    except ValueError as error:
        raise ValueError(f"after: {error}") from error
