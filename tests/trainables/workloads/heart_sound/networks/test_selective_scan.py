"""The scan against plain loops, in values and in gradients, by steps and by chunks."""

import pytest
import torch

from trainables.workloads.heart_sound.networks import selective_scan as selective_scan_module
from trainables.workloads.heart_sound.networks.selective_scan import (
    linear_recurrence,
    scan_for_export,
    scan_plainly,
    selective_scan,
)


@pytest.fixture(params=[0, 10**9], ids=["steps", "chunks"])
def way(request, monkeypatch):
    monkeypatch.setattr(selective_scan_module, "BUSY_STEP", request.param)


def tensors(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    decay = torch.rand(2, length, 6, 4, generator=generator)
    return decay, torch.randn(2, length, 6, 4, generator=generator)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 250])
def test_states_and_gradients_are_those_of_the_plain_loop(length, way):
    results = []
    for function in (linear_recurrence, scan_plainly):
        decay, update = (tensor.clone().requires_grad_() for tensor in tensors(length))
        states = function(decay, update)
        (states * torch.linspace(-1, 1, states.numel()).reshape(states.shape)).sum().backward()
        results.append((states, decay.grad, update.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 250])
def test_the_states_of_an_exported_scan_are_those_of_the_plain_loop(length):
    torch.testing.assert_close(scan_for_export(*tensors(length)), scan_plainly(*tensors(length)), atol=1e-5, rtol=1e-5)


def test_a_long_decay_neither_overflows_nor_loses_precision(way):
    decay = torch.full((1, 250, 1, 1), 1e-30)
    update = torch.ones(1, 250, 1, 1)
    torch.testing.assert_close(linear_recurrence(decay, update), update)


def test_the_selective_scan_is_the_recurrence_of_the_paper(way):
    generator = torch.Generator().manual_seed(0)
    x, b, c = (torch.randn(2, 9, size, generator=generator) for size in (3, 4, 4))
    dt, a, d = torch.rand(2, 9, 3, generator=generator), -torch.rand(3, 4, generator=generator), torch.arange(3.0)
    for batch in range(2):
        for channel in range(3):
            h = torch.zeros(4)
            for t in range(9):
                step = dt[batch, t, channel]
                h = torch.exp(step * a[channel]) * h + step * b[batch, t] * x[batch, t, channel]
                y = (c[batch, t] * h).sum() + d[channel] * x[batch, t, channel]
                assert float(selective_scan(x, dt, a, b, c, d)[batch, t, channel]) == pytest.approx(float(y), abs=1e-5)


@pytest.mark.parametrize("has_gradient", [True, False])
def test_the_selective_scan_is_of_full_precision_under_autocast(has_gradient):
    generator = torch.Generator().manual_seed(0)
    x, b, c = (torch.randn(2, 9, size, generator=generator) for size in (3, 4, 4))
    arguments = (
        x,
        torch.rand(2, 9, 3, generator=generator),
        -torch.rand(3, 4, generator=generator),
        b,
        c,
        torch.ones(3),
    )
    with torch.set_grad_enabled(has_gradient):
        expected = selective_scan(*arguments)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(selective_scan(*arguments), expected)


def test_gradients_of_the_selective_scan_are_exact():
    torch.manual_seed(0)
    x, b, c = (torch.randn(1, 5, size, requires_grad=True) for size in (2, 3, 3))
    dt = torch.rand(1, 5, 2, requires_grad=True)
    a = (-torch.rand(2, 3)).requires_grad_()
    selective_scan(x, dt, a, b, c, torch.ones(2)).square().sum().backward()
    for tensor in (x, dt, a, b, c):
        index = tuple(size - 1 for size in tensor.shape)
        values = []
        for sign in (1, -1):
            moved = {id(each): each.detach().clone() for each in (x, dt, a, b, c)}
            moved[id(tensor)][index] += sign * 1e-2
            values.append(selective_scan(*(moved[id(each)] for each in (x, dt, a, b, c)), torch.ones(2)).square().sum())  # pyright: ignore
        assert tensor.grad is not None
        assert float(tensor.grad[index]) == pytest.approx(float(values[0] - values[1]) / 2e-2, rel=0.02, abs=2e-3)
