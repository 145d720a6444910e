"""One step of the optimization against torch written out."""

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from data_pipelines.contract.row_draws import TorchDraws, torch_draws
from trainables.contract.task import LossOutput, Task
from trainables.contract.training_config import Ema, Optimizer, Schedule, Training
from trainables.engine.step.train_step import Length, Optimization, StepPart

CPU = torch.device("cpu")


class SquareTask:
    """Squared error of a small network; remembers the dtype of its output."""

    parameter_groups = Task.parameter_groups

    def __init__(self, has_norm: bool = False):
        torch.manual_seed(0)
        norm = [nn.BatchNorm1d(4)] if has_norm else []
        self.module = nn.Sequential(nn.Linear(3, 4), *norm, nn.Tanh(), nn.Linear(4, 1))
        self.dtypes: list[torch.dtype] = []

    def loss(self, module: nn.Module, batch: Any, *, draws: TorchDraws) -> LossOutput:
        output = module(batch["x"]).squeeze(1)
        self.dtypes.append(output.dtype)
        error = output.float() - batch["y"]
        return LossOutput(error.square().mean(), {"abs": error.abs().mean()})


def make_batch(seed: int, count: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(count, 3, generator=generator), "y": 5 * torch.randn(count, generator=generator)}


def build(task: Any, **settings: Any) -> Optimization:
    training = Training(**{"epochs": 1, "optimizer": Optimizer(name="sgd", learning_rate=0.1), **settings})
    return Optimization(task, training, length=Length(1, 10, 10), device=CPU, wrap=lambda module: module)


