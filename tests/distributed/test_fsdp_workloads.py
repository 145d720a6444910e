"""Every workload's gradients with a part of each parameter against those of the complete module."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from data_pipelines.contract.row_draws import TorchDraws, numpy_draws
from tests.contract.conftest import load_smallest
from tests.distributed.launch import spawn_ranks
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig
from trainables.engine.process.collectives import complete
from trainables.engine.step.activation_checkpointing import ActivationCheckpointing
from trainables.engine.step.sharding import find_blocks, shard
from trainables.workloads import WORKLOADS, build_pipeline, build_task

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ROWS = [range(5), range(5, 8)]
"""Rows of each rank."""


NAMES = [*(name for name in WORKLOADS if name != "toy"), "attention"]


def workloads() -> dict[str, WorkloadConfig]:
    """Smallest settings by workload, and those of bags of heart cycles."""
    found = {name: load_smallest(name) for name in WORKLOADS}
    bags = {"workload.pooling.cycles": "attention", "workload.data.cycles_per_bag": 3}
    found["attention"] = found["heart_sound_finetune"].override(bags)
    return {name: experiment.workload for name, experiment in found.items()}


def gradients_of(task: Task, module: nn.Module, batch: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Gradients of one rank's loss, weighted so that their mean over the ranks counts each row alike."""
    rows = ROWS[rank]
    module.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(rank)  # dropout
        own = {name: tensor[rows.start : rows.stop] for name, tensor in batch.items()}
        loss = task.loss(module, own, draws=TorchDraws(rows, lambda *parts: 7, CPU)).loss
        (loss * len(rows) * 2 / ROWS[-1].stop).backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {name: complete(gradient).clone() for name, gradient in gradients.items() if gradient is not None}


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for name, workload in workloads().items():
        pipeline = build_pipeline(workload)
        rows = pipeline.decode(pipeline.make_fake_rows(ROWS[-1].stop, seed=0))
        batch = pipeline.collate_train(rows, numpy_draws(rows.num_rows, 0))
        task = build_task(workload, pipeline.data_spec(), 0)
        module = copy.deepcopy(task.module)
        expected = [gradients_of(task, module, batch, each) for each in range(2)]
        blocks = find_blocks(task.module, task.block_types)
        inside = sum(parameter.numel() for block in blocks for parameter in block.parameters())
        shard(task.module, blocks, CPU, "fp32")
        with ActivationCheckpointing(blocks).active():
            sharded = gradients_of(task, task.module, batch, rank)
        share = inside / sum(parameter.numel() for parameter in module.parameters())
        found[name] = {"expected": expected, "sharded": sharded, "inside": share}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the first rank finds."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    spawn_ranks(_work, folder)
    return torch.load(f"{folder}/0.pt", weights_only=True)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_parts_are_those_of_the_complete_module(found, name):
    first, second = found[name]["expected"]
    mean = {name: (first[name] + second[name]) / 2 for name in first}
    torch.testing.assert_close(found[name]["sharded"], mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_good_part_of_the_parameters_lies_in_blocks(found, name):
    assert found[name]["inside"] > 0.25
