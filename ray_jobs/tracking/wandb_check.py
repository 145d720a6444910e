"""Check of W&B for the `check` verb: package, key, server, mode, and what a run would do here and now."""

import os
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_variables import OFF, cleaned_environment, mode_of

PATIENCE_S = 5.0
PACKAGE = "wandb"


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
    settings = wandb.setup().settings
    found["server"], answers = _ask(settings.base_url)
    found["key"], has_key = _find_key(wandb, answers)
    return {**found, "outcome": _outcome(tracking, found, has_package=True, has_key=has_key, answers=answers)}


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of unknown version"


def _ask(url: str) -> tuple[str, bool]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S):
            pass
    except urllib.error.HTTPError as error:
        return f"{url} answers (status {error.code})", error.code < 500
    except (OSError, ValueError) as error:
        return f"{url} cannot be reached: {getattr(error, 'reason', error)}", False
    return f"{url} answers", True


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
