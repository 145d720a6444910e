"""Decoded rows that the trials of a search read from the object store, instead of each decoding them."""

import hashlib
import pickle
from collections.abc import Iterable

from trainables.plan import Plan
from trainables.ray_train.run_datasets import RunDatasets, build_datasets


class SharedRows:
    """Datasets of the experiments of a search that keep their rows resident."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        """Decode the rows of each plan. Raises RunError when a shard cannot be read."""
        self.datasets: dict[str, RunDatasets] = {}
        for plan in plans:
            key = _key_of(plan)
            if plan.feed == "resident" and key not in self.datasets:
                self.datasets[key] = build_datasets(plan)

    def find(self, plan: Plan) -> str | None:
        """Return the key of the datasets that hold a trial's rows; None when the trial decodes its rows itself."""
        key = _key_of(plan)
        return key if plan.feed == "resident" and key in self.datasets else None


def _key_of(plan: Plan) -> str:
    """Return a digest of the folder and of the pipeline's settings; compare it within one process only."""
    workload = plan.run.workload
    settings = type(workload).model_validate(workload.model_dump())  # however it was made
    pipeline = plan.workload.build_pipeline(settings)
    return hashlib.sha256(pickle.dumps((plan.prepared.uri, pipeline))).hexdigest()
