"""Aggregation of logits from cycles to recordings to patients, by the workload's pooling."""

from dataclasses import dataclass, field, replace

import numpy as np

from trainables.workloads.heart_sound.finetune.config import CyclePoolingMethod, Pooling

SCORE = "attention_score"
"""Column of the attention scores in `predictions.csv`."""
_TINY = np.finfo(np.float64).tiny
_NEARLY_ONE = 1 - np.finfo(np.float64).eps
_COLUMNS = ("logits", "label", "patient", "recording", "is_good", "scores")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the probabilities of each row of logits, [count, classes]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return exponents / exponents.sum(axis=1, keepdims=True)


def separate(outputs: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the logits, [count, classes], and the attention scores, [count], that a network returns for cycles.

    The scores are None where there is no attention.
    """
    return outputs[:, :num_classes], outputs[:, num_classes] if outputs.shape[1] > num_classes else None


def weigh_by_attention(scores: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Compute the softmax of the scores over all rows that share a key (Ilse et al. 2018, equation 9)."""
    found, inverse = np.unique(keys, return_inverse=True)
    largest = np.full(len(found), -np.inf)
    np.maximum.at(largest, inverse, scores)
    exponents = np.exp(scores - largest[inverse])
    return exponents / np.bincount(inverse, exponents, len(found))[inverse]


def pool(
    logits: np.ndarray, keys: np.ndarray, how: CyclePoolingMethod, positive: int, scores: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pool the logits of the rows that share a key.

    Args:
        logits: [count, classes].
        keys: One for each row.
        how: `logits`: their mean. `probabilities`: the mean of the probabilities. `noisy_or`: the positive class has
            1 - prod(1 - p), as if each row showed it by itself, and the others share the rest as in the mean.
            `most_positive`: those of the row with the largest probability of the positive class. `attention`: their
            mean with the weights softmax(scores).
        positive: Number of the positive class.
        scores: Attention scores, [count]; for `attention` alone.

    Returns:
        The different keys, ascending, and the logits of each, [keys, classes], up to a constant in each row.
    """
    found, inverse = np.unique(keys, return_inverse=True)
    if how == "logits":
        return found, _means(logits, inverse, len(found))
    if how == "attention":
        assert scores is not None, "a network with attention gives scores"
        pooled = np.zeros((len(found), logits.shape[1]))
        np.add.at(pooled, inverse, weigh_by_attention(scores, keys)[:, None] * logits)
        return found, pooled
    probabilities = softmax(logits)
    if how == "most_positive":
        order = np.lexsort((-probabilities[:, positive], inverse))
        return found, logits[order[np.unique(inverse[order], return_index=True)[1]]]
    means = _means(probabilities, inverse, len(found))
    if how == "noisy_or":
        no_row = np.zeros(len(found))
        np.add.at(no_row, inverse, np.log1p(-np.minimum(probabilities[:, positive], _NEARLY_ONE)))
        pooled = np.log(np.maximum(means, _TINY))
        others = np.arange(logits.shape[1]) != positive
        rest = np.maximum(means[:, others].sum(axis=1), _TINY)
        pooled[:, others] += (no_row - np.log(rest))[:, None]
        pooled[:, positive] = np.log(np.maximum(-np.expm1(no_row), _TINY))
        return found, pooled
    return found, np.log(np.maximum(means, _TINY))


def _means(values: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    sums = np.zeros((num_groups, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums / np.bincount(groups, minlength=num_groups)[:, None]


@dataclass(frozen=True)
class Answers:
    """Logits with the label, patient, recording and quality of each row, as equally long arrays."""

    logits: np.ndarray
    """float64 [count, classes]."""
    label: np.ndarray
    patient: np.ndarray
    recording: np.ndarray
    is_good: np.ndarray
    scores: np.ndarray | None = None
    """Attention scores of cycles, where they are pooled by attention."""
    pooling: Pooling = field(default_factory=Pooling, kw_only=True)
    positive: int = field(default=0, kw_only=True)
    """Number of the clinical positive, which some poolings set apart."""

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits."""
        return softmax(self.logits)

    def where(self, is_chosen: np.ndarray) -> "Answers":
        """Return the rows for which `is_chosen` holds, or those of these numbers."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return replace(self, **{name: each[is_chosen] for name, each in columns.items() if each is not None})

    def by(self, keys: np.ndarray, how: CyclePoolingMethod) -> "Answers":
        """Return one row for each different key, ascending: its pooled logits, the rest of its first row."""
        first = self.where(np.unique(keys, return_index=True)[1])
        return replace(first, logits=pool(self.logits, keys, how, self.positive, self.scores)[1], scores=None)

    def by_recording(self) -> "Answers":
        """Return one row for each recording."""
        return self.by(self.recording, self.pooling.cycles)

    def by_patient(self) -> "Answers":
        """Return one row for each patient, in which every recording counts the same.

        Patients whose recordings have different labels are left out.
        """
        recordings = self.by_recording()
        patients = recordings.by(recordings.patient, self.pooling.recordings)
        first_label = patients.label[np.searchsorted(patients.patient, recordings.patient)]
        mixed = recordings.patient[recordings.label != first_label]
        return patients.where(~np.isin(patients.patient, mixed))
