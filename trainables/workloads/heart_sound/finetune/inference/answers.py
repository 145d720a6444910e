"""Answers for recordings and patients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.prediction import Row
from trainables.workloads.heart_sound.finetune.aggregation import pool, softmax
from trainables.workloads.heart_sound.finetune.config import PoolingMethod
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide


@dataclass(frozen=True)
class CycleAnswer:
    """The answer for one heart cycle, or one window of a model of windows."""

    start_s: float
    end_s: float
    probabilities: Mapping[str, float]
    """By class; empty in a recording without a verdict."""
    weight: float | None = None
    """Of its logits in those of the recording, where the model pools by attention; they add up to 1."""


@dataclass(frozen=True)
class RecordingAnswer:
    """The answer for one recording."""

    name: str
    """Path of the file, or `recording 1` and so on for arrays."""
    patient: str
    """The patient by the file's name or its patient file; else the name without its ending."""
    answer: str | None
    """The class, by the model's decision rule; None where there is no verdict."""
    probabilities: Mapping[str, float]
    """By class, adding up to 1; empty where there is no verdict."""
    reason: str | None
    """Why there is no verdict."""
    cycles: tuple[CycleAnswer, ...]
    """In time order; what the recording's probabilities are pooled from."""
    duration_s: float
    heart_rate_bpm: float | None
    """Beats per minute; None where no cycles were found."""
    signal_quality: float
    """How alike the cycles are, from about 0 (noise) to nearly 1."""
    clipped_ratio: float
    """Share of clipped samples."""
    is_annotated: bool
    """Whether the cycles come from annotated states beside the file, not from the sound."""


@dataclass(frozen=True)
class PatientAnswer:
    """The answer for one patient: every recording with a verdict counts the same."""

    patient: str
    answer: str | None
    """None where no recording has a verdict."""
    probabilities: Mapping[str, float]
    num_recordings: int
    num_without_verdict: int


def pool_recordings(
    patient: str, recordings: Sequence[Mapping[str, float]], task: HeartTask, rule: DecisionRule, how: PoolingMethod
) -> PatientAnswer:
    """Return the answer for a patient, pooled from those of the recordings.

    Logarithms of probabilities are logits up to a constant for each recording, which changes nothing. `recordings` has
    the probabilities of each recording by class, empty for one without a verdict.
    """
    known = [[each[name] for name in task.classes] for each in recordings if each]
    num_without = len(recordings) - len(known)
    if not known:
        return PatientAnswer(patient, None, {}, len(recordings), num_without)
    logits = np.log(np.maximum(np.array(known), np.finfo(np.float64).tiny))
    probabilities = softmax(pool(logits, np.zeros(len(known), np.int64), how, task.positive)[1])
    answer = task.classes[int(decide(probabilities, task, rule)[0])]
    named = dict(zip(task.classes, probabilities[0].tolist(), strict=True))
    return PatientAnswer(patient, answer, named, len(recordings), num_without)


def summarise_patients(
    rows: Sequence[Row], task: HeartTask, rule: DecisionRule, how: PoolingMethod
) -> list[PatientAnswer]:
    """Return an answer for each patient of the table of recordings, in the order of their first recording."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(str(row["patient"]), []).append(_probabilities_in(row, task))
    return [pool_recordings(patient, found, task, rule, how) for patient, found in groups.items()]


def patient_row(answer: PatientAnswer, classes: Iterable[str]) -> dict[str, Any]:
    """Return the row of `patients.csv`."""
    return {
        "patient": answer.patient,
        "answer": answer.answer,
        **probability_columns(answer.probabilities, classes),
        "num_recordings": answer.num_recordings,
        "num_without_verdict": answer.num_without_verdict,
    }


def probability_columns(probabilities: Mapping[str, float], classes: Iterable[str]) -> dict[str, float | None]:
    """Return a column `p(class)` for each class, empty without a verdict."""
    return {f"p({name})": probabilities.get(name) for name in classes}


def _probabilities_in(row: Row, task: HeartTask) -> dict[str, float]:
    values = {name: row[f"p({name})"] for name in task.classes}
    return {name: float(value) for name, value in values.items() if value is not None}
