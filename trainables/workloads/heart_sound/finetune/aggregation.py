"""Aggregation of logits from cycles to recordings to patients: the mean of the logits, then their softmax."""

from dataclasses import dataclass, fields

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the probabilities of each row of logits, [count, classes]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return exponents / exponents.sum(axis=1, keepdims=True)


def pool(logits: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different keys, ascending, and the mean of the logits of each, [keys, classes]."""
    found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), logits.shape[1]))
    np.add.at(sums, inverse, logits)
    return found, sums / counts[:, None]


@dataclass(frozen=True)
class Answers:
    """Logits with the label, patient, recording and quality of each row, as equally long arrays."""

    logits: np.ndarray
    """float64 [count, classes]."""
    label: np.ndarray
    patient: np.ndarray
    recording: np.ndarray
    is_good: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits."""
        return softmax(self.logits)

    def where(self, is_chosen: np.ndarray) -> "Answers":
        """Return the rows for which `is_chosen` holds, or those of these numbers."""
        return Answers(*(getattr(self, field.name)[is_chosen] for field in fields(self)))

    def by(self, keys: np.ndarray) -> "Answers":
        """Return one row for each different key, ascending: the mean of its logits, the rest of its first row."""
        first = np.unique(keys, return_index=True)[1]
        rest = (values[first] for values in (self.label, self.patient, self.recording, self.is_good))
        return Answers(pool(self.logits, keys)[1], *rest)

    def by_recording(self) -> "Answers":
        """Return one row for each recording."""
        return self.by(self.recording)

    def by_patient(self) -> "Answers":
        """Return one row for each patient, in which every recording counts the same.

        Patients whose recordings have different labels are left out.
        """
        recordings = self.by_recording()
        patients = recordings.by(recordings.patient)
        first_label = patients.label[np.searchsorted(patients.patient, recordings.patient)]
        mixed = recordings.patient[recordings.label != first_label]
        return patients.where(~np.isin(patients.patient, mixed))
