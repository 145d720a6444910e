"""Parameters that the loss does not depend on are named after the first step."""

import pytest
import torch
from torch import nn

from tests.trainables.engine.step.test_train_step import SquareTask, build, make_batch, step


def test_parameters_without_a_gradient_are_named():
    task = SquareTask()
    task.module.register_parameter("unused", nn.Parameter(torch.zeros(2)))
    task.module.register_module("side", nn.Identity().requires_grad_(False))
    with pytest.raises(ValueError, match=r"does not depend on 1 trainable parameter\(s\): unused; use them .* freeze"):
        step(build(task), make_batch(0))


def test_frozen_parameters_need_no_gradient():
    task = SquareTask()
    task.module.register_parameter("frozen", nn.Parameter(torch.zeros(2), requires_grad=False))
    assert step(build(task), make_batch(0), make_batch(1))["train/loss"].isfinite()


def test_many_parameters_without_a_gradient_are_not_all_named():
    task = SquareTask()
    for number in range(12):
        task.module.register_parameter(f"unused{number}", nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match=r"on 12 trainable parameter\(s\): unused0, .*unused9, \.\.\.;"):
        step(build(task), make_batch(0))
