"""Record of a run, read from its folder as plain data."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.report.charts.chart import Curve, Point, ThinnedPoints
from ray_jobs.report.charts.chart_groups import is_measured
from ray_jobs.report.record.run_status import State, find_state, warnings_in
from ray_jobs.report.record.tolerant_io import read_json, read_lines, read_text, storage_of
from ray_jobs.run_folder.identity import Identity, load_identity
from ray_jobs.run_folder.inputs import INPUTS
from ray_jobs.run_folder.log_lines import to_text
from ray_jobs.run_folder.run_recorder import CONFIG, ENVIRONMENT, EVENTS, FINAL, LOG, METRICS
from ray_jobs.search.sweep_plan import SEARCHES
from ray_jobs.search.trials import latest, read_history
from ray_jobs.tracking.mirror_files import MIRROR_CONFIG
from trainables.run_paths import EVALUATIONS, MODELS, load_aliases, step_of

SPEED = {
    "samples_per_s": "samples/s",
    "data_wait_ratio": "share of waiting for data",
    "peak_memory_mib": "peak MiB",
}
SHOWN_AS_SPEED = ("system/samples_per_s", "system/data_wait_ratio")


@dataclass(frozen=True)
class RunRecord:
    """Record of one run, finished or not."""

    folder: Folder
    identity: Identity
    settings: Mapping[str, Any]
    state: State
    goal: str | None
    curves: Mapping[str, Sequence[Point]]
    """Every metric over steps."""
    speed: Mapping[str, Sequence[Point]]
    """Throughput, waiting, memory and system metrics of the machines, over steps."""
    events: Sequence[Mapping[str, Any]]
    best_step: int | None
    best: Mapping[str, float]
    """Metrics of the best model so far."""
    last: Mapping[str, float]
    """The newest value of every metric."""
    evaluations: Mapping[str, Mapping[str, Any]]
    """What `evaluate` found, by number."""
    environment: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]

    num_parameters: int | None
    """Of the best or the last model; None in records of before."""

    @property
    def run_id(self) -> str:
        """Name of the run's folder."""
        return PurePosixPath(self.folder.path).name

    @property
    def last_step(self) -> int:
        """Last step of the record; 0 without one."""
        return int(max((points[-1][0] for points in self.curves.values()), default=0))


def gather_run(folder: Folder) -> RunRecord:
    """Read the complete record of a run; what is not there yet is empty."""
    identity, final, log = load_identity(folder), read_json(folder, FINAL), to_text(read_text(folder, LOG))
    events = without_repeats(list(read_lines(folder, EVENTS)))
    aliases = load_aliases(folder)
    best, saved = aliases["best"], aliases["best"] or aliases["latest"]
    curves = _curves(read_lines(folder, METRICS), step_of(best) if best else None)
    metadata = (read_json(folder, f"{MODELS}/{saved}/metadata.json") if saved else None) or {}
    mirror_config = read_json(folder, MIRROR_CONFIG) or {}
    state = find_state(folder, final, events, log)
    return RunRecord(
        folder=folder,
        identity=identity,
        settings=read_json(folder, CONFIG) or {},
        state=_as_trial(folder, identity) if state.kind == "unfinished" and identity.job_type == "sweep" else state,
        goal=mirror_config.get("goal"),
        curves=curves,
        speed=_speed(events),
        events=events,
        best_step=step_of(best) if best else None,
        best=metadata.get("metrics", {}) if best else {},
        last=final["metrics"] if final else {name: points[-1][1] for name, points in curves.items()},
        evaluations={
            name: read_json(folder, f"{EVALUATIONS}/{name}/metrics.json") or {} for name in folder.names(EVALUATIONS)
        },
        environment=read_json(folder, ENVIRONMENT) or {},
        inputs=read_json(folder, INPUTS) or [],
        warnings=warnings_in(log),
        num_parameters=metadata.get("num_parameters"),
    )


def without_repeats(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events without those of steps that a later start went through again."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if "resumed_from" in event:
            kept = [earlier for earlier in kept if earlier["step"] <= event["step"]]
        kept.append(event)
    return kept


def _curves(rows: Iterable[Mapping[str, float]], best_step: int | None) -> dict[str, ThinnedPoints]:
    curves: dict[str, Curve] = defaultdict(lambda: Curve(best_step))
    for row in rows:
        for name, value in row.items():
            if is_measured(name):
                curves[name].add(row["step"], value)
    return {name: curve.points for name, curve in curves.items()}


def _speed(events: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {title: [] for title in SPEED.values()}
    for event in events:
        if event["speed"]["step_s"]:
            for name, title in SPEED.items():
                curves[title].append((event["step"], event["speed"][name]))
        for name, value in event.get("system", {}).items():
            if math.isfinite(value) and name not in SHOWN_AS_SPEED:
                curves.setdefault(name, []).append((event["step"], value))
    return curves


def _as_trial(folder: Folder, identity: Identity) -> State:
    """Return the state of an unfinished trial, which was stopped or failed if the record of its search has it so."""
    search, _, number = identity.name.rpartition("-")
    for trial in latest(read_history(storage_of(folder) / f"{SEARCHES}/{search}")).values():
        if trial.id == number and trial.state in ("stopped", "failed"):
            return State("stopped" if trial.state == "stopped" else "failed", trial.words)
    return State("unfinished", f"a trial of the search {search}")
