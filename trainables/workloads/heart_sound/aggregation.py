"""From cycles to recordings to patients: the mean of the logits, then their softmax."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answers:
    """Logits with what is known of each row, as equally long arrays."""

    logits: np.ndarray
    """float64 [count, classes]."""
    label: np.ndarray
    subject: np.ndarray
    recording: np.ndarray
    is_good: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits."""
        exponents = np.exp(self.logits - self.logits.max(axis=1, keepdims=True, initial=-np.inf))
        return exponents / exponents.sum(axis=1, keepdims=True)

    def by(self, keys: np.ndarray) -> "Answers":
        """One row for each different key, in ascending order: the mean of its logits, the rest of its first row."""
        _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        sums = np.zeros((len(first), self.logits.shape[1]))
        np.add.at(sums, inverse, self.logits)
        return Answers(
            sums / counts[:, None], self.label[first], self.subject[first], self.recording[first], self.is_good[first]
        )

    def by_recording(self) -> "Answers":
        """One row for each recording."""
        return self.by(self.recording)

    def by_patient(self) -> "Answers":
        """One row for each subject, in which every recording counts the same."""
        recordings = self.by_recording()
        return recordings.by(recordings.subject)
