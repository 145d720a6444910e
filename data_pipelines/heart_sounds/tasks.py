"""Classification tasks of heart sounds: the classes of each, and the data set that they belong to."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["synthetic_murmur", "circor_murmur", "circor_outcome", "physionet2016", "pascal", "labelled"]
Unit = Literal["recording", "patient"]


@dataclass(frozen=True)
class HeartTask:
    """One classification task, as its challenge defines it."""

    database: str
    classes: tuple[str, ...]
    """In the order of the labels."""
    positive: int
    """The label of the clinical positive."""
    unit: Unit
    """The unit that the challenge scores; scores of cycles are aggregated to it."""
    decision_scores: tuple[str, ...]
    """Scores that a decision rule can be learnt for, first the task's own: that of its challenge where there is one."""


LOWER_IS_BETTER = ("cost", "loss", "brier", "calibration_error")
"""Scores that are better the lower they are."""
PLAIN = ("f1_macro", "accuracy")
"""Scores that every task has."""

TASKS: dict[str, HeartTask] = {  # and `labelled`, whose classes the settings name
    "synthetic_murmur": HeartTask("synthetic", ("normal", "murmur"), 1, "recording", PLAIN),
    "circor_murmur": HeartTask(
        "circor", ("Present", "Unknown", "Absent"), 0, "patient", ("weighted_accuracy", "cost", *PLAIN)
    ),
    "circor_outcome": HeartTask("circor", ("Normal", "Abnormal"), 1, "patient", ("cost", "weighted_accuracy", *PLAIN)),
    "physionet2016": HeartTask("physionet2016", ("normal", "abnormal"), 1, "recording", ("macc", *PLAIN)),
    "pascal": HeartTask("pascal", ("normal", "murmur", "extrasystole"), 1, "recording", PLAIN),
}
