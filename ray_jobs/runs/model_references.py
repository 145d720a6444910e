"""References to models: a path, the name of a run, or an artifact `wandb:team/project/name:alias`.

They are told apart by their form alone: a name has no folder in it.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipelines.contract.config import expand_home, input_paths, is_run_name
from data_pipelines.contract.did_you_mean import suggest
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import IDENTITY, load_identity
from ray_jobs.settings.builtin_experiments import is_experiment
from trainables.run_paths import MODELS, named_model

if TYPE_CHECKING:
    from trainables.contract.predictor import SavedModel

_log = logging.getLogger(__name__)
RUNS = "runs"
SEARCHES = "searches"
TRIALS = "trials.jsonl"
"""In a search: its trials."""
REPEATS = "repeats"
"""Folder below the storage path: a folder for each cross-validation."""
REPEATED = "metrics.json"
"""In the folder of a cross-validation: its scores."""
DOWNLOADS = "downloads"
SCHEME = "wandb:"


def open_reference(reference: str, storage: str | None) -> "SavedModel":
    """Return the model of a reference, as for `locate_model`, without its weights; by default in the default storage.

    Raises ValueError when there is no such model; an experiment is told from one.
    """
    from ray_jobs.settings.experiment import Storage
    from trainables.inference.model_files import open_model

    try:
        return open_model(locate_model(reference, storage or Storage().path))
    except ValueError as error:
        if not is_experiment(reference):
            raise
        raise ValueError(
            f"{reference} is an experiment, and a model is needed here: write the name or the folder of its run, which "
            f"`quintet show {reference}` prints"
        ) from error


def locate_model(reference: str, storage: str) -> Folder:
    """Return the folder of a model or checkpoint. A run's name or folder means its best model, `NAME:latest` its last.

    Raises ValueError naming what was searched for, and where.
    """
    if reference.startswith(SCHEME):
        return Folder(str(download(reference, storage)))
    if is_run_name(reference):
        model = _model_of_run(reference, storage)
        if model is None:
            raise ValueError(no_such_run(reference, storage))
        return model
    path = Folder(reference)
    if not path.exists():
        raise ValueError(f"{reference} does not exist; give a folder that does, or the name of a run alone")
    return best_model(path) if path.exists(f"{MODELS}/aliases.json") else path


def _model_of_run(reference: str, storage: str) -> Folder | None:
    """Return the model that `NAME` or `NAME:alias` means; None when there is no such run."""
    name, _, alias = reference.partition(":")
    run = find_run(storage, name)
    return None if run is None else best_model(run, alias or "best")


def no_such_run(reference: str, storage: str) -> str:
    """Return the words for a run's name that no run has."""
    known = [identity_name(folder) or Path(folder.path).name for folder in list_runs(storage)]
    nothing = "there are no runs there; name one elsewhere by its folder"
    nearest = suggest(reference.partition(":")[0], known) if known else nothing
    advice = f"; for what has that name here write ./{reference}" if Path(reference).exists() else ""
    return f"{reference!r} has the form of a run's name, and no run in {storage}/{RUNS} is called so; {nearest}{advice}"


def best_model(run: Folder, alias: str = "best") -> Folder:
    """Return the model version of a run that an alias names; without a best one, the latest. Raises ValueError."""
    if alias not in ("best", "latest"):
        raise ValueError(f"{alias!r} names no model of {run}; best and latest do")
    model = named_model(run, alias)
    if model is None:
        raise ValueError(f"{run} holds no model yet")
    return model


def list_runs(storage: str) -> list[Folder]:
    """Return the runs that a storage path holds."""
    runs = Folder(storage) / RUNS
    return [runs / name for name in runs.names() if runs.exists(f"{name}/{IDENTITY}")]


def find_run(storage: str, name: str) -> Folder | None:
    """Find a run by the name of its folder, or by its own. Raises ValueError when several have that name."""
    found = [run for run in list_runs(storage) if name in (Path(run.path).name, identity_name(run))]
    if len(found) > 1:
        raise ValueError(f"{len(found)} runs are called {name!r}: {', '.join(map(str, found))}; give one's folder")
    return found[0] if found else None


def identity_name(run: Folder) -> str | None:
    """Return a run's name for people; None, with a warning, where its record is damaged: other runs are whole."""
    try:
        return load_identity(run).name
    except (ValueError, OSError) as error:
        _log.warning("%s; until then the run is known by the name of its folder alone", error)
        return None


def download(reference: str, storage: str) -> Path:
    """Download an artifact; returns its local folder."""
    from ray_jobs.tracking.wandb_objects import download_artifact

    folder = Folder(storage)
    root = Path(folder.path) if folder.is_local else expand_home("~/quintet", "give storage.path a folder of your own")
    return download_artifact(reference, root / DOWNLOADS)


def download_references(settings: Any, storage: str) -> Any:
    """Replace every `wandb:` reference in settings by the artifact's local folder, which is downloaded."""
    if isinstance(settings, dict):
        return {name: download_references(value, storage) for name, value in settings.items()}
    if isinstance(settings, str) and settings.startswith(SCHEME):
        return str(download(settings, storage))
    return settings


def named_runs(settings: Any, storage: str) -> dict[str, str]:
    """Find the models of inputs that name a run and not a path, by dotted key.

    `NAME` is the run's best model, `NAME:latest` its last. A run that is not there may still come, and is left out;
    ValueError when a file has its name, as that could be meant.
    """
    found: dict[str, str] = {}
    for key, path in input_paths(settings):
        if not is_run_name(path):
            continue
        model = _model_of_run(path.name, storage)
        if model is not None:
            found[key] = str(model)
        elif path.exists():
            raise ValueError(f"{key}: {no_such_run(path.name, storage)}")
    return found
