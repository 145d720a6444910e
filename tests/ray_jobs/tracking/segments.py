"""What one transaction log says of its run: a segment, since a run that was interrupted has several."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ray_jobs.tracking.wandb_file import read_records


@dataclass(frozen=True)
class LoggedArtifact:
    """An artifact that the run logged, with `name` as given to `wandb.Artifact`."""

    name: str
    type: str
    aliases: list[str]
    metadata: dict[str, Any]
    paths: list[str]
    """Paths within the artifact, files and references alike."""
    references: dict[str, str]
    """URI by path, of the references alone."""
    local_files: dict[str, str]
    """Local (staged) file by path, of the files alone."""
    is_input: bool
    """Whether the run declared it as what it used (it is uploaded first)."""


@dataclass(frozen=True)
class UsedArtifact:
    """An artifact that the run took as input; `id` is the server's."""

    id: str
    name: str
    type: str


@dataclass(frozen=True)
class DefinedMetric:
    """What `define_metric` said; `name` may be a pattern such as `train/*`."""

    name: str
    step_metric: str
    summaries: list[str]
    """Of `min`, `max`, `mean`, `best`, `last`, `first`, `copy` and `none`."""
    is_hidden: bool


@dataclass
class Segment:
    """One transaction log, decoded. Values are as they were logged: `{"a": {"b": 1}}` is nested, `"a/b"` is one key."""

    file: Path
    run_id: str = ""
    project: str = ""
    entity: str = ""
    start_time: float = 0.0
    """Seconds since the epoch."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    artifacts: list[LoggedArtifact] = field(default_factory=list)
    used_artifacts: list[UsedArtifact] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """Media and saved files, relative to the run's `files` folder."""
    metrics: list[DefinedMetric] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the run was finished (with whatever exit code) before the file ended."""
        return self.exit_code is not None


def load_segment(file: Path) -> Segment:
    """Read a whole transaction log; a torn tail is left out.

    Raises:
        ValueError: `file` is no transaction log.
    """
    segment = Segment(file)
    for record in read_records(file):
        _add(segment, record)
    return segment


def _add(segment: Segment, record: Any) -> None:
    match record.WhichOneof("record_type"):
        case "history":
            segment.rows.append(_apply({}, record.history.item))
        case "summary":
            _apply(segment.summary, record.summary.update, record.summary.remove)
        case "config":
            _apply(segment.config, record.config.update, record.config.remove)
        case "run":
            _add_run(segment, record.run)
        case "artifact":
            segment.artifacts.append(_logged(record.artifact))
        case "use_artifact":
            segment.used_artifacts.append(_used(record.use_artifact))
        case "files":
            segment.files.extend(item.path for item in record.files.files)
        case "metric":
            segment.metrics.append(_defined(record.metric))
        case "exit":
            segment.exit_code = record.exit.exit_code


def _apply(target: dict[str, Any], update: Iterable[Any], remove: Iterable[Any] = ()) -> dict[str, Any]:
    """Sets and removes keys of `target`, in depth where the item names a path of keys; returns it."""
    for item in update:
        *parents, last = item.nested_key or [item.key]
        _descend(target, parents)[last] = json.loads(item.value_json)
    for item in remove:
        *parents, last = item.nested_key or [item.key]
        _descend(target, parents).pop(last, None)
    return target


def _descend(target: dict[str, Any], parents: Iterable[str]) -> dict[str, Any]:
    for parent in parents:
        inner = target.get(parent)
        if not isinstance(inner, dict):
            inner = target[parent] = {}
        target = inner
    return target


def _add_run(segment: Segment, run: Any) -> None:
    segment.run_id, segment.project, segment.entity = run.run_id, run.project, run.entity
    segment.start_time = run.start_time.ToMicroseconds() / 1e6
    _apply(segment.config, run.config.update, run.config.remove)
    _apply(segment.summary, run.summary.update, run.summary.remove)


def _logged(artifact: Any) -> LoggedArtifact:
    entries = artifact.manifest.contents
    return LoggedArtifact(
        name=artifact.name,
        type=artifact.type,
        aliases=sorted(artifact.aliases),
        metadata=json.loads(artifact.metadata or "{}"),
        paths=sorted(entry.path for entry in entries),
        references={entry.path: entry.ref for entry in entries if entry.ref},
        local_files={entry.path: entry.local_path for entry in entries if not entry.ref},
        is_input=artifact.use_after_commit,
    )


def _used(artifact: Any) -> UsedArtifact:
    return UsedArtifact(id=artifact.id, name=artifact.name, type=artifact.type)


def _defined(metric: Any) -> DefinedMetric:
    return DefinedMetric(
        name=metric.name or metric.glob_name,
        step_metric=metric.step_metric,
        summaries=[kind.name for kind, is_set in metric.summary.ListFields() if is_set],
        is_hidden=metric.options.hidden,
    )
