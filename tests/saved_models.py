"""Models in the form that a training saves, without one: for tests of predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig
from trainables.engine.files.model_versions import save_model
from trainables.workloads import build_task, config_class


def save_untrained(folder: Path, settings: dict[str, Any], data_spec: dict[str, Any], seed: int = 0) -> Path:
    """Save a model of a workload's settings; returns the folder of the model version."""
    config = config_class(settings["name"]).model_validate(settings)
    save_task(folder, build_task(config, data_spec, seed), config, data_spec, seed)
    return folder / "models/step_000000003"


def save_task(
    folder: Path, task: Task[Any], config: WorkloadConfig, data_spec: Mapping[str, Any], seed: int = 0
) -> str:
    """Save a task's weights as the best model of a run; returns the run's folder."""
    workload = config.model_dump(mode="json")
    save_model(
        Folder(str(folder)),
        step=3,
        weights=task.module.state_dict(),
        task_state=task.state_dict(),
        metadata={
            "workload": workload,
            "data_spec": dict(data_spec),
            "metrics": {},
            "epoch": 1,
            "global_step": 3,
            "config": {"seed": seed, "workload": workload},
        },
        aliases=["latest", "best"],
        is_kept=False,
    )
    return str(folder)
