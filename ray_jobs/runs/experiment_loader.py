"""Experiments loaded from files, with the models that they name by run or by artifact replaced by paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_jobs.runs.model_references import download_references, named_runs
from ray_jobs.settings.experiment import Experiment, Storage, check_settings
from ray_jobs.settings.experiment_file import read_settings


def load_experiment(file: Path, overrides: Sequence[str] = (), *, place_of: Experiment | None = None) -> Experiment:
    """Read and check an experiment file with `section.field=value` overrides; imports neither torch nor ray.

    A file that `extends` another holds only what differs from it. Scaling, storage and tracking are taken from
    `place_of`, except the run's name.

    Returns:
        The experiment, with paths for models that are named by run or artifact.

    Raises:
        ValueError: Settings are wrong, with a line for each: its dotted key, what is allowed, the nearest valid key.
    """
    settings = read_settings(file, overrides, Experiment)
    if place_of is not None:
        run_name = check_settings(settings, origin=str(file)).tracking.run_name
        settings |= place_of.model_dump(mode="json", include={"scaling", "storage", "tracking"})
        settings["tracking"]["run_name"] = run_name
    return _locate_models(settings, origin=str(file))


def _locate_models(settings: dict[str, Any], origin: str) -> Experiment:
    """Build the experiment, with inputs that name an artifact or a run replaced by the model's path as of now."""
    if "wandb:" in repr(settings):
        storage = settings.get("storage")
        path = storage.get("path", Storage().path) if isinstance(storage, dict) else Storage().path
        settings = download_references(settings, str(path))
    experiment = check_settings(settings, origin)
    found = named_runs(experiment, experiment.storage.path)
    return experiment.override(found) if found else experiment
