"""The scores of the heart-sound challenges, as their organisers define them."""

from dataclasses import dataclass

import numpy as np

MURMUR_WEIGHTS = (5, 3, 1)
"""Present, Unknown, Absent (George B. Moody PhysioNet Challenge 2022)."""
OUTCOME_WEIGHTS = (1, 5)
"""Normal, Abnormal."""


def weighted_accuracy(confusion: np.ndarray, weights: tuple[int, ...]) -> float | None:
    """Compute right answers over all, each counted with the weight of its true class; None without answers."""
    actual = confusion.sum(1) @ np.array(weights)
    return float(confusion.diagonal() @ np.array(weights) / actual) if actual else None


def compute_cost(is_ill: np.ndarray, is_referred: np.ndarray) -> float | None:
    """Compute the cost per patient of screening by algorithm and expert (Challenge 2022); lower is better.

    Referrals cost more per patient the more of them there are; treatment 10,000 and a missed patient 50,000.
    """
    count = len(is_ill)
    if not count:
        return None
    referred = is_referred.mean()
    expert = 25 + 397 * referred - 1718 * referred**2 + 11296 * referred**4
    treated, missed = (is_ill & is_referred).sum(), (is_ill & ~is_referred).sum()
    return float(10 + expert + 10_000 * treated / count + 50_000 * missed / count)


def any_present(recordings: np.ndarray) -> int:
    """Return a patient's murmur from its recordings: Present if any is, else Unknown if any is, else Absent."""
    return int(recordings.min())  # the classes are in this order


@dataclass(frozen=True)
class QualityWeights:
    """Shares of good and of poor recordings among the abnormal and among the normal ones."""

    abnormal: tuple[float, float]
    normal: tuple[float, float]


@dataclass(frozen=True)
class ModifiedAccuracy:
    """The score of the PhysioNet/CinC Challenge 2016."""

    sensitivity: float
    specificity: float

    @property
    def score(self) -> float:
        """The modified accuracy (MAcc)."""
        return (self.sensitivity + self.specificity) / 2


def modified_accuracy(
    is_abnormal: np.ndarray, answers: np.ndarray, is_good: np.ndarray, weights: QualityWeights | None = None
) -> ModifiedAccuracy | None:
    """Compute the score; None unless there are both normal and abnormal recordings.

    Answers are 1 abnormal, -1 normal, and 0 unsure, which is right for poor recordings and wrong for good ones.
    `weights` are by default the shares in these recordings; a stratum without recordings is left out.
    """
    if not is_abnormal.any() or is_abnormal.all():
        return None
    known = weights or QualityWeights(_shares(is_good[is_abnormal]), _shares(is_good[~is_abnormal]))
    return ModifiedAccuracy(
        _weighted_rate(answers[is_abnormal], is_good[is_abnormal], 1, known.abnormal),
        _weighted_rate(answers[~is_abnormal], is_good[~is_abnormal], -1, known.normal),
    )


def _shares(is_good: np.ndarray) -> tuple[float, float]:
    share = float(is_good.mean())
    return share, 1 - share


def _weighted_rate(answers: np.ndarray, is_good: np.ndarray, right: int, weights: tuple[float, float]) -> float:
    good, poor = answers[is_good] == right, np.isin(answers[~is_good], (right, 0))
    return sum(weight * float(hits.mean()) for weight, hits in zip(weights, (good, poor), strict=True) if len(hits))
