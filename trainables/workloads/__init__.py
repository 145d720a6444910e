"""THE REGISTER of workloads: a new one is a folder beside this file and one entry in `WORKLOADS`.

A workload outside the project needs no entry here. An installed package announces it by an entry point of the group
`quintet.workloads`, or an experiment names it as `workload.name: package.module:NAME`; both lead to a `Workload`.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, SerializeAsAny, ValidationInfo, WithJsonSchema

from data_pipelines.contract.did_you_mean import suggest
from trainables.contract.workload_config import WorkloadConfig

if TYPE_CHECKING:
    from data_pipelines.contract.pipeline import DataPipeline, DataSpec
    from trainables.contract.evaluation import EvaluationResult
    from trainables.contract.prediction import Row
    from trainables.contract.predictor import Predictor
    from trainables.contract.progress_snapshot import ProgressSnapshot
    from trainables.contract.task import Task

ENTRY_POINTS = "quintet.workloads"
"""The group of entry points by which installed packages announce workloads."""


@dataclass(frozen=True)
class Workload:
    """Parts of a workload, each as `module:name`, imported on demand, or as the object itself."""

    config: str | type[WorkloadConfig]
    """The class of its settings; its module should import no torch, so that an experiment is checked at once."""
    pipeline: str | Callable[[Any], "DataPipeline"]
    """Takes the settings and returns the data pipeline: a `DataPipeline` class or a function."""
    task: str | Callable[[Any, "DataSpec", int], "Task"]
    """Takes the settings, the data spec and the seed, and returns the task: a `Task` class or a function."""
    console: str | Callable[[Any, "ProgressSnapshot"], Sequence[str] | None] | None = None
    """Takes the settings and a snapshot of a training; returns the lines that the terminal shows instead of the common
    one, or None for that one."""
    predictor: str | type["Predictor[Any]"] | None = None
    """The class that applies a trained model to new inputs; None when there is nothing to predict."""
    joint_scores: str | Callable[[Any, "Sequence[Row]"], "EvaluationResult"] | None = None
    """Takes the settings and the joined rows of `predictions.csv` of several models, such as those of all folds, and
    returns their scores; None for a workload whose samples belong to no group."""

    def build_pipeline(self, config: WorkloadConfig) -> "DataPipeline":
        """Build the data pipeline; imports no torch."""
        return _part(self.pipeline)(config)

    def build_task(self, config: WorkloadConfig, data_spec: "DataSpec", seed: int) -> "Task":
        """Build the task with its module.

        Weights drawn meanwhile follow from `seed` alone; the global random state is left as it was.
        """
        from trainables.contract.seeding import seeded_initialisation

        task = _part(self.task)
        with seeded_initialisation(seed, getattr(task, "weights_stream", "network")):
            return task(config, data_spec, seed)

    def console_lines(self, config: WorkloadConfig, moment: "ProgressSnapshot") -> Sequence[str] | None:
        """Return the workload's own lines for the terminal; None when it has none, or none for this moment."""
        return _part(self.console)(config, moment) if self.console else None


WORKLOADS: dict[str, Workload] = {
    "flow_matching": Workload(
        config="trainables.workloads.flow_matching.config:FlowMatchingConfig",
        pipeline="trainables.workloads.flow_matching.data:build_pipeline",
        task="trainables.workloads.flow_matching.task:FlowMatchingTask",
        predictor="trainables.workloads.flow_matching.predictor:FlowMatchingPredictor",
    ),
    "super_resolution": Workload(
        config="trainables.workloads.super_resolution.config:SuperResolutionConfig",
        pipeline="trainables.workloads.super_resolution.data:build_pipeline",
        task="trainables.workloads.super_resolution.task:SuperResolutionTask",
        console="trainables.workloads.super_resolution.console:format_lines",
        predictor="trainables.workloads.super_resolution.predictor:SuperResolutionPredictor",
    ),
    "video_prediction": Workload(
        config="trainables.workloads.video_prediction.config:VideoPredictionConfig",
        pipeline="trainables.workloads.video_prediction.data:build_pipeline",
        task="trainables.workloads.video_prediction.task:VideoPredictionTask",
        predictor="trainables.workloads.video_prediction.predictor:VideoPredictionPredictor",
    ),
    "pruning": Workload(
        config="trainables.workloads.pruning.config:PruningConfig",
        pipeline="trainables.workloads.pruning.data:build_pipeline",
        task="trainables.workloads.pruning.task:PruningTask",
        predictor="trainables.workloads.pruning.predictor:PruningPredictor",
    ),
    "heart_sound_pretrain": Workload(
        config="trainables.workloads.heart_sound.pretrain.config:PretrainConfig",
        pipeline="trainables.workloads.heart_sound.data:build_pretrain_pipeline",
        task="trainables.workloads.heart_sound.pretrain.task:PretrainTask",
    ),
    "heart_sound_finetune": Workload(
        config="trainables.workloads.heart_sound.finetune.config:FinetuneConfig",
        pipeline="trainables.workloads.heart_sound.data:build_finetune_pipeline",
        task="trainables.workloads.heart_sound.finetune.task:FinetuneTask",
        predictor="trainables.workloads.heart_sound.finetune.predictor:HeartSoundPredictor",
        joint_scores="trainables.workloads.heart_sound.finetune.scoring.out_of_fold:score_rows",
    ),
}


