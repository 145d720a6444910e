"""Per-step numbers against means written out."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.engine.files.row_metrics import NonFiniteError, StepMeter


class TwoRanks:
    """Stands for the collectives of two workers, of which the other one has seen `other` more in each value."""

    def __init__(self, other: float = 0.0, world_size: int = 2):
        self.rank, self.world_size, self.other, self.num_sums = 0, world_size, other, 0

    def sum(self, tensor: Tensor) -> Tensor:
        self.num_sums += 1
        return tensor if self.world_size == 1 else 2 * tensor + self.other


def build(world_size: int = 1, other: float = 0.0, stops: bool = True) -> tuple[StepMeter, TwoRanks]:
    ranks: Any = TwoRanks(other, world_size)
    return StepMeter(ranks, stops_on_nonfinite=stops), ranks


def add(meter: StepMeter, step: int, **values: float) -> None:
    meter.add({"step": step, "epoch": 1}, {f"train/{name}": torch.tensor(value) for name, value in values.items()})


def test_rows_hold_the_means_over_the_workers():
    meter, _ = build(world_size=2, other=0.5)
    for step in (1, 2, 3):
        add(meter, step, loss=step * 1.0, accuracy=step * 0.25)
    assert meter.flush() == [
        {"step": step, "epoch": 1, "train/loss": (2 * step + 0.5) / 2, "train/accuracy": (2 * step * 0.25 + 0.5) / 2}
        for step in (1, 2, 3)
    ]


def test_one_worker_keeps_its_own_numbers_to_the_bit_of_float32():
    meter, _ = build()
    values = torch.rand(20, generator=torch.Generator().manual_seed(0))
    for step, value in enumerate(values, 1):
        meter.add({"step": step, "epoch": 1}, {"train/loss": value})
    assert [row["train/loss"] for row in meter.flush()] == values.tolist()


def test_a_flush_does_one_reduction_and_none_without_steps():
    meter, ranks = build(world_size=2)
    assert meter.flush() == [] and ranks.num_sums == 0
    for step in range(1, 30):
        add(meter, step, loss=1.0, a=2.0, b=3.0)
    assert len(meter.flush()) == 29 and ranks.num_sums == 1
    assert meter.flush() == [] and ranks.num_sums == 1


def test_an_overflowed_norm_is_left_out_and_stops_nothing():
    ranks: Any = TwoRanks(0.0, 1)
    meter = StepMeter(ranks, stops_on_nonfinite=True, may_overflow=["train/norm"])
    add(meter, 1, loss=1.0, norm=float("inf"))
    add(meter, 2, loss=2.0, norm=3.0)
    first, second = meter.flush()
    assert "train/norm" not in first and second["train/norm"] == 3.0
    add(meter, 3, loss=float("nan"), norm=float("inf"))
    with pytest.raises(NonFiniteError, match=r"train/loss is not finite at step 3"):
        meter.flush()


def test_one_element_values_of_any_float_type_are_accepted():
    meter, _ = build()
    values = {"a": torch.tensor([0.5], dtype=torch.bfloat16), "b": torch.tensor(0.25, requires_grad=True)}
    meter.add({"step": 1, "epoch": 1}, values)
    assert meter.flush() == [{"step": 1, "epoch": 1, "a": 0.5, "b": 0.25}]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_names_its_step_and_keeps_good_rows(bad):
    meter, _ = build()
    add(meter, 4, loss=1.0, norm=1.0)
    add(meter, 5, loss=2.0, norm=1.0)
    add(meter, 6, loss=3.0, norm=bad)
    add(meter, 7, loss=4.0, norm=1.0)
    with pytest.raises(NonFiniteError, match=r"train/norm is not finite at step 6 \(epoch 1\)") as caught:
        meter.flush()
    assert caught.value.rows == [
        {"step": 4, "epoch": 1, "train/loss": 1.0, "train/norm": 1.0},
        {"step": 5, "epoch": 1, "train/loss": 2.0, "train/norm": 1.0},
    ]


def test_a_value_that_is_not_finite_on_another_worker_counts_too():
    meter, _ = build(world_size=2, other=math.nan)
    add(meter, 1, loss=1.0)
    with pytest.raises(NonFiniteError, match="step 1"):
        meter.flush()


def test_with_skippable_steps_only_the_bad_value_is_left_out():
    meter, _ = build(stops=False)
    for step, loss in enumerate((1.0, math.nan, 3.0), 1):
        add(meter, step, loss=loss, norm=0.5)
    assert [sorted(row) for row in meter.flush()] == [
        ["epoch", "step", "train/loss", "train/norm"],
        ["epoch", "step", "train/norm"],
        ["epoch", "step", "train/loss", "train/norm"],
    ]
    assert meter.end_epoch() == {"train/loss": 2.0, "train/norm": 0.5}


def test_the_epoch_loss_is_the_mean_over_flushes_and_resets():
    meter, _ = build()
    for losses in ((1.0, 2.0), (6.0,)):
        for loss in losses:
            add(meter, 1, loss=loss)
        meter.flush()
    assert meter.end_epoch() == {"train/loss": 3.0}
    assert meter.end_epoch() == {}
    add(meter, 2, loss=5.0)
    meter.flush()
    assert meter.end_epoch() == {"train/loss": 5.0}


def test_the_running_epoch_resumes_bit_for_bit():
    losses = torch.rand(9, generator=torch.Generator().manual_seed(1)).tolist()
    whole, _ = build()
    for loss in losses:
        add(whole, 1, loss=loss)
    whole.flush()
    for cut in range(10):
        first, _ = build()
        for loss in losses[:cut]:
            add(first, 1, loss=loss)
        first.flush()
        second, _ = build()
        second.load_state_dict(first.state_dict())
        for loss in losses[cut:]:
            add(second, 1, loss=loss)
        second.flush()
        assert second.state_dict() == whole.state_dict()


def test_other_names_in_a_later_step_are_our_mistake():
    meter, _ = build()
    add(meter, 1, loss=1.0)
    with pytest.raises(AssertionError, match="changed"):
        add(meter, 2, loss=1.0, more=1.0)


def test_running_epoch_means_survive_a_resume():
    meter, _ = build()
    for loss in (1.0, 2.0):
        add(meter, 1, loss=loss, norm=2 * loss)
    meter.flush()
    assert meter.epoch_means() == {"train/loss": 1.5, "train/norm": 3.0}
    resumed, _ = build()
    resumed.load_state_dict(meter.state_dict())
    add(resumed, 3, loss=6.0, norm=0.0)
    resumed.flush()
    assert resumed.epoch_means() == {"train/loss": 3.0, "train/norm": 2.0}
    resumed.end_epoch()
    assert resumed.epoch_means() == {}


def test_epoch_means_leave_out_what_is_not_finite():
    meter, _ = build(stops=False)
    for loss in (1.0, math.nan, 3.0):
        add(meter, 1, loss=loss, norm=1.0)
    meter.flush()
    assert meter.epoch_means() == {"train/loss": 2.0, "train/norm": 1.0}
