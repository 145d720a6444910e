"""Prediction of many inputs on a cluster: Ray Data's batch inference by a pool of actors, each with the model."""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import ray
import ray.data
import torch

from trainables.contract.prediction import Input
from trainables.inference.loading import choose_device
from trainables.inference.model_files import load_state
from trainables.inference.predict_folder import PredictionPlan, Work, predict_and_write
from trainables.inference.prediction_record import Result

BATCH = 4
"""Inputs that an actor takes at a time."""


class _Worker:
    """An actor of the pool."""

    def __init__(self, plan: PredictionPlan, state: Any, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        self._plan = plan
        self._predictor = plan.build_predictor(ray.get(state), choose_device())

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        items = (pickle.loads(item) for item in batch["item"])
        return {"result": [pickle.dumps(predict_and_write(self._predictor, item, self._plan.out)) for item in items]}


def work_on_ray(plan: PredictionPlan, *, num_workers: int, cpus: float, gpus: float) -> Work:
    """Return work that is done by actors all over the cluster, as many as there are inputs for.

    The weights are read by this process when there is an input; each machine gets them once. Every machine must reach
    the folder of the results, and the inputs. `num_workers` is the most actors at a time, and `cpus` and `gpus` are
    those of one.
    """

    def work(inputs: Sequence[Input]) -> Iterator[Result]:
        if not inputs:
            return
        # as bytes, which Arrow holds without a warning
        rows = [{"item": pickle.dumps(item)} for item in inputs]
        items = ray.data.from_items(rows, override_num_blocks=-(-len(inputs) // BATCH))
        results = items.map_batches(
            _Worker,
            fn_constructor_args=(plan, ray.put(load_state(plan.model)), max(int(cpus), 1)),
            batch_size=BATCH,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(num_workers, -(-len(inputs) // BATCH))),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in results.iter_rows():
            yield pickle.loads(row["result"])

    return work
