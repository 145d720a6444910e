"""Learning of the decision rule: the class multipliers that are best for a score of the validation subjects."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from data_pipelines.heart_sounds.tasks import LOWER_IS_BETTER, HeartTask
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, decide
from trainables.workloads.heart_sound.finetune.scoring.task_scores import score_answers

MOST_RULES = 4096
"""Rules that are tried: for two classes every one that answers differently, up to so many subjects."""
MARGIN = 1.0
"""Distance of the outermost rules from the outermost subjects, in log odds."""


def learn_rule(unit: Answers, task: HeartTask, score: str, outcomes: Sequence[str | None] = ()) -> DecisionRule:
    """Return the rule that is best for a score; argmax when the score is undefined for these subjects.

    Tried are the multipliers at which some subject's answer between the first class and another one changes. Of several
    best rules it is the one nearest to the middle of all of them, so that new subjects near a boundary may move either
    way. The answers `unit` are for the validation subjects, in the task's unit, and `score` is one of the task's
    `decision_scores`. `outcomes` are clinical outcomes by patient, for the cost of murmurs.
    """
    tried = _rules_to_try(unit.probabilities)
    rules = (DecisionRule(tuple(np.exp(each))) for each in tried)
    found = [score_answers(score, unit, decide(unit.probabilities, task, rule), task, outcomes) for rule in rules]
    if not len(unit.label) or None in found:
        return argmax_rule(task)
    values = np.array(found, dtype=np.float64) * (-1 if score in LOWER_IS_BETTER else 1)
    is_best = values >= values.max() - 1e-12
    best = tried[1:][is_best[1:]] if is_best[1:].any() else tried[:1]
    chosen = best[np.abs(best - best.mean(axis=0)).sum(axis=1).argmin()]
    shares = np.exp(chosen - chosen.max())
    return DecisionRule(tuple((shares / shares.sum()).tolist()), score)


def _rules_to_try(probabilities: np.ndarray) -> np.ndarray:
    """Return logarithms of multipliers, [rules, classes], 0 for the first class; argmax is the first."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    num_classes = logs.shape[1]
    most = int(MOST_RULES ** (1 / (num_classes - 1)))
    axes = [_boundaries(logs[:, 0] - logs[:, label], most) for label in range(1, num_classes)]
    return np.array([(0.0,) * num_classes, *((0.0, *each) for each in product(*axes))])


def _boundaries(odds: np.ndarray, most: int) -> np.ndarray:
    """Return values between all neighbouring log odds and beyond both ends; at most `most`, at even ranks."""
    known = np.unique(odds)
    if not len(known):
        return np.zeros(1)
    between = np.concatenate([[known[0] - MARGIN], (known[:-1] + known[1:]) / 2, [known[-1] + MARGIN]])
    if len(between) <= most:
        return between
    return between[np.linspace(0, len(between) - 1, most).round().astype(int)]
