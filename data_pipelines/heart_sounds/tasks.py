"""What is to be told from heart sounds: the classes of each task, and the data set that they belong to."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["synthetic_murmur", "circor_murmur", "circor_outcome", "physionet2016", "pascal"]
Unit = Literal["recording", "patient"]


@dataclass(frozen=True)
class HeartTask:
    """One question, as its challenge asks it."""

    database: str
    classes: tuple[str, ...]
    """In the order of the labels."""
    positive: int
    """The label of the clinical positive."""
    unit: Unit
    """What the challenge scores; scores of cycles are gathered into it."""
    primary_metric: str
    """Decides which model is best, on the validation split."""


TASKS: dict[str, HeartTask] = {
    "synthetic_murmur": HeartTask("synthetic", ("normal", "murmur"), 1, "recording", "auroc"),
    "circor_murmur": HeartTask("circor", ("Present", "Unknown", "Absent"), 0, "patient", "f1_macro"),
    "circor_outcome": HeartTask("circor", ("Normal", "Abnormal"), 1, "patient", "auroc"),
    "physionet2016": HeartTask("physionet2016", ("normal", "abnormal"), 1, "recording", "auroc"),
    "pascal": HeartTask("pascal", ("normal", "murmur", "extrasystole"), 1, "recording", "f1_macro"),
}
