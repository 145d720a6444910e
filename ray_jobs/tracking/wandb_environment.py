"""W&B's surroundings: the variables that count for a run, and what `check` finds of package, key and server."""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import ValidationError

from ray_jobs.settings.tracking import Tracking

PATIENCE_S = 5.0
PACKAGE = "wandb"
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
    "WANDB_LAUNCH",
    "WANDB_SERVICE",
)
"""They belong to somebody else's run, and would join ours to it; a run's id follows from its record alone."""
OF_THE_RUN = ("WANDB_NAME", "WANDB_RUN_NAME", "WANDB_JOB_TYPE", "WANDB_MODE")
"""What settings or the record decide, and W&B may read another way."""
OFF = "W&B is off: WANDB_MODE=disabled"


def mode_of(tracking: Tracking) -> Literal["online", "offline", "disabled"]:
    """Return the mode from the settings, or else from WANDB_MODE; offline for a word that W&B does not know."""
    return tracking.mode or MODES.get(os.environ.get("WANDB_MODE", "").strip() or "online", "offline")


def clean_variables(environment: MutableMapping[str, str], tracking: Tracking) -> list[str]:
    """Take away what would change a run or keep W&B from starting; returns a line for each fault, without values.

    Call it after `mode_of`, as WANDB_MODE goes as well.
    """
    said = []
    for name in [name for name, value in environment.items() if name.startswith("WANDB_") and not value.strip()]:
        del environment[name]  # as if it were unset
    if "WANDB_API_KEY" in environment:
        environment["WANDB_API_KEY"] = environment["WANDB_API_KEY"].strip()
    mode = environment.get("WANDB_MODE", "").strip()
    if mode and mode not in MODES and tracking.mode is None:
        said.append(f"WANDB_MODE={mode!r} is no mode of W&B, so it is offline; give one of {', '.join(MODES)}")
    changing = [name for name in CHANGES_THE_RUN if name in environment]
    if changing:
        said.append(f"{', '.join(changing)} in the environment is left out: the run keeps its own id in W&B")
    for name in (*CHANGES_THE_RUN, *OF_THE_RUN):
        environment.pop(name, None)
    return said


def drop_malformed(environment: MutableMapping[str, str], setup: Callable[[], Any]) -> list[str]:
    """Call W&B's setup, and take away each variable that it refuses; returns a line for each, without values."""
    said = []
    while True:
        try:
            setup()
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            names = [name for name in environment if name.startswith("WANDB_") and field.endswith(name[6:].lower())]
            if not names:
                raise
            del environment[names[0]]
            said.append(f"{names[0]} in the environment is left out: it is no {field} that W&B takes")
        else:
            return said


@contextmanager
def cleaned_environment(tracking: Tracking) -> Iterator[list[str]]:
    """Clean this process's variables inside the block, as `clean_variables`, whose lines are yielded."""
    before = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    try:
        yield clean_variables(os.environ, tracking)
    finally:
        os.environ.update(before)


def check_wandb(tracking: Tracking) -> dict[str, str | bool]:
    """Return one finding for each thing that W&B needs, and under `outcome` what a run would do."""
    found: dict[str, str | bool] = {"tracking.wandb": "on" if tracking.wandb else "off", "mode": mode_of(tracking)}
    with cleaned_environment(tracking) as faults:
        if faults:
            found["variables"] = "; ".join(faults)
        return _look(tracking, found)


def _look(tracking: Tracking, found: dict[str, str | bool]) -> dict[str, str | bool]:
    try:
        import wandb
    except Exception as error:  # a broken package raises anything
        found["package"] = f"cannot be imported: {type(error).__name__}: {error}"
        return {**found, "outcome": _outcome(tracking, found, has_package=False, has_key=False, answers=False)}
    found["package"] = f"{PACKAGE} {_version()}"
    if refused := drop_malformed(os.environ, wandb.setup):
        found["variables"] = "; ".join([*([str(found["variables"])] if "variables" in found else []), *refused])
    settings = wandb.setup().settings
    found["server"], answers = ask_server(settings.base_url)
    found["key"], has_key = _find_key(wandb, answers)
    return {**found, "outcome": _outcome(tracking, found, has_package=True, has_key=has_key, answers=answers)}


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of unknown version"


def ask_server(url: str) -> tuple[str, bool]:
    """Return what is found of a server, without a password of its address, and whether it answers."""
    shown = re.sub(r"://[^/]*@", "://", url)  # without a password
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S):
            pass
    except urllib.error.HTTPError as error:
        return f"{shown} answers (status {error.code})", error.code < 500
    except OSError as error:
        return f"{shown} cannot be reached: {getattr(error, 'reason', error)}", False
    except (ValueError, HTTPException):  # their words hold parts of the address
        return f"{shown} is no address of a server; correct WANDB_BASE_URL", False
    return f"{shown} answers", True


def _find_key(wandb: Any, answers: bool) -> tuple[str, bool]:
    """Return what is found of the key, never the key itself, and whether there is one that a run could use."""
    origin = "WANDB_API_KEY" if os.environ.get("WANDB_API_KEY") else "wandb login"
    try:
        if not wandb.login(prompt=False, verify=False):
            return "none; set WANDB_API_KEY or run `wandb login`", False
    except (wandb.errors.Error, ValueError) as error:
        return f"from {origin}; malformed: {' '.join(str(error).split())[:200]}", False
    if not answers:
        return f"from {origin}; not tried, as the server does not answer", True
    try:
        viewer = wandb.Api(timeout=int(PATIENCE_S)).viewer
    except Exception as error:  # W&B raises anything; the key does not work here and now
        return f"from {origin}; refused: {type(error).__name__}", False
    return f"from {origin}; accepted for {viewer.username}", True


def _outcome(
    tracking: Tracking, found: dict[str, str | bool], *, has_package: bool, has_key: bool, answers: bool
) -> str:
    if not tracking.wandb:
        return "a run is recorded on disk alone; turn W&B on with --set tracking.wandb=true"
    if not has_package:
        return "a run is recorded on disk alone, with one warning"
    if found["mode"] == "disabled":
        return f"a run is recorded on disk alone; {OFF}"
    if found["mode"] == "offline":
        return "a run is recorded on disk and as offline W&B files; `sync` sends it"
    if has_key and answers:
        return "a run is recorded on disk and online"
    return "a run warns once and is recorded on disk and as offline W&B files; `sync` sends it"
