"""Models in the form that a training saves, without one: for tests of predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.storage.folder import Folder
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig
from trainables.engine.files.model_versions import name_model, write_model
from trainables.run_paths import MODELS, step_name
from trainables.workloads import build_task, config_class

DIGITS = {"channels": 1, "height": 8, "width": 8, "class_names": [str(digit) for digit in range(10)]}
CLIPS = {"height": 12, "width": 16, "num_past": 2, "num_future": 3, "digits": {"digit_size": 6}}
HEART = {"sample_rate": 1000, "num_samples": 128}
TINY: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {
    "pruning": ({"arch": "res20s", "data": {"source": "digits"}}, DIGITS),
    "super_resolution": (
        {
            "data": {"scales": [2, 3], "lr_patch_size": 12},
            "network": {"name": "edsr", "num_blocks": 1, "num_channels": 8},
        },
        {},
    ),
    "heart_sound_finetune": (
        {
            "task": "circor_murmur",
            "encoder": {"channels": [4, 4, 6, 8], "sequence": "none", "dropout": 0.0},
            "data": HEART,
        },
        {
            "num_samples": 128,
            "preprocessing": HeartData.model_validate(HEART).model_dump(
                mode="json", include={"sample_rate", "band_hz", "unit", "num_samples", "window_s"}
            ),
            "class_names": ["Present", "Unknown", "Absent"],
            "num_recordings": {},
        },
    ),
    "video_prediction": (
        {
            "data": CLIPS,
            "network": {
                "name": "dit",
                "size": "mini",
                "past": {"channels": 8, "num_groups": 4, "num_layers": 1, "patch_size": 4},
            },
            "diffusion": {"num_timesteps": 20},
            "evaluation": {"sampling": {"num_steps": 3}},
        },
        VideoPipeline(VideoData.model_validate(CLIPS)).data_spec(),
    ),
    "flow_matching": (
        {
            "network": {
                "base_channels": 8,
                "channel_multipliers": [1, 2],
                "num_res_blocks": 1,
                "num_heads": 2,
                "num_groups": 4,
            },
            "evaluation": {"sampling": {"solver": "euler", "nfe": 2, "guidance": 1.0}},
        },
        DIGITS,
    ),
}
"""Settings and data spec of a tiny network of each workload that predicts."""


def save_tiny(folder: Path, workload: str) -> str:
    """Save an untrained model of a tiny network; returns the folder of the model version."""
    settings, data_spec = TINY[workload]
    return str(save_untrained(folder, {"name": workload, **settings}, data_spec))


def save_untrained(folder: Path, settings: dict[str, Any], data_spec: Mapping[str, Any], seed: int = 0) -> Path:
    """Save a model of a workload's settings; returns the folder of the model version."""
    config = config_class(settings["name"]).model_validate(settings)
    save_task(folder, build_task(config, data_spec, seed), config, data_spec, seed)
    return folder / "models/step_000000003"


def save_task(
    folder: Path,
    task: Task[Any],
    config: WorkloadConfig,
    data_spec: Mapping[str, Any],
    seed: int = 0,
    *,
    step: int = 3,
    epoch: int = 1,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Save a task's weights as the best model of a run; returns the run's folder."""
    workload = config.model_dump(mode="json")
    run, version = Folder(str(folder)), step_name(step)
    write_model(
        run,
        f"{MODELS}/{version}",
        weights=task.module.state_dict(),
        task_state=task.state_dict(),
        metadata={
            "workload": workload,
            "data_spec": dict(data_spec),
            "learnt": dict(task.learnt()),
            "metrics": dict(metrics or {}),
            "epoch": epoch,
            "global_step": step,
            "config": {"seed": seed, "workload": workload},
        },
    )
    name_model(run, version, ["latest", "best"], is_kept=False)
    return str(folder)
