"""Steps of two processes with a part of each parameter against steps of one process with all rows."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from data_pipelines.contract.row_draws import TorchDraws, torch_draws
from tests.distributed.launch import spawn_ranks
from trainables.contract.task import LossOutput, ParameterGroup
from trainables.contract.training_config import Training
from trainables.engine.loop import throughput
from trainables.engine.loop.throughput import Utilization
from trainables.engine.process.collectives import complete
from trainables.engine.step.sharding import gather
from trainables.engine.step.state_bytes import count_state_bytes
from trainables.engine.step.train_step import Length, Optimization, StepPart

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ADAM = {"learning_rate": 0.01, "weight_decay": 0.1, "decays_norms": False}
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
CASES: dict[str, dict[str, Any]] = {
    "adamw, clipped, averaged": {"optimizer": ADAM, "clip_norm": 0.5, "ema": {"decay": 0.5}},
    "sgd, two micro-batches": {"optimizer": SGD, "accumulate": 2},
    "bf16": {"optimizer": ADAM, "precision": "bf16"},
    "fp16, overflows at first": {"optimizer": ADAM, "precision": "fp16", "ema": {"decay": 0.5}},
    "a step is skipped": {"optimizer": ADAM, "on_nonfinite": "skip", "ema": {"decay": 0.5}},
    "activations computed again": {"optimizer": ADAM, "activation_checkpointing": True},
    "compiled": {"optimizer": ADAM, "compile": True},
}
BAD_STEP, NUM_STEPS, NUM_ROWS = 1, 4, 9
FIRST_RANK = 5
"""Rows of the first of two ranks."""


class Block(nn.Module):
    """Rows and features that two ranks cannot share evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.tanh(self.norm(self.first(x))))


class BlockTask:
    """Squared error of two blocks between layers; a parameter is frozen."""

    block_types = (Block,)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(3, 7), Block(), Block(), nn.Linear(7, 1))
        self.module[0].bias.requires_grad_(False)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        first, *others = list(self.module.parameters())
        return [ParameterGroup("first", [first], 0.5), ParameterGroup("others", others)]

    def loss(self, module: nn.Module, batch: Any, *, draws: TorchDraws) -> LossOutput:
        error = module(batch["x"]).squeeze(1).float() - batch["y"]
        return LossOutput(error.square().mean(), {"abs": error.abs().mean()})


