"""Counted bytes of a training against the tensors that it holds."""

import pytest
import torch
from torch import Tensor, nn

from trainables.contract.training_config import Optimizer, Training
from trainables.engine.step.optim import build_optimizer
from trainables.engine.step.state_bytes import count_state_bytes

OPTIMIZERS = [Optimizer(), Optimizer(name="sgd", momentum=0.9), Optimizer(name="sgd", momentum=0.0)]


def bytes_of(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=["adamw", "momentum", "sgd"])
def test_the_bytes_are_those_after_a_step(settings):
    module = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    module[0].requires_grad_(False)
    optimizer = build_optimizer(module, settings)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    counted = count_state_bytes(module, Training(epochs=1, optimizer=settings))
    moments = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    assert counted == {
        "weights": bytes_of(module.parameters()),
        "gradients": bytes_of(parameter.grad for parameter in module.parameters() if parameter.grad is not None),
        "moments": bytes_of(moment for moment in moments if moment.ndim),
        "ema": 0,
    }


def test_the_largest_part_of_each_parameter_counts():
    module = nn.Linear(3, 5)
    training = Training.model_validate({"epochs": 1, "ema": {}})
    counted = count_state_bytes(module, training, num_parts=2)
    assert counted["weights"] == counted["ema"] == 4 * (3 * 3 + 3)
    assert counted["moments"] == 2 * counted["gradients"] == 2 * counted["weights"]
