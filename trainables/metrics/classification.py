"""Classification metrics from labels and class probabilities; an undefined metric is absent, never 0."""

from collections.abc import Sequence

import numpy as np

Scores = dict[str, float]


def count_confusion(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the confusion matrix, int64 [true, predicted]."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def predict(probabilities: np.ndarray, *, positive: int) -> np.ndarray:
    """Return the likeliest class of each row; among equals the clinical positive, then the first."""
    tied = probabilities >= probabilities.max(axis=1, keepdims=True)
    return np.where(tied[:, positive], positive, tied.argmax(axis=1))


def score(
    labels: np.ndarray, probabilities: np.ndarray, *, positive: int, predicted: np.ndarray | None = None
) -> Scores:
    """Compute accuracy, F1, precision, recall, sensitivity, specificity, AUROC and AUPRC from rows of probabilities.

    Two classes: those of the positive class. More: means over the classes; see `score_confusion`. `labels` are the
    integer class of each row, `probabilities` [rows, classes], `positive` is the clinical positive, and `predicted` the
    answered class of each row, by default the likeliest.
    """
    if not len(labels):
        return {}
    num_classes = probabilities.shape[1]
    answers = predict(probabilities, positive=positive) if predicted is None else predicted
    confusion = count_confusion(labels, answers, num_classes)
    scores = score_confusion(confusion, positive=positive)
    classes = [positive] if num_classes == 2 else list(range(num_classes))
    areas = {
        "auroc": [compute_auroc(labels == c, probabilities[:, c]) for c in classes],
        "auprc": [compute_average_precision(labels == c, probabilities[:, c]) for c in classes],
    }
    return scores | {name: mean for name, values in areas.items() if (mean := _mean(values)) is not None}


def score_confusion(confusion: np.ndarray, *, positive: int) -> Scores:
    """Compute the metrics that follow from counts [true, predicted].

    Two classes: of the positive one, and `f1_macro` over both. More: means over the classes that occur among labels or
    predictions, a class without predictions having precision 0; sensitivity and recall over those among the labels.
    """
    total = confusion.sum()
    if total == 0:
        return {}
    hits = confusion.diagonal().astype(float)
    actual, claimed = confusion.sum(1).astype(float), confusion.sum(0).astype(float)
    recall = [_ratio(hit, count) for hit, count in zip(hits, actual, strict=True)]
    precision = [_ratio(hit, count) for hit, count in zip(hits, claimed, strict=True)]
    f1 = [_ratio(2 * hit, both) for hit, both in zip(hits, actual + claimed, strict=True)]
    rejected = [_ratio(total - a - c + h, total - a) for h, a, c in zip(hits, actual, claimed, strict=True)]
    found = {"accuracy": hits.sum() / total, "f1_macro": _mean(f1)}
    if len(confusion) == 2:
        found |= {"f1": f1[positive], "precision": precision[positive], "recall": recall[positive]}
        found |= {"sensitivity": recall[positive], "specificity": rejected[positive]}
    else:
        occurring = [p or 0.0 for p, both in zip(precision, actual + claimed, strict=True) if both]
        found |= {"f1": _mean(f1), "precision": _mean(occurring), "recall": _mean(recall)}
        found |= {"sensitivity": _mean(recall), "specificity": _mean(rejected)}
    return {name: float(value) for name, value in found.items() if value is not None}


def score_constants(labels: np.ndarray, num_classes: int, *, positive: int) -> Scores:
    """Compute the best value of each score that any constant answer reaches on these labels.

    Each score is taken by itself; AUROC is then 1/2.
    """
    best: Scores = {}
    for answer in range(num_classes):
        confusion = count_confusion(labels, np.full_like(labels, answer), num_classes)
        for name, value in score_confusion(confusion, positive=positive).items():
            best[name] = max(value, best.get(name, value))
    areas = score(labels, np.full((len(labels), num_classes), 1 / num_classes), positive=positive)
    return best | {name: areas[name] for name in ("auroc", "auprc") if name in areas}


def compute_auroc(is_positive: np.ndarray, values: np.ndarray) -> float | None:
    """Compute the probability that a positive has a higher value than a negative, ties counting half.

    Returns None without positives or without negatives.
    """
    num_positive = int(is_positive.sum())
    num_negative = len(is_positive) - num_positive
    if not num_positive or not num_negative:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[is_positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def compute_average_precision(is_positive: np.ndarray, values: np.ndarray) -> float | None:
    """Sum over thresholds the precision times the gain in recall, without interpolation; None without positives."""
    if not is_positive.any():
        return None
    recall, precision = precision_recall_curve(is_positive, values)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def precision_recall_curve(is_positive: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision at every threshold, from the highest; needs a positive."""
    hits, alarms = _counts_above(is_positive, values)
    return hits / is_positive.sum(), hits / (hits + alarms)


def roc_curve(is_positive: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates at every threshold, from (0, 0); needs both kinds."""
    hits, alarms = _counts_above(is_positive, values)
    rates = alarms / (~is_positive).sum(), hits / is_positive.sum()
    return np.insert(rates[0], 0, 0.0), np.insert(rates[1], 0, 0.0)


def _counts_above(is_positive: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-values, kind="stable")
    lasts = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    return np.cumsum(is_positive[order])[lasts], np.cumsum(~is_positive[order])[lasts]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