def rows_of(step: int, rank: int | None, is_bad: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(NUM_ROWS, 3, generator=generator), torch.randn(NUM_ROWS, generator=generator)
    if is_bad and step == BAD_STEP:
        x[-1] = float("nan")
    own = {None: slice(None), 0: slice(FIRST_RANK), 1: slice(FIRST_RANK, None)}[rank]
    return x[own], y[own]


def take_steps(settings: dict[str, Any], rank: int | None = None) -> dict[str, Any]:
    """Losses, norms and all that is kept after some steps of one rank of two, or of one process."""
    if rank is not None:
        torch.compiler.reset()
    task: Any = BlockTask()
    training = Training.model_validate({"epochs": 1, **settings})
    optimization = Optimization(
        task, training, length=Length(1, 9, 9), device=CPU, wrap=lambda module: module, is_sharded=rank is not None
    )
    losses, norms, watched = [], [], {}
    utilization = Utilization(CPU, training.precision, is_wanted=rank == 0)  # rank 0 alone counts its operations

    def watch(module: nn.Module) -> None:
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        watched.update({name: complete(each).clone() for name, each in gradients.items() if each is not None})

    for step in range(NUM_STEPS):
        x, y = rows_of(step, rank, "on_nonfinite" in settings)
        share = len(x) / NUM_ROWS * (1 if rank is None else 2)
        parts = [
            StepPart({"x": of_x, "y": of_y}, torch_draws(1, seed=0), share * len(of_x) / len(x))
            for of_x, of_y in zip(x.tensor_split(training.accumulate), y.tensor_split(training.accumulate), strict=True)
        ]
        with mock.patch.object(throughput, "find_peak", lambda device, precision: 1e9), utilization.counting():
            found = optimization.step(parts, watch)
        losses.append(float(found["train/loss"]))
        norms.append(float(found["train/grad_norm"].nan_to_num(posinf=-1.0, nan=-1.0)))
    model = gather(optimization.task.module.state_dict(), is_kept=True)
    ema = gather(optimization.ema.module.state_dict(), is_kept=True) if optimization.ema else None
    state = {**optimization.state_dict(), "optimizer": gather(optimization.optimizer.state_dict(), is_kept=True)}
    evaluated = optimization.complete_evaluated()(torch.ones(2, 3)).detach()
    return {
        **{"losses": losses, "norms": norms, "model": model, "ema": ema, "state": state, "evaluated": evaluated},
        **{"watched": watched, "held": count_held(optimization), "utilization": utilization.ratio(1.0)},
    }


def count_held(optimization: Optimization) -> dict[str, tuple[int, int]]:
    """Numbers of this rank, and of all, by what they are."""
    moments = [value for values in optimization.optimizer.state.values() for value in values.values() if value.ndim]
    tensors = {"weights": list(optimization.task.module.parameters()), "moments": moments}
    if optimization.ema:
        tensors["ema"] = list(optimization.ema.module.parameters())
    return {
        name: (sum(part_of(tensor).numel() for tensor in each), sum(tensor.numel() for tensor in each))
        for name, each in tensors.items()
    }


def part_of(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save({name: take_steps(settings, rank) for name, settings in CASES.items()}, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both ranks find in each case."""
    folder = str(tmp_path_factory.mktemp("ranks"))
    spawn_ranks(_work, folder)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_with_parts_step_as_one_process(ranks, name):
    one, (first, second) = take_steps(CASES[name]), (each[name] for each in ranks)
    # in low precision the gradients of a batch and of its parts are rounded differently
    is_low = "precision" in CASES[name]
    near: dict[str, Any] = {"rel": 2e-2, "abs": 5e-3} if is_low else {"rel": 1e-5, "abs": 1e-6}
    losses = [(a + b) / 2 for a, b in zip(first["losses"], second["losses"], strict=True)]
    assert losses == pytest.approx(one["losses"], nan_ok=True, **near)
    assert first["norms"] == pytest.approx(one["norms"], **near)
    assert second["norms"] == pytest.approx(first["norms"])
    for found in (one, first):
        found["groups"] = found["state"]["optimizer"].pop("param_groups")
    assert first["groups"] == one["groups"]
    for kind in ("model", "ema", "state", "evaluated", "watched"):
        for found in (first, second) if kind == "evaluated" else [first]:
            torch.testing.assert_close(found[kind], one[kind], rtol=near["rel"], atol=near["abs"])


def test_operations_are_counted_in_a_step_of_both_ranks(ranks):
    forward = 2 * FIRST_RANK * (3 * 7 + 2 * 2 * 5 * 7 + 7)
    backward = 2 * forward - 2 * FIRST_RANK * 3 * 7  # nobody asks for the gradient of the input
    found = ranks[0]["adamw, clipped, averaged"]["utilization"]
    assert found == pytest.approx((forward + backward) / 1e9)
    assert ranks[1]["adamw, clipped, averaged"]["utilization"] is None


def test_a_rank_holds_about_half_of_everything(ranks):
    for rank, found in enumerate(ranks):
        held = found["adamw, clipped, averaged"]["held"]
        training = Training.model_validate({"epochs": 1, **CASES["adamw, clipped, averaged"]})
        counted = count_state_bytes(BlockTask().module, training, 2)
        if rank == 0:  # its parts are the larger ones
            assert {name: counted[name] for name in held} == {name: 4 * part for name, (part, _) in held.items()}
        assert all(0.35 * whole < part < 0.65 * whole for part, whole in held.values()), held