def find_workload(name: str) -> Workload:
    """Return the workload of a registered name, of an entry point, or of a reference `package.module:NAME`.

    Raises ValueError listing the names, or describing the fault of the reference.
    """
    if name in WORKLOADS:
        return WORKLOADS[name]
    announced = _announced()
    if name in announced:
        return _outside(announced[name].value, f"the entry point {name!r} of {ENTRY_POINTS}")
    if ":" in name:
        return _outside(name, f"workload.name: {name}")
    known = [*WORKLOADS, *announced]
    raise ValueError(f"{name!r} is not a workload; {suggest(name, known)}; one of your own is package.module:NAME")


def workload_names() -> list[str]:
    """Return registered names, then those of entry points, in alphabetical order."""
    return [*WORKLOADS, *sorted(_announced().keys() - WORKLOADS.keys())]


def config_class(name: str) -> type[WorkloadConfig]:
    """Return the settings class of a workload; imports only that workload. Raises ValueError like `find_workload`."""
    return _part(find_workload(name).config)


def build_pipeline(config: WorkloadConfig) -> "DataPipeline":
    """Build the data pipeline of a workload; imports no torch."""
    return find_workload(config.name).build_pipeline(config)


def build_task(config: WorkloadConfig, data_spec: "DataSpec", seed: int) -> "Task":
    """Build the task with its module; see `Workload.build_task`."""
    return find_workload(config.name).build_task(config, data_spec, seed)


def console_lines(config: WorkloadConfig, moment: "ProgressSnapshot") -> Sequence[str] | None:
    """Return the workload's own lines for the terminal; None when it has none, or none for this snapshot."""
    return find_workload(config.name).console_lines(config, moment)


def score_jointly(config: WorkloadConfig, rows: "Sequence[Row]") -> "EvaluationResult | None":
    """Return the scores of joined rows of `predictions.csv` of several models; None for a workload without any."""
    scores = find_workload(config.name).joint_scores
    return _part(scores)(config, rows) if scores else None


def predictor_class(name: str) -> "type[Predictor[Any]]":
    """Return the predictor of a workload. Raises ValueError for a workload that has none."""
    predictor = find_workload(name).predictor
    if predictor is None:
        with_one = ", ".join(known for known, workload in WORKLOADS.items() if workload.predictor)
        raise ValueError(f"models of {name} predict nothing by themselves; these workloads do: {with_one}")
    return _part(predictor)


def _part(reference: Any) -> Any:
    return resolve_name(reference) if isinstance(reference, str) else reference


@cache
def _announced() -> dict[str, EntryPoint]:
    """Return entry points by name; a broken package of the environment announces nothing, and keeps none from it."""
    found: dict[str, EntryPoint] = {}
    for package in distributions():
        with suppress(Exception):  # of files that are half there or no text
            for entry in package.entry_points.select(group=ENTRY_POINTS):
                found.setdefault(entry.name, entry)
    return found


@cache
def _outside(reference: str, origin: str) -> Workload:
    try:
        workload = resolve_name(reference)
    except Exception as error:  # what is not ours raises anything while it is imported
        kind = "" if isinstance(error, ImportError | AttributeError | ValueError) else f"{type(error).__name__}: "
        raise ValueError(
            f"{origin} cannot be imported: {kind}{error}; it must be package.module:NAME, importable from the working "
            "folder or installed, also on the machines of a cluster"
        ) from error
    if not isinstance(workload, Workload):
        raise ValueError(f"{origin} is a {type(workload).__name__}; it must be a trainables.workloads.Workload")
    return workload


def _validate(value: Any, info: ValidationInfo) -> WorkloadConfig:
    if isinstance(value, WorkloadConfig):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"a workload needs its `name`; one of {', '.join(workload_names())}")
    settings = config_class(value["name"])
    if info.mode == "json":
        return settings.model_validate_json(json.dumps(value), strict=True)
    return settings.model_validate(value)


AnyWorkload = Annotated[SerializeAsAny[WorkloadConfig], PlainValidator(_validate), WithJsonSchema({"type": "object"})]
