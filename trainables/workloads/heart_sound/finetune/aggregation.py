"""Aggregation of logits from cycles to recordings to patients: the mean of the logits, then their softmax."""

from dataclasses import dataclass, fields

import numpy as np


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
        exponents = np.exp(self.logits - self.logits.max(axis=1, keepdims=True, initial=-np.inf))
        return exponents / exponents.sum(axis=1, keepdims=True)

    def where(self, is_chosen: np.ndarray) -> "Answers":
        """Return the rows for which `is_chosen` holds."""
        return Answers(*(getattr(self, field.name)[is_chosen] for field in fields(self)))

    def by(self, keys: np.ndarray) -> "Answers":
        """Return one row for each different key, ascending: the mean of its logits, the rest of its first row."""
        _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        sums = np.zeros((len(first), self.logits.shape[1]))
        np.add.at(sums, inverse, self.logits)
        return Answers(
            sums / counts[:, None], self.label[first], self.patient[first], self.recording[first], self.is_good[first]
        )

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
