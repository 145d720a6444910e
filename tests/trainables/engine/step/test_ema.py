"""The moving average of the weights against a loop over parameters."""

import pytest
import torch
from torch import nn

from trainables.contract.training_config import Ema
from trainables.engine.step.ema import EmaModel, compute_decay


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))


def change(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
        for buffer in module.buffers():
            buffer.add_(1)


@pytest.mark.parametrize("has_warmup", [False, True])
def test_the_average_is_that_of_a_loop_over_the_parameters(has_warmup):
    settings = Ema(decay=0.9, has_warmup=has_warmup)
    module = build()
    ema = EmaModel(module, settings)
    expected = [parameter.detach().clone() for parameter in module.parameters()]
    for update in range(40):
        change(module, update)
        ema.update_parameters(module)
        decay = min(0.9, (1 + update) / (10 + update)) if has_warmup else 0.9
        for mean, parameter in zip(expected, module.parameters(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * parameter.detach())
        for mean, parameter in zip(expected, ema.module.parameters(), strict=True):
            torch.testing.assert_close(parameter.detach(), mean, rtol=1e-5, atol=1e-6)


def test_the_average_equals_a_lerp_per_parameter_bit_for_bit():
    module = build()
    ema = EmaModel(module, Ema(decay=0.99))
    change(module, 0)
    ema.update_parameters(module)
    before = [parameter.detach().clone() for parameter in ema.module.parameters()]
    change(module, 1)
    ema.update_parameters(module)
    for old, parameter, mean in zip(before, module.parameters(), ema.module.parameters(), strict=True):
        assert torch.equal(mean, torch.lerp(old, parameter.detach(), 1.0 - 0.99))


def test_two_averages_of_the_same_course_are_equal_to_the_bit():
    results = []
    for _ in range(2):
        module = build()
        ema = EmaModel(module, Ema(decay=0.99, has_warmup=True))
        for seed in range(5):
            change(module, seed)
            ema.update_parameters(module)
        results.append(ema.module.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_decay_of_zero_copies_the_weights():
    module = build()
    ema = EmaModel(module, Ema(decay=0.0))
    for seed in range(3):
        change(module, seed)
        ema.update_parameters(module)
        for mean, parameter in zip(ema.module.parameters(), module.parameters(), strict=True):
            assert torch.equal(mean, parameter)


def test_buffers_are_copied_as_they_are():
    module = build()
    ema = EmaModel(module, Ema(decay=0.999))
    for seed in range(3):
        change(module, seed)
        ema.update_parameters(module)
        for mean, buffer in zip(ema.module.buffers(), module.buffers(), strict=True):
            assert torch.equal(mean, buffer) and mean.dtype == buffer.dtype and mean is not buffer


def test_before_the_first_update_the_average_is_the_module():
    module = build()
    ema = EmaModel(module, Ema(decay=0.999))
    for name, value in module.state_dict().items():
        assert torch.equal(ema.module.state_dict()[name], value)


def test_the_average_is_a_frozen_copy_in_eval_mode():
    module = build()
    ema = EmaModel(module, Ema(decay=0.5))
    change(module, 0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    ema.update_parameters(module)
    assert not ema.module.training and module.training
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(("num_updates", "expected"), [(0, 0.1), (1, 2 / 11), (80, 0.9), (81, 0.9), (10**6, 0.9)])
def test_the_warm_up_rises_to_the_decay(num_updates, expected):
    assert compute_decay(Ema(decay=0.9, has_warmup=True), num_updates) == pytest.approx(expected)
    assert compute_decay(Ema(decay=0.9), num_updates) == 0.9
