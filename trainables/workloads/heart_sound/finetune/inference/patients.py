"""Answers for patients, pooled from those of their recordings as in the evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.prediction import Row
from trainables.workloads.heart_sound.finetune.aggregation import pool, softmax
from trainables.workloads.heart_sound.finetune.config import PoolingMethod
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide
from trainables.workloads.heart_sound.finetune.inference.answers import PatientAnswer


def pool_recordings(
    patient: str, recordings: Sequence[Mapping[str, float]], task: HeartTask, rule: DecisionRule, how: PoolingMethod
) -> PatientAnswer:
    """Return the answer for a patient, pooled from those of the recordings.

    Logarithms of probabilities are logits up to a constant for each recording, which changes nothing.

    Args:
        patient: The name.
        recordings: Probabilities of each recording by class; empty for one without a verdict.
        task: The classes.
        rule: The model's decision rule.
        how: The model's pooling of recordings.
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