def step(optimization: Optimization, *batches: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    optimization.task.module.train()
    num_rows = [len(next(iter(batch.values()))) for batch in batches]
    weights = [count / sum(num_rows) for count in num_rows]
    draws = torch_draws(1, seed=0)
    return optimization.step([StepPart(batch, draws, of) for batch, of in zip(batches, weights, strict=True)])


def bits(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("clip_norm", [None, 0.01, 1e6])
def test_steps_are_those_of_torch_with_its_own_clipping(clip_norm):
    task = SquareTask()
    reference = copy.deepcopy(task)
    optimization = build(task, clip_norm=clip_norm)
    optimizer = torch.optim.SGD(reference.module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for number in range(4):
        metrics = step(optimization, make_batch(number))
        output = reference.loss(reference.module, make_batch(number), draws=torch_draws(1, seed=0))
        output.loss.backward()
        norm = clip_grad_norm_(reference.module.parameters(), clip_norm or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        assert metrics["train/loss"].item() == output.loss.item()
        assert metrics["train/abs"].item() == output.metrics["abs"].item()
        assert metrics["train/grad_norm"].item() == norm.item()
        assert same(bits(task.module), bits(reference.module))


def test_clipping_bounds_the_step():
    for clip_norm in (1e-3, 1e-2):
        task = SquareTask()
        optimization = build(
            task, clip_norm=clip_norm, optimizer=Optimizer(name="sgd", learning_rate=1.0, weight_decay=0.0)
        )
        before = bits(task.module)
        step(optimization, make_batch(0))
        moved = torch.cat([(value - before[name]).flatten() for name, value in task.module.state_dict().items()])
        assert moved.norm().item() == pytest.approx(clip_norm, rel=1e-3)


def test_accumulated_micro_batches_take_the_full_batch_step():
    whole, parts = SquareTask(), SquareTask()
    batch = make_batch(0, count=8)
    first = step(build(whole), batch)
    micro = [{name: value[low : low + 2] for name, value in batch.items()} for low in range(0, 8, 2)]
    second = step(build(parts), *micro)
    for name in first:
        assert first[name].item() == pytest.approx(second[name].item(), rel=1e-5), name
    for one, two in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_only_the_last_micro_batch_is_synchronised():
    """DistributedDataParallel reduces in `backward` unless told not to."""
    calls: list[str] = []

    class Wrapped(nn.Module):
        def __init__(self, module: nn.Module):
            super().__init__()
            self.module = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append("forward")
            return self.module(x)

        def no_sync(self):
            calls.append("no_sync")
            return nullcontext()

    training = Training(epochs=1, optimizer=Optimizer(name="sgd"))
    optimization = Optimization(SquareTask(), training, length=Length(1, 10, 10), device=CPU, wrap=Wrapped)  # pyright: ignore
    step(optimization, *(make_batch(number) for number in range(3)))
    assert calls == ["no_sync", "forward", "no_sync", "forward", "forward"]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_forward_pass_is_mixed_and_weights_stay_float32(precision, dtype):
    task = SquareTask()
    metrics = step(build(task, precision=precision), make_batch(0))
    assert task.dtypes == [dtype]
    assert all(parameter.dtype == torch.float32 for parameter in task.module.parameters())
    assert all(value.dtype == torch.float32 for value in metrics.values())


@pytest.mark.parametrize("has_norm", [False, True], ids=["weights", "weights-and-running-means"])
def test_a_skipped_step_leaves_the_module_untouched_to_the_bit(has_norm):
    task = SquareTask(has_norm)
    optimization = build(task, on_nonfinite="skip", ema=Ema(decay=0.5), schedule=Schedule(name="linear"))
    step(optimization, make_batch(0))
    before, averaged, optimizer = (
        bits(task.module),
        bits(optimization.evaluated),
        copy.deepcopy(optimization.optimizer.state_dict()),
    )
    rate = optimization.learning_rate
    bad = make_batch(1)
    bad["x"][3, 1] = float("nan")
    metrics = step(optimization, bad)
    assert not torch.isfinite(metrics["train/loss"]) and not torch.isfinite(metrics["train/grad_norm"])
    assert optimization.num_skipped == 1
    assert same(bits(task.module), before)
    assert same(bits(optimization.evaluated), averaged)
    momenta = [optimization.optimizer.state_dict()["state"], optimizer["state"]]
    assert all(
        torch.equal(momenta[0][key]["momentum_buffer"], momenta[1][key]["momentum_buffer"]) for key in momenta[1]
    )
    assert optimization.learning_rate < rate  # the schedule goes on
    step(optimization, make_batch(2))
    assert optimization.num_skipped == 1 and not same(bits(task.module), before)
    assert all(torch.isfinite(value).all() for value in task.module.state_dict().values())


def test_a_gradient_is_not_carried_into_the_next_step():
    first, second = build(SquareTask(), on_nonfinite="skip"), build(SquareTask(), on_nonfinite="skip")
    bad = make_batch(1)
    bad["y"][0] = float("inf")
    step(first, bad)
    for optimization in (first, second):
        step(optimization, make_batch(2))
    assert same(bits(first.task.module), bits(second.task.module))


def test_an_fp16_overflow_skips_the_step_and_halves_the_scale():
    task = SquareTask()
    optimization = build(task, precision="fp16")
    before, scale = bits(task.module), optimization.scaler.get_scale()
    bad = make_batch(1)
    bad["y"][0] = float("inf")
    metrics = step(optimization, bad)
    assert same(bits(task.module), before)
    assert optimization.scaler.get_scale() == scale / 2
    assert not metrics["train/grad_norm"].isfinite()


def test_the_rate_of_a_step_is_the_one_it_is_told_before():
    task = SquareTask()
    optimization = build(
        task,
        optimizer=Optimizer(name="sgd", learning_rate=0.4, momentum=0.0, weight_decay=0.0),
        schedule=Schedule(warmup_steps=4),
    )
    for number in range(5):
        before, rate = bits(task.module), optimization.learning_rate
        assert rate == pytest.approx(0.4 * min(1.0, (number + 1) / 4))
        reference = copy.deepcopy(task)
        reference.loss(reference.module, make_batch(number), draws=torch_draws(1, seed=0)).loss.backward()
        step(optimization, make_batch(number))
        for name, parameter in reference.module.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(task.module.state_dict()[name], before[name] - rate * parameter.grad)


def test_channels_last_is_how_convolutions_lie_in_memory():
    class Convolution(SquareTask):
        def __init__(self):
            super().__init__()
            self.module = nn.Sequential(nn.Conv2d(3, 4, 3))

    for channels_last in (False, True):
        optimization = build(Convolution(), channels_last=channels_last)
        weight = optimization.task.module.get_parameter("0.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_channels_last_leaves_3d_convolutions_unchanged():
    class Convolutions(SquareTask):
        def __init__(self):
            super().__init__()
            self.module = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Conv2d(4, 5, 3))

    weights = dict(build(Convolutions(), channels_last=True).task.module.named_parameters())
    assert weights["0.weight"].is_contiguous()
    assert weights["1.weight"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_every_build_may_compile_as_often_as_the_first(monkeypatch):
    """torch counts what modules of one class compiled, and runs the ninth and all after it eagerly."""
    resets: list[bool] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(True))
    optimization = build(SquareTask(), compile=True)
    optimization.rebuild()
    assert len(resets) == 2
    build(SquareTask()).rebuild()
    assert len(resets) == 2


def test_frozen_parameters_are_not_updated_or_in_the_norm():
    task, free = SquareTask(), SquareTask()
    task.module.get_parameter("0.weight").requires_grad_(False)
    before = bits(task.module)
    norms = [step(build(item), make_batch(0))["train/grad_norm"].item() for item in (task, free)]
    assert torch.equal(task.module.state_dict()["0.weight"], before["0.weight"])
    assert norms[0] < norms[1]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_loaded_optimization_resumes_bit_for_bit(name, precision):
    settings: dict[str, Any] = {
        "optimizer": Optimizer(name=name, learning_rate=0.05),
        "schedule": Schedule(name="cosine", warmup_steps=2),
        "ema": Ema(decay=0.9, has_warmup=True),
        "precision": precision,
    }
    whole = build(SquareTask(), **settings)
    for number in range(3):
        step(whole, make_batch(number))
    resumed = build(SquareTask(), **settings)
    assert whole.ema is not None
    state = copy.deepcopy((bits(whole.task.module), bits(whole.ema.module), whole.state_dict()))
    resumed.load(*state, origin="test")
    for number in range(3, 6):
        one, two = (step(optimization, make_batch(number)) for optimization in (whole, resumed))
        assert {name: value.item() for name, value in one.items()} == {
            name: value.item() for name, value in two.items()
        }
    assert same(bits(whole.task.module), bits(resumed.task.module))
    assert same(bits(whole.evaluated), bits(resumed.evaluated))
    assert whole.learning_rate == resumed.learning_rate


def test_another_architecture_is_refused_before_loading():
    optimization, other = build(SquareTask()), build(SquareTask(has_norm=True))
    before = bits(optimization.task.module)
    with pytest.raises(ValueError, match="here is of another architecture"):
        optimization.load(bits(other.task.module), None, other.state_dict(), origin="here")
    assert same(bits(optimization.task.module), before)


def test_replaced_parameters_train_on_the_same_schedule():
    task = SquareTask()
    optimization = build(task, schedule=Schedule(name="linear"), ema=Ema(decay=0.5))
    for number in range(3):
        step(optimization, make_batch(number))
    rate = optimization.learning_rate
    task.module = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    optimization.rebuild()
    assert optimization.learning_rate == rate == pytest.approx(0.1 * 0.7)
    before = bits(task.module)
    assert same(bits(optimization.evaluated), before)
    step(optimization, make_batch(4))
    assert not any(torch.equal(value, before[name]) for name, value in task.module.state_dict().items())
