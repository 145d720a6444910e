"""Settings of the `tracking` section; imports no wandb."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from data_pipelines.contract.config import Config, FilePath
from trainables.contract.training_config import Cadence

LogFormat = Literal["text", "json"]


class Tracking(Config):
    """Name of the run, and what is sent to W&B. The record on disk is the same with W&B on or off."""

    wandb: bool = False
    """Send the record to W&B."""
    project: str | None = None
    """`project` or `team/project`; null: WANDB_PROJECT, else `quintet`."""
    entity: str | None = None
    """Team or user; null: the one in `project`, else WANDB_ENTITY, else the key's owner."""
    run_name: str | None = Field(default=None, min_length=1, max_length=128)
    """Also the name of the run's folder. By default the folder is named by the workload and the settings' digest, and
    the run by the settings that distinguish it, with the time of its first start."""
    group: str | None = Field(default=None, min_length=1, max_length=128)
    """W&B's group of the run."""
    tags: tuple[str, ...] = ()
    """W&B's tags of the run."""
    notes: str | None = None
    """W&B's notes on the run."""
    log_format: LogFormat = "text"
    """Lines of `train.log`: `text` for people, or `json` for log collectors, an object with time, level and message."""
    mode: Literal["online", "offline"] | None = None
    """offline: files that the `sync` verb (or `wandb sync`) sends later. null: WANDB_MODE, else online."""
    log_images: bool | Cadence = True
    """Whether pictures and tables go to W&B; a cadence thins out those that `training.pictures_every` draws."""
    log_model: bool | Cadence = True
    """Whether models go to W&B as artifacts; with a cadence only the best and the latest at each of its moments do."""
    watch: Literal["gradients", "parameters", "all"] | None = None
    """Histograms of every parameter tensor, of its gradient, or of both."""
    watch_every_steps: int = Field(default=1000, ge=1)
    """Steps between two histograms of `watch`."""
    folder: FilePath | None = None
    """W&B's own files; null: WANDB_DIR, else `wandb` in the run's folder (~/quintet/wandb if that is not local)."""
    init_timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Longest time for which a start waits for W&B's server."""
    finish_timeout_s: float = Field(default=30.0, gt=0, le=86400)
    """Longest time for which an end waits until W&B's server has everything."""

    def for_sync(self) -> "Tracking":
        """Return a copy with an upload timeout of 24 hours, for the `sync` verb, which runs in the foreground."""
        return self.model_copy(update={"finish_timeout_s": 86400.0})

    @field_validator("run_name")
    @classmethod
    def _is_one_folder(cls, value: str | None) -> str | None:
        if value is not None:
            refuse_unsafe_name(value)
        return value

    @field_validator("project", "entity")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^/\\#?%:\s][^\\#?%:\n]{0,127}", value):
            raise ValueError(rf"{value!r} is no name; leave out \ # ? % : and give at most 128 characters")
        return value

    @field_validator("project")
    @classmethod
    def _has_at_most_a_team(cls, value: str | None) -> str | None:
        parts = (value or "").split("/")
        if len(parts) > 2 or (len(parts) == 2 and not all(parts)):
            raise ValueError(f"{value!r}: write it as project or team/project")
        return value

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tag in value:
            if not 1 <= len(tag) <= 64:
                raise ValueError(f"{tag!r} is no tag; W&B takes 1 to 64 characters")
        return value

    @model_validator(mode="after")
    def _names_one_team(self) -> "Tracking":
        team = (self.project or "").rpartition("/")[0]
        if team and self.entity not in (None, team):
            raise ValueError(f"`project` names the team {team!r} and `entity` is {self.entity!r}; give one of them")
        return self


def refuse_unsafe_name(name: str) -> None:
    """Raise ValueError for a run name that cannot be a folder and a W&B name on every system."""
    if re.search(r'[/\\\x00-\x1f:*?"<>|]', name) or name.strip(". ") != name:
        raise ValueError(f"{name!r} cannot name a folder; leave out slashes, control characters and outer dots")
