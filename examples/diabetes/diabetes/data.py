"""442 patients (Efron et al. 2004, "Least angle regression"), from scikit-learn."""

import numpy as np
from sklearn.datasets import load_diabetes

from data_pipelines.contract.pipeline import Split
from data_pipelines.prepared.sources.array_pipeline import ArrayPipeline

from .config import DiabetesConfig

SPLITS: dict[Split, slice] = {"train": slice(0, 310), "val": slice(310, 376), "test": slice(376, 442)}


def build_pipeline(config: DiabetesConfig) -> ArrayPipeline:
    """Measurements and progression in units of the training patients' deviation, around their mean."""
    measurements, progression = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
    order = np.random.default_rng(0).permutation(len(progression))
    x, y = measurements[order], progression[order]
    train = SPLITS["train"]
    x = ((x - x[train].mean(0)) / x[train].std(0)).astype(np.float32)
    y = ((y - y[train].mean()) / y[train].std()).astype(np.float32)
    return ArrayPipeline({split: {"x": x[rows], "y": y[rows]} for split, rows in SPLITS.items()}, name="diabetes")
