"""Models with untrained weights, saved as a training saves them."""

from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from trainables.engine.files.model_versions import save_model
from trainables.workloads import build_task, config_class


def save_untrained(folder: Path, settings: dict[str, Any], data_spec: dict[str, Any], seed: int = 0) -> Path:
    """Save a model of a workload's settings; returns the folder of the model version."""
    config = config_class(settings["name"]).model_validate(settings)
    task = build_task(config, data_spec, seed)
    workload = config.model_dump(mode="json")
    name = save_model(
        Folder(str(folder)),
        step=3,
        weights=task.module.state_dict(),
        task_state=task.state_dict(),
        metadata={
            "epoch": 1,
            "global_step": 3,
            "metrics": {},
            "data_spec": data_spec,
            "workload": workload,
            "config": {"seed": seed, "workload": workload},
        },
        aliases=["latest", "best"],
        is_kept=False,
    )
    return folder / name
