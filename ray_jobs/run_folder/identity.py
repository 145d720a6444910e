"""Identity of a run: its name for people, and its id for W&B; imports no wandb."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from data_pipelines.storage.folder import Folder

IDENTITY = "run.json"
"""File in the run's folder with its `Identity`."""
STAMP = "%m%d_%H%M"
JobType = Literal["train", "sweep"]
LATER = "the record on disk is complete all the same, and `quintet sync` sends what is lacking"
"""End of every warning of a failure of W&B."""


def automatic_name(parts: Sequence[str], started: datetime) -> str:
    """Return the parts that distinguish a run and its first start, for example `flow_matching_digits_0108_1430`."""
    return "_".join([*parts, started.strftime(STAMP)])


def artifact_name(run_name: str, wandb_id: str) -> str:
    """Return the name of the run's model artifact: readable, and unique to the run."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', run_name)}-{wandb_id}"[-128:].lstrip(".-")


@dataclass(frozen=True)
class Identity:
    """Identity of a run through all its starts, fixed when the run begins."""

    name: str
    """For people: given, or made by `automatic_name`."""
    wandb_id: str
    """Random, so that no run ever resumes another's."""
    started: str
    """Local time of the first start, ISO 8601."""
    group: str | None = None
    job_type: JobType = "train"
    tags: tuple[str, ...] = ()


def resolve_identity(
    folder: Folder,
    parts: Sequence[str],
    *,
    given: str | None,
    group: str | None = None,
    job_type: JobType = "train",
    tags: Sequence[str] = (),
    now: datetime | None = None,
) -> Identity:
    """Return the identity in the run's folder; at the run's first start it is made and written.

    A name that the user has not given is made of `parts` and the time of the start, by default that of the call.
    `group` and `tags` are those in W&B, and `job_type` is the verb that trains the run.
    """
    if folder.exists(IDENTITY):
        return load_identity(folder)
    now = now or datetime.now().astimezone()
    identity = Identity(
        name=given or automatic_name(parts, now),
        wandb_id=secrets.token_hex(5),
        started=now.isoformat(timespec="seconds"),
        group=group,
        job_type=job_type,
        tags=tuple(tags),
    )
    folder.write_json(IDENTITY, asdict(identity))
    return identity


def load_identity(folder: Folder) -> Identity:
    """Read the identity of a run that has begun."""
    content = folder.read_json(IDENTITY)
    try:
        return Identity(**{**content, "tags": tuple(content["tags"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{folder.full(IDENTITY)}: lacks what a run has, or has more; restore it") from error
