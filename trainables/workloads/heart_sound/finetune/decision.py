"""The decision rule: which class is answered for given probabilities, in evaluation and prediction alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.metrics.classification import predict


@dataclass(frozen=True)
class DecisionRule:
    """The class is answered whose multiplier times its probability is largest; of two classes, a threshold.

    It is the least expected cost where right answers of each class are worth its multiplier (Elkan, "The Foundations of
    Cost-Sensitive Learning", 2001).
    """

    multipliers: tuple[float, ...]
    """One for each class, above 0; only their ratios count."""
    score: str | None = None
    """The score of the validation subjects that they were learnt for; None: argmax."""

    def as_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return it as plain data, for the model's metadata and card."""
        return {"score": self.score, "multipliers": dict(zip(classes, self.multipliers, strict=True))}


def argmax_rule(task: HeartTask) -> DecisionRule:
    """Return the rule that answers the likeliest class."""
    return DecisionRule((1.0,) * len(task.classes))


def read_rule(learnt: Mapping[str, Any], task: HeartTask) -> DecisionRule:
    """Return the rule that a model keeps, by what it has learnt (`Task.learnt`); argmax for a model without one."""
    kept = learnt.get("decision")
    if kept is None:
        return argmax_rule(task)
    return DecisionRule(tuple(float(kept["multipliers"][name]) for name in task.classes), kept["score"])


def decide(probabilities: np.ndarray, task: HeartTask, rule: DecisionRule) -> np.ndarray:
    """Return the answer of each row of probabilities, int64; among equals the clinical positive, then the first class.

    `probabilities` are [rows, classes], of cycles, recordings or patients.
    """
    return predict(probabilities * np.array(rule.multipliers), positive=task.positive)
