"""Tiny images, a tiny network, and collectives for the tests of this workload."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.ranks import Ranks, run_ranks, solo
from tests.tasks import seeded
from trainables.contract.evaluation import EvaluationResult
from trainables.contract.train_context import StartContext
from trainables.workloads.flow_matching.config import Evaluation, FlowMatchingConfig, Network, Pictures, Sampling
from trainables.workloads.flow_matching.reference import features
from trainables.workloads.flow_matching.task import FlowMatchingTask

__all__ = [
    "CPU",
    "DATA_SPEC",
    "Ranks",
    "begin",
    "begun_task",
    "evaluate",
    "run_ranks",
    "settings",
    "solo",
    "start_of",
    "tiny_config",
    "tiny_rows",
]

CPU = torch.device("cpu")
DATA_SPEC = {"channels": 1, "height": 4, "width": 4, "class_names": ["dark", "light", "mixed"]}


def tiny_config(**changes: Any) -> FlowMatchingConfig:
    """A network of a few thousand parameters on 4x4 images of three classes."""
    sampling = Sampling(solver="euler", nfe=2, guidance=1.0)
    settings: dict[str, Any] = {
        "network": Network(base_channels=8, channel_multipliers=(1, 2), num_res_blocks=1, num_heads=2, num_groups=4),
        "evaluation": Evaluation(num_samples=22, batch_size=5, metric="both", sampling=sampling),
        "pictures": Pictures(
            num_per_class=2,
            sampling=sampling,
            comparisons=(Sampling(solver="euler", nfe=4), Sampling(solver="heun", nfe=4, guidance=1.0)),
        ),
    }
    return FlowMatchingConfig(**(settings | changes))


def tiny_rows(num_rows: int = 48, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images whose brightness tells the class, with the classes at 1/2, 1/4, 1/4."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.tensor([0, 1, 0, 2]).repeat(num_rows // 4)
    noise = torch.randint(0, 60, (num_rows, 1, 4, 4), generator=generator)
    image = noise + 90 * label[:, None, None, None]
    return image.to(torch.uint8), label


def start_of(collectives: Ranks, num_rows: int = 48) -> StartContext:
    """This rank's share of the rows, every world_size-th, in batches of 10."""

    def batches(split: str) -> Iterator[dict[str, Tensor]]:
        assert split == "train"
        images, labels = (rows[collectives.rank :: collectives.world_size] for rows in tiny_rows(num_rows))
        for image, label in zip(images.split(10), labels.split(10), strict=True):
            yield {"image": image, "label": label}

    return StartContext(batches, collectives, CPU, seed=3)


def begin(task: FlowMatchingTask, start: StartContext) -> FlowMatchingTask:
    """As the engine begins a run."""
    task.on_train_start(start)
    task.prepare_evaluation(start)
    return task


BUILDING = threading.Lock()
"""The ranks are threads that share torch's global random state, which a module's initialisation borrows."""


def begun_task(collectives: Ranks, config: FlowMatchingConfig | None = None) -> FlowMatchingTask:
    """A task that is ready to be evaluated, whose network does something."""
    with BUILDING:
        task = seeded(FlowMatchingTask)(config or tiny_config(), DATA_SPEC, seed=3)
    begin(task, start_of(collectives))
    nn.init.normal_(task.module.get_parameter("conv_out.weight"), std=0.3, generator=torch.Generator().manual_seed(5))
    task.module.eval()
    return task


def evaluate(collectives: Ranks, config: FlowMatchingConfig | None = None) -> EvaluationResult:
    """The evaluation of a `begun_task`."""
    task = begun_task(collectives, config)
    return task.evaluator(collectives, CPU).compute(task.module)


def settings(**changes: Any) -> Evaluation:
    """Those of the tiny evaluation, some of them changed."""
    return tiny_config().evaluation.model_copy(update=changes)


@pytest.fixture(autouse=True)
def quick_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of the feature network's training."""
    monkeypatch.setattr(features, "NUM_STEPS", 10)
    monkeypatch.setattr(features, "BATCH_SIZE", 16)
