"""Evaluations that a run keeps: where the next one lies, and which one already says what is asked."""

from collections.abc import Mapping
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.setting_differences import without_places
from trainables.run_paths import EVALUATIONS, PREDICTIONS

FOUND = "metrics.json"
SETTINGS = "experiment.json"
"""Written last: an evaluation without it did not end."""


def next_evaluation(run: Folder) -> Folder:
    """Return the folder of the next evaluation."""
    return run / f"{EVALUATIONS}/{max(_numbers(run), default=0) + 1:03d}"


def find_evaluation(run: Folder, *, checkpoint: str, source_hash: str, shaping: Mapping[str, Any]) -> Folder | None:
    """Return the latest evaluation of a model with the same settings on the same data; None without one.

    `shaping` are the settings of the evaluation, without places (`Run.shaping`). Evaluations of earlier versions keep
    no `source_hash`, and are not found.
    """
    for number in sorted(_numbers(run), reverse=True):
        place = run / f"{EVALUATIONS}/{number:03d}"
        if not place.exists(SETTINGS):
            continue
        found = place.read_json(FOUND)
        is_same = (found["checkpoint"], found.get("source_hash")) == (checkpoint, source_hash)
        is_there = found["predictions"] is None or place.exists(PREDICTIONS)
        if is_same and is_there and without_places(place.read_json(SETTINGS)) == shaping:
            return place
    return None


def _numbers(run: Folder) -> list[int]:
    return [int(name) for name in run.names(EVALUATIONS) if name.isdigit()]
