"""Variables of W&B in the environment: which of them count for a run, and which are taken away before W&B starts."""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Literal

from ray_jobs.settings.tracking import Tracking

MODES: dict[str, Literal["online", "offline", "disabled"]] = {
    "online": "online",
    "shared": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
CHANGES_THE_RUN = (
    "WANDB_RUN_ID",
    "WANDB_SWEEP_ID",
    "WANDB_SWEEP_PARAM_PATH",
    "WANDB_RESUME",
    "WANDB_RESUME_FROM",
    "WANDB_FORK_FROM",
)
"""They would make another run of ours; a run's id follows from its record alone."""
OF_THE_RUN = ("WANDB_NAME", "WANDB_RUN_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_TAGS", "WANDB_MODE")
"""What settings decide, and W&B may read another way."""
OFF = "W&B is off: WANDB_MODE=disabled"


def mode_of(tracking: Tracking) -> Literal["online", "offline", "disabled"]:
    """Return the mode from the settings, or else from WANDB_MODE; offline for a word that W&B does not know."""
    return tracking.mode or MODES.get(os.environ.get("WANDB_MODE") or "online", "offline")


def clean_variables(environment: MutableMapping[str, str], tracking: Tracking) -> list[str]:
    """Take away what would change a run or keep W&B from starting; returns a line for each fault, without values.

    Call it after `mode_of`, as WANDB_MODE goes as well.
    """
    said = []
    for name in [name for name, value in environment.items() if name.startswith("WANDB_") and not value.strip()]:
        del environment[name]  # as if it were unset
    if "WANDB_API_KEY" in environment:
        environment["WANDB_API_KEY"] = environment["WANDB_API_KEY"].strip()
    mode = environment.get("WANDB_MODE")
    if mode and mode not in MODES and tracking.mode is None:
        said.append(f"WANDB_MODE={mode!r} is no mode of W&B, so it is offline; give one of {', '.join(MODES)}")
    changing = [name for name in CHANGES_THE_RUN if name in environment]
    if changing:
        said.append(f"{', '.join(changing)} in the environment is left out: the run keeps its own id in W&B")
    for name in (*CHANGES_THE_RUN, *OF_THE_RUN):
        environment.pop(name, None)
    return said


@contextmanager
def cleaned_environment(tracking: Tracking) -> Iterator[list[str]]:
    """Clean this process's variables inside the block, as `clean_variables`, whose lines are yielded."""
    before = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    try:
        yield clean_variables(os.environ, tracking)
    finally:
        os.environ.update(before)
