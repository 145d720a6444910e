"""Counted operations against those of the layers, and a training that does not feel the count."""

import torch

from data_pipelines.contract.row_draws import torch_draws
from tests.trainables.engine.step.test_train_step import SquareTask, bits, build, make_batch, same, step
from trainables.engine.step.flops import count_flops
from trainables.engine.step.train_step import StepPart


def test_operations_are_those_of_the_layers_forward_and_back():
    parts = [StepPart(make_batch(seed), torch_draws(1, seed=0)) for seed in (0, 1)]
    forward = 2 * 8 * (3 * 4 + 4 * 1)
    backward = forward + 2 * 8 * 4 * 1  # of weights, and of the second layer's input
    assert count_flops(build(SquareTask()), parts) == 2 * (forward + backward)


def test_a_count_changes_neither_weights_nor_random_numbers():
    counted, plain = build(SquareTask(has_norm=True)), build(SquareTask(has_norm=True))
    torch.manual_seed(3)
    for number in range(3):
        before = torch.get_rng_state()
        count_flops(counted, [StepPart(make_batch(number), torch_draws(1, seed=0))])
        assert torch.equal(torch.get_rng_state(), before)
        assert all(parameter.grad is None for parameter in counted.task.module.parameters())
        assert torch.equal(
            step(counted, make_batch(number))["train/loss"], step(plain, make_batch(number))["train/loss"]
        )
    assert same(bits(counted.task.module), bits(plain.task.module))
