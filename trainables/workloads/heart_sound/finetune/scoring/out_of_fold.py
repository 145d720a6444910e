"""Scores over the joined tables of the models of all folds: each subject is tested by the one that never saw it."""

from collections.abc import Sequence

import numpy as np

from trainables.contract.evaluation import EvaluationResult
from trainables.contract.prediction import Row
from trainables.contract.workload_config import BASELINE
from trainables.metrics.classification import score_constants
from trainables.workloads.heart_sound.finetune.aggregation import SCORE, Answers
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.finetune.scoring.details import (
    by_unit,
    draw_calibration,
    find_intervals,
    find_operating_points,
    score_subjects,
)
from trainables.workloads.heart_sound.finetune.scoring.task_scores import best_constant, score_calibration

SPLIT = "test"


def score_rows(config: FinetuneConfig, rows: Sequence[Row]) -> EvaluationResult:
    """Score the test rows of `predictions.csv` of several models, each subject by the answer of its own model's rule.

    Values of the rows may be text, as in CSV files.

    Raises:
        ValueError: There are no test rows, or a subject is in the tables of two models.
    """
    task = config.heart_task
    chosen = [row for row in rows if row["split"] == SPLIT]
    if not chosen:
        raise ValueError("the tables have no rows of the test split")
    numbers = {
        kind: {name: n for n, name in enumerate(dict.fromkeys(str(row[kind]) for row in chosen))}
        for kind in ("patient", "recording")
    }
    labels = {name: number for number, name in enumerate(task.classes)}
    cycles = Answers(
        np.array([[float(str(row[f"logit({name})"])) for name in task.classes] for row in chosen]),
        np.array([labels[str(row["truth"])] for row in chosen]),
        np.array([numbers["patient"][str(row["patient"])] for row in chosen]),
        np.array([numbers["recording"][str(row["recording"])] for row in chosen]),
        np.array([int(str(row["is_good"]) == "True") for row in chosen]),
        np.array([float(str(row[SCORE])) for row in chosen]) if config.has_attention else None,
        pooling=config.pooling,
        positive=task.positive,
    )
    unit = by_unit(cycles, task)
    answer_of, outcome_of = _find_answers(chosen, task.unit)
    names = list(numbers[task.unit])
    subjects = unit.patient if task.unit == "patient" else unit.recording
    predicted = np.array([labels[answer_of[names[number]]] for number in subjects], dtype=np.int64)
    outcomes = [outcome_of.get(name) for name in numbers["patient"]]
    metrics = score_subjects(unit, predicted, task, outcomes) | score_calibration(unit, task)
    metrics |= find_intervals(unit, predicted, task, outcomes) | find_operating_points(unit, task)
    constants = score_constants(unit.label, len(task.classes), positive=task.positive)
    constants |= best_constant(unit, task, outcomes)
    baselines = {f"{BASELINE}{SPLIT}/{name}": value for name, value in constants.items() if name in metrics}
    named = {f"{SPLIT}/{name}": value for name, value in metrics.items()}
    count = {f"{SPLIT}/num_{task.unit}s": float(len(unit.label))}
    return EvaluationResult(named | baselines | count, draw_calibration(SPLIT, unit, task))


def _find_answers(rows: Sequence[Row], unit: str) -> tuple[dict[str, str], dict[str, str | None]]:
    """Return the answer for each subject, and the outcome of each patient."""
    answers: dict[str, str] = {}
    outcomes: dict[str, str | None] = {}
    for row in rows:
        name, answer = str(row[unit]), str(row[f"{unit}_answer"] or "")
        if answer and answers.setdefault(name, answer) != answer:
            raise ValueError(f"{unit} {name} is answered {answers[name]} by one model and {answer} by another")
        outcomes[str(row["patient"])] = str(row["outcome"]) if row.get("outcome") else None
    return answers, outcomes
