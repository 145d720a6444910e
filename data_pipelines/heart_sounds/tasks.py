"""Classification tasks of heart sounds: the classes of each, and the data set that they belong to."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["synthetic_murmur", "circor_murmur", "circor_outcome", "physionet2016", "pascal"]
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
    primary_metric: str
    """Metric on the validation split that decides which model is best."""


TASKS: dict[str, HeartTask] = {
    "synthetic_murmur": HeartTask("synthetic", ("normal", "murmur"), 1, "recording", "auroc"),
    "circor_murmur": HeartTask("circor", ("Present", "Unknown", "Absent"), 0, "patient", "f1_macro"),
    "circor_outcome": HeartTask("circor", ("Normal", "Abnormal"), 1, "patient", "auroc"),
    "physionet2016": HeartTask("physionet2016", ("normal", "abnormal"), 1, "recording", "auroc"),
    "pascal": HeartTask("pascal", ("normal", "murmur", "extrasystole"), 1, "recording", "f1_macro"),
}
