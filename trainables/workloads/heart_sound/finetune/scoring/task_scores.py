"""Scores of one split: by cycle, recording and patient, the challenge's own, and those of constant answers."""

from collections.abc import Sequence

import numpy as np

from data_pipelines.heart_sounds.tasks import LOWER_IS_BETTER, HeartTask
from trainables.metrics.calibration import brier_score, expected_calibration_error
from trainables.metrics.classification import Scores, count_confusion, score, score_confusion, score_constants
from trainables.metrics.heart_scores import (
    MURMUR_WEIGHTS,
    OUTCOME_WEIGHTS,
    any_present,
    compute_cost,
    modified_accuracy,
    weighted_accuracy,
)
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, decide

ABNORMAL = "Abnormal"
"""The outcome of a patient who is ill."""


def score_split(
    cycles: Answers, task: HeartTask, rule: DecisionRule, outcomes: Sequence[str | None] = ()
) -> tuple[Scores, Scores]:
    """Return scores by name, those of the task's unit without a prefix; and the best of any constant answer for each.

    If every recording is a patient of its own, as without PhysioNet's appendix, both levels are the same. The score
    that the rule was learnt for is also given of argmax, as `argmax_<score>`. The loss is that of what is trained:
    cycles, or with attention recordings. The rule holds for all levels. Of CirCor's murmurs `outcomes` are each
    patient's clinical outcome, by number; without them there is no cost.
    """
    recordings, patients = cycles.by_recording(), cycles.by_patient()
    unit = patients if task.unit == "patient" else recordings
    samples = recordings if cycles.pooling.cycles == "attention" else cycles
    scores = {"loss": _cross_entropy(samples), **_score(unit, task, rule)}
    levels = {"cycle": cycles, "recording": recordings, "patient": patients}
    for name, level in levels.items():
        if name == task.unit or not len(level.label):
            continue
        scores |= {f"{name}_{key}": value for key, value in _score(level, task, rule).items()}
    predicted = decide(unit.probabilities, task, rule)
    scores |= score_calibration(unit, task)
    scores |= _per_class(unit.label, predicted, task) | score_challenge(unit, predicted, task, outcomes)
    if task.classes[0] == "Present":
        scores |= _score_any_present(recordings, unit, task, rule)
    if rule.score is not None:
        likeliest = decide(unit.probabilities, task, argmax_rule(task))
        value = score_answers(rule.score, unit, likeliest, task, outcomes)
        scores |= {} if value is None else {f"argmax_{rule.score}": value}
    constants = score_constants(unit.label, len(task.classes), positive=task.positive)
    return scores, constants | {"loss": _prior_entropy(samples)} | best_constant(unit, task, outcomes)


def score_challenge(
    unit: Answers, predicted: np.ndarray, task: HeartTask, outcomes: Sequence[str | None] = ()
) -> Scores:
    """Compute weighted accuracy and cost of CirCor, or MAcc of PhysioNet 2016.

    The cost of murmur answers is counted by the patients' outcomes (`evaluate_model.py` of the Challenge 2022): Present
    and Unknown are referred, and Abnormal patients are ill. It is left out unless every patient's outcome is known.
    """
    found: dict[str, float | None] = {}
    confusion = count_confusion(unit.label, predicted, len(task.classes))
    if task.database == "circor" and len(task.classes) == 3:
        found["weighted_accuracy"] = weighted_accuracy(confusion, MURMUR_WEIGHTS)
        known = [outcomes[patient] for patient in unit.patient] if outcomes else [None]
        if None not in known:
            found["cost"] = compute_cost(np.array(known) == ABNORMAL, predicted < 2)
    elif task.database == "circor":
        found["weighted_accuracy"] = weighted_accuracy(confusion, OUTCOME_WEIGHTS)
        found["cost"] = compute_cost(unit.label == 1, predicted == 1)
    elif task.database == "physionet2016":
        result = modified_accuracy(unit.label == 1, np.where(predicted == 1, 1, -1), unit.is_good == 1)
        found["macc"] = result.score if result else None
    return {name: value for name, value in found.items() if value is not None}


def score_answers(
    name: str, unit: Answers, predicted: np.ndarray, task: HeartTask, outcomes: Sequence[str | None]
) -> float | None:
    """Compute one of the task's `decision_scores` of the answers `predicted`; None when it is undefined."""
    of_challenge = score_challenge(unit, predicted, task, outcomes)
    if name in of_challenge:
        return of_challenge[name]
    return score_confusion(count_confusion(unit.label, predicted, len(task.classes)), positive=task.positive).get(name)


def _score(level: Answers, task: HeartTask, rule: DecisionRule) -> Scores:
    predicted = decide(level.probabilities, task, rule)
    return score(level.label, level.probabilities, positive=task.positive, predicted=predicted)


def _score_any_present(recordings: Answers, patients: Answers, task: HeartTask, rule: DecisionRule) -> Scores:
    """Compute the weighted accuracy when any recording's murmur counts as the patient's."""
    answers = decide(recordings.probabilities, task, rule)
    predicted = np.array([any_present(answers[recordings.patient == each]) for each in patients.patient])
    value = weighted_accuracy(count_confusion(patients.label, predicted, 3), MURMUR_WEIGHTS)
    return {} if value is None else {"weighted_accuracy_any_present": value}


def score_calibration(unit: Answers, task: HeartTask) -> Scores:
    """Compute Brier score and calibration error, of two classes for the clinical positive, else for the likeliest."""
    probabilities, likeliest = unit.probabilities, unit.probabilities.argmax(axis=1, keepdims=True)
    if len(task.classes) == 2:
        error = expected_calibration_error(probabilities[:, task.positive], unit.label == task.positive)
    else:
        confidence = np.take_along_axis(probabilities, likeliest, axis=1)[:, 0]
        error = expected_calibration_error(confidence, likeliest[:, 0] == unit.label)
    found = {"brier": brier_score(probabilities, unit.label), "calibration_error": error}
    return {name: value for name, value in found.items() if value is not None}


def _per_class(labels: np.ndarray, predicted: np.ndarray, task: HeartTask) -> Scores:
    """Compute sensitivity and specificity of each class against the others, for tasks of more than two."""
    if len(task.classes) == 2:
        return {}
    found: Scores = {}
    for label, name in enumerate(task.classes):
        for measure, rows, right in (("sensitivity", labels == label, True), ("specificity", labels != label, False)):
            if rows.any():
                found[f"{measure}_{name.lower()}"] = float(((predicted[rows] == label) == right).mean())
    return found


def best_constant(unit: Answers, task: HeartTask, outcomes: Sequence[str | None]) -> Scores:
    """Compute the best value of each of the challenge's scores that any constant answer reaches."""
    best: Scores = {}
    for answer in range(len(task.classes)):
        for name, value in score_challenge(unit, np.full_like(unit.label, answer), task, outcomes).items():
            pick = min if name in LOWER_IS_BETTER else max
            best[name] = pick(value, best.get(name, value))
    return best


def _cross_entropy(answers: Answers) -> float:
    likely = answers.probabilities[np.arange(len(answers.label)), answers.label]
    return float(-np.log(np.maximum(likely, 1e-12)).mean())


def _prior_entropy(answers: Answers) -> float:
    """Compute the loss of always answering with the true shares of the classes."""
    shares = np.bincount(answers.label) / len(answers.label)
    return float((shares[shares > 0] * -np.log(shares[shares > 0])).sum())
