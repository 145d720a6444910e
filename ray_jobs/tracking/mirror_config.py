"""Config of a run's mirror: what the mirror needs besides the record, as plain data in the run's folder.

Any later version can send the run with it, also without knowing the workload. Imports no wandb.
"""

from typing import TYPE_CHECKING, Any

from data_pipelines.contract.config import Config
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.environment import describe_software
from ray_jobs.settings.tracking import Tracking
from trainables.run import validate_strictly

if TYPE_CHECKING:
    from ray_jobs.settings.experiment import Experiment

MIRROR_CONFIG = "tracking.json"


class MirrorConfig(Config):
    """Config of a run's mirror, rewritten at every start of the run, whether W&B is on or off."""

    run_id: str
    tracking: Tracking
    goal: str
    """The metric that decides which model is best."""
    metric_axes: dict[str, str | None]
    """The workload's x-axis of each metric, by pattern; None for metrics that are not sent."""
    config: dict[str, Any]
    """The run's config in W&B: all settings but `tracking`, the run's id and folder, commit and versions."""


def write_mirror_config(experiment: "Experiment") -> None:
    """Write the mirror config into the run's folder."""
    settings = experiment.model_dump(mode="json", exclude={"tracking"})
    mirror_config = MirrorConfig(
        run_id=experiment.run_id,
        tracking=experiment.tracking,
        goal=experiment.workload.selection_metric.metric,
        metric_axes=experiment.workload.metric_x_axes,
        config={
            **settings,
            "run_id": experiment.run_id,
            "folder": str(experiment.folder),
            "software": describe_software(),
        },
    )
    experiment.folder.write_json(MIRROR_CONFIG, mirror_config.model_dump(mode="json"))


def load_mirror_config(folder: Folder) -> MirrorConfig:
    """Read the mirror config of a run. Raises ValueError when the folder has none."""
    if not folder.exists(MIRROR_CONFIG):
        raise ValueError(f"{folder} is no run: it has no {MIRROR_CONFIG}")
    return validate_strictly(MirrorConfig, folder.read_json(MIRROR_CONFIG))
