"""Experiment: a Run, where it runs and where it is kept; read from YAML and the command line, and checked."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator

from data_pipelines.contract.config import Config, FilePath, refuse_credentials
from data_pipelines.contract.did_you_mean import suggest
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder
from ray_jobs.settings.experiment_file import read_settings
from ray_jobs.settings.search import Search
from ray_jobs.settings.setting_kinds import fields_at, kinds_of_section
from ray_jobs.settings.tracking import Tracking
from trainables.run import Run, Scaling, validate_strictly


class Storage(Config):
    """Storage of runs and prepared data."""

    path: str = "~/quintet"
    """Any path or URI that Ray accepts. On a cluster of several machines it must be reachable from all of them.

    Without a home folder a `~` is kept, and refused where the storage is used: another path may be given by then.
    """

    cache_path: FilePath | None = None
    """Folder on each machine's disk that keeps what was read of prepared data on other storage; by default one of the
    user among the machine's temporary folders."""
    cache_gib: float = Field(default=50.0, ge=0)
    """Most GiB that it holds on each machine; 0: nothing is kept, and all is read from the storage each time."""

    @property
    def cache(self) -> FileCache | None:
        """Cache of prepared data; None when nothing is kept."""
        if not self.cache_gib:
            return None
        return FileCache(int(self.cache_gib * 2**30), str(self.cache_path) if self.cache_path else None)

    @field_validator("path")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if "://" in value:
            refuse_credentials(value)
            return value.rstrip("/")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
            raise ValueError(f"a URI has two slashes, as in {value.replace(':/', '://', 1)}; write ./ before a folder")
        try:
            path = Path(value).expanduser()
        except RuntimeError:
            return value
        if not path.is_absolute() and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
            raise ValueError(
                f"{value!r} is relative, and a Ray job's working folder is deleted after it; give a full path"
            )
        return str(path.absolute())


class Experiment(Run):
    """Run, where it runs and where it is kept: what every verb of the command line works on."""

    scaling: Scaling = Scaling()
    storage: Storage = Field(default_factory=Storage)
    tracking: Tracking = Tracking()
    after: tuple[FilePath, ...] = ()
    """Experiments that `train` trains first, on the same workers and in the same storage, unless they are finished;
    settings may name their runs. Files relative to the one that names them."""
    search: Search | None = None
    """What `sweep` tries; other verbs ignore it."""

    @property
    def run_id(self) -> str:
        """The given name, or one that holds the workload and the digest of all settings that shape the result."""
        return self.tracking.run_name or f"{self.workload.label}-{self.digest}"

    @property
    def run(self) -> Run:
        """The part of the experiment that training workers get."""
        return Run(seed=self.seed, workload=self.workload, training=self.training)

    @property
    def folder(self) -> Folder:
        return Folder(self.storage.path) / f"runs/{self.run_id}"

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Return a re-validated copy with dotted settings replaced. Raises ValueError like `check_experiment`."""
        try:
            return super().override(changes)
        except ValidationError as error:
            raise _refusal(error, self.model_dump(mode="json"), f"with other {', '.join(changes)}") from error


def check_experiment(file: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment file with `section.field=value` overrides; imports neither torch nor ray.

    A file that `extends` another one holds only what differs from it. References to models are not resolved.
    Raises ValueError with a line for every wrong setting: its dotted key, what is allowed, and the nearest valid key.
    """
    return check_settings(read_settings(file, overrides, Experiment), origin=str(file))


def check_settings(settings: dict[str, Any], origin: str) -> Experiment:
    """Build an Experiment from plain settings; `origin` names them. Raises ValueError like `check_experiment`."""
    try:
        return validate_strictly(Experiment, settings)
    except ValidationError as error:
        raise _refusal(error, settings, origin) from error


def _refusal(error: ValidationError, settings: dict[str, Any], origin: str) -> ValueError:
    lines = [f"  {line}" for line in _explain(error, settings)]
    return ValueError("\n".join([f"{origin}: {len(lines)} wrong setting(s)", *lines]))


def _explain(error: ValidationError, settings: dict[str, Any]) -> Iterator[str]:
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        *place, last = _without_kinds(location, settings) if location else ("the experiment",)
        dotted = ".".join([*place, last])
        if problem["type"] == "extra_forbidden":
            allowed = fields_at(Experiment, place, settings)
            yield f"{dotted}: there is no such setting; {suggest(last, allowed)}"
            continue
        message = problem["msg"].removeprefix("Value error, ")
        given = problem["input"]
        shown = (
            "" if isinstance(given, dict | list) or problem["type"] in ("missing", "secret") else f" (given: {given!r})"
        )
        if problem["type"] in ("model_type", "dict_type"):
            advice = _advise_section(dotted, settings, has_fields=problem["type"] == "model_type")
            yield f"{dotted}: is a section of settings{shown or ', no list'}{advice}"
            continue
        advice = "; put it in quotes" if problem["type"] == "string_type" and shown and given is not None else ""
        yield f"{dotted}: {message}{shown}{advice}"


def _advise_section(dotted: str, settings: dict[str, Any], *, has_fields: bool) -> str:
    kinds = sorted(map(str, kinds_of_section(Experiment, dotted, settings)))
    if kinds:
        return f"; choose its kind by {dotted}.name: {', '.join(kinds)}"
    fields = fields_at(Experiment, dotted.split("."), settings) if has_fields else []
    return f"; it has {', '.join(fields)}: write {dotted}.{fields[0]}=..." if fields else ""


def _without_kinds(location: Sequence[str], settings: Any) -> Iterator[str]:
    """Yield the location as it is written in the settings, without the names of chosen kinds that pydantic adds."""
    for index, part in enumerate(location):
        is_kind = isinstance(settings, dict) and settings.get("name") == part and part not in settings
        if is_kind and index < len(location) - 1:
            continue
        yield part
        if isinstance(settings, dict):
            settings = settings.get(part)
        elif isinstance(settings, list) and part.isdigit() and int(part) < len(settings):
            settings = settings[int(part)]
