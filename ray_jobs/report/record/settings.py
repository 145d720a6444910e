"""Settings in which an experiment differs from the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ray_jobs.runs.setting_differences import flatten
from ray_jobs.settings.experiment import Experiment
from trainables.contract.training_config import Training
from trainables.workloads import config_class

FIRST = ("workload", "training", "seed")
PLUMBING = (
    "workload.name",
    "storage.",
    "tracking.run_name",
    "tracking.notes",
    "tracking.tags",
    "tracking.group",
    "after",
    "search.",
)
"""Prefixes of settings that are elsewhere on the page, or have no effect on the result."""


@dataclass(frozen=True)
class Change:
    """Setting that was changed; `default` is None when there is none, as in sections that are off by default."""

    key: str
    value: Any
    default: Any


def find_changes(settings: Mapping[str, Any]) -> list[Change]:
    """Return the settings that differ from their defaults, with dotted keys; of an unknown workload all of them."""
    defaults = flatten(_defaults(settings))
    sections = {name: settings[name] for name in (*FIRST, *settings) if name in settings}
    return [
        Change(key, value, defaults.get(key))
        for key, value in flatten(sections).items()
        if (key not in defaults or defaults[key] != value) and not (value is None and key not in defaults)
        if not key.startswith(PLUMBING)
    ]


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    name = (settings.get("workload") or {}).get("name", "")
    try:
        workload = _dump(config_class(name))
    except (ValueError, TypeError):  # a workload that is not installed here: nothing is known of its defaults
        workload = {}
    return {**_dump(Experiment), "training": _dump(Training), "workload": workload}


def _dump(config_class: type[BaseModel]) -> dict[str, Any]:
    """Return the fields that have a default, as JSON would hold them."""
    return config_class.model_construct().model_dump(mode="json", warnings=False)
