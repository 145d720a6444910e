"""The decision rule: which class is answered for given probabilities, in evaluation and prediction alike."""

import numpy as np

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.metrics.classification import predict


def decide(probabilities: np.ndarray, task: HeartTask) -> np.ndarray:
    """Return the answer of each row of probabilities, int64: the likeliest class, among equals the clinical positive.

    Args:
        probabilities: [rows, classes], of cycles, recordings or patients.
        task: Its classes.
    """
    return predict(probabilities, positive=task.positive)
