"""Steps with activations that are computed again against steps that keep them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data_pipelines.contract.row_draws import torch_draws
from trainables.contract.task import LossOutput, Task
from trainables.contract.training_config import Training
from trainables.engine.step.activation_checkpointing import ActivationCheckpointing
from trainables.engine.step.sharding import find_blocks
from trainables.engine.step.train_step import Length, Optimization, StepPart

CPU = torch.device("cpu")
NUM_BLOCKS, WIDTH, ROWS = 4, 16, 32


class Block(nn.Module):
    """Batch norm and dropout, whose states could move twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH),
            nn.BatchNorm1d(4 * WIDTH),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(4 * WIDTH, WIDTH),
        )

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        return x + scale * self.layers(x)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(NUM_BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, scale=0.5)
        return x


class NetworkTask:
    parameter_groups = Task.parameter_groups
    block_types: tuple[type[nn.Module], ...] = (Block,)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = Network()

    def loss(self, module: nn.Module, batch: Any, *, draws: Any) -> LossOutput:
        return LossOutput(module(batch).square().mean())


def train(task: Any, **settings: Any) -> dict[str, Tensor]:
    """Weights, running statistics and losses of three steps."""
    training = Training.model_validate({"epochs": 1, "ema": {"decay": 0.5}, **settings})
    optimization = Optimization(task, training, length=Length(1, 3, 3), device=CPU, wrap=lambda module: module)
    torch.manual_seed(1)
    found = {}
    for step in range(3):
        part = StepPart(torch.randn(ROWS, WIDTH), torch_draws(1, seed=0))
        found[f"loss {step}"] = optimization.step([part])["train/loss"]
    averaged = {f"ema {name}": value for name, value in optimization.evaluated.state_dict().items()}
    return found | averaged | task.module.state_dict()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_the_same_to_the_bit(precision):
    kept = train(NetworkTask(), precision=precision)
    again = train(NetworkTask(), precision=precision, activation_checkpointing=True)
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def bytes_kept(checkpointing: ActivationCheckpointing, module: nn.Module) -> int:
    """Bytes that autograd keeps for the backward pass, parameters left out."""
    parameters = {parameter.data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    inputs = torch.randn(ROWS, WIDTH, requires_grad=True)
    with checkpointing.active(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(inputs)
    assert output.requires_grad
    return sum(kept.values())


def test_a_block_keeps_little_but_its_input():
    module = Network()
    kept = bytes_kept(ActivationCheckpointing([]), module)
    assert bytes_kept(ActivationCheckpointing(list(module.blocks)), module) < kept / 4


def test_blocks_are_as_ever_afterwards():
    module = Network()
    checkpointing = ActivationCheckpointing(list(module.blocks))
    with pytest.raises(RuntimeError, match="inside"), checkpointing.active():
        assert "forward" in vars(module.blocks[0])
        raise RuntimeError("inside")
    assert all("forward" not in vars(block) for block in module.blocks)


def test_a_network_without_blocks_is_refused_by_name():
    task = NetworkTask()
    task.block_types = ()
    with pytest.raises(ValueError, match=r"Network has none: NetworkTask\.block_types names"):
        train(task, activation_checkpointing=True)


def test_blocks_inside_of_blocks_are_not_counted_twice():
    first, second, last = Block(), Block(), nn.Linear(1, 1)
    module = nn.Sequential(first, nn.Sequential(second, last))
    assert find_blocks(module, (Block, nn.Linear)) == [first, second, last]
