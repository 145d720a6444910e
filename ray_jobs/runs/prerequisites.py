"""Prerequisites of an experiment: the files that its `after` names, trained first on its workers, in its storage."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.planning import refuse_missing_inputs
from ray_jobs.settings.experiment import Experiment

_log = logging.getLogger(__name__)


def train_earlier(experiment: Experiment, train: Callable[[Experiment], object]) -> None:
    """Train all prerequisites of an experiment. Raises ValueError at once for an input that none of them makes."""
    runs = [earlier.run_id for earlier in earlier_experiments(experiment)]
    refuse_missing_inputs(experiment, runs)
    for earlier in earlier_experiments(experiment):
        train(earlier)


def earlier_experiments(experiment: Experiment, waiting: tuple[Path, ...] = ()) -> Iterator[Experiment]:
    """Yield the prerequisites in the order of training, without those whose run no setting names.

    Each is loaded only when it is reached, as its settings may name the runs before it. Raises ValueError for a file
    that cannot be used, and when files wait for each other.
    """
    for file in experiment.after:
        file = file.resolve()
        if file in waiting:
            names = " -> ".join(path.name for path in (*waiting, file))
            raise ValueError(f"after: these experiments wait for each other: {names}")
        earlier = _load_earlier(file, experiment)
        before = earlier_experiments(earlier, (*waiting, file))
        if not _builds_on(experiment, earlier):
            list(before)  # whose faults are told all the same
            words = "after: %s is not needed, as no setting names its run (%s)"
            _log.warning(words, file.name, earlier.run_id)
            continue
        yield from before
        yield _load_earlier(file, experiment)


def _builds_on(later: Experiment, earlier: Experiment) -> bool:
    """Return whether a setting, of a search too, is the earlier run's name or a path in its folder."""
    settings = later.model_dump(mode="json", include={"workload", "training", "search"})
    name, folder = earlier.run_id, str(earlier.folder)
    return any(
        word.partition(":")[0] == name or word == folder or word.startswith(f"{folder}/") for word in _words(settings)
    )


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)
    elif isinstance(value, str):
        yield value


def _load_earlier(file: Path, later: Experiment) -> Experiment:
    try:
        return load_experiment(file, place_of=later)
    except ValueError as error:
        raise ValueError(f"after: {error}") from error
