"""Shared settings: cadences, goals, and what a training may not be."""

import math

import pytest
from pydantic import TypeAdapter

from trainables.contract.training_config import (
    Cadence,
    CheckpointCadence,
    EarlyStopping,
    Ema,
    Optimizer,
    Schedule,
    Training,
)
from trainables.contract.workload_config import SelectionMetric


@pytest.mark.parametrize(
    ("written", "count", "unit"),
    [
        ("5 epochs", 5, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("200 steps", 200, "steps"),
        ("1step", 1, "steps"),
        ("  7   steps ", 7, "steps"),
        ({"epochs": 5}, 5, "epochs"),
        ({"steps": 3}, 3, "steps"),
        ({"count": 2, "unit": "epochs"}, 2, "epochs"),
    ],
)
def test_a_cadence_is_read_and_written_back(written, count, unit):
    cadence = Cadence.model_validate(written)
    assert (cadence.count, cadence.unit) == (count, unit)
    assert cadence.model_dump(mode="json") == f"{count} {unit}"
    assert Cadence.model_validate_json(cadence.model_dump_json(), strict=True) == cadence


@pytest.mark.parametrize(
    "written",
    [
        *("", "5", "epochs", "5 days", "1.5 epochs", "-1 steps", "0 steps", "5 epochs 2 steps", 5, None, {}),
        *({"epochs": 0}, {"epochs": 1, "steps": 1}, {"days": 1}, {"epochs": True}, {"epochs": "5"}),
    ],
)
def test_what_is_no_cadence_is_refused(written):
    with pytest.raises(ValueError):
        TypeAdapter(Cadence).validate_python(written, strict=True)


def test_only_checkpoints_come_by_time():
    cadence = CheckpointCadence.model_validate("10 minutes")
    assert cadence.seconds == 600 and cadence.model_dump(mode="json") == "10 minutes"
    assert not cadence.is_due(step=10, epoch=10, ends_epoch=True)
    assert CheckpointCadence.model_validate({"epochs": 5}).seconds is None
    with pytest.raises(ValueError, match="'10 minutes' is no cadence; write for example '5 epochs' or '200 steps'"):
        Training.model_validate({"batch_size": 4, "epochs": 1, "evaluate_every": "10 minutes"})


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_cadence_in_steps_is_due_at_multiples_in_any_epoch(count):
    due = [
        step for step in range(1, 30) if Cadence(count=count, unit="steps").is_due(step=step, epoch=1, ends_epoch=False)
    ]
    assert due == list(range(count, 30, count))
    assert Cadence(count=5, unit="steps").is_due(step=5, epoch=9, ends_epoch=True)


def test_a_cadence_in_epochs_is_due_only_when_such_an_epoch_ends():
    cadence = Cadence(count=3, unit="epochs")
    ends = [(epoch, ends) for epoch in range(1, 10) for ends in (False, True)]
    due = [pair for pair in ends if cadence.is_due(step=3, epoch=pair[0], ends_epoch=pair[1])]
    assert due == [(3, True), (6, True), (9, True)]


@pytest.mark.parametrize(("mode", "better", "worse"), [("min", 0.5, 1.5), ("max", 1.5, 0.5)])
def test_a_goal_prefers_better_values_and_no_equal_ones(mode, better, worse):
    goal = SelectionMetric(metric="m", mode=mode)
    assert goal.is_better(better, 1.0)
    assert not goal.is_better(worse, 1.0) and not goal.is_better(1.0, 1.0)
    assert goal.is_better(worse, None)


@pytest.mark.parametrize(("mode", "sign"), [("min", -1), ("max", 1)])
def test_a_goal_asks_for_more_than_the_margin(mode, sign):
    goal = SelectionMetric(metric="m", mode=mode)
    assert not goal.is_better(1.0 + sign * 0.25, 1.0, margin=0.25)
    assert goal.is_better(1.0 + sign * 0.26, 1.0, margin=0.25)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_never_the_best(mode, value):
    goal = SelectionMetric(metric="m", mode=mode)
    assert not goal.is_better(value, None) and not goal.is_better(value, 1.0)


@pytest.mark.parametrize("length", [{}, {"epochs": 1, "max_steps": 1}])
def test_a_training_has_exactly_one_length(length):
    with pytest.raises(ValueError, match="exactly one of `epochs` and `max_steps`"):
        Training(**length)


def test_every_micro_batch_has_a_sample():
    with pytest.raises(ValueError, match=r"`accumulate` \(9\) must be at most `batch_size` \(8\)"):
        Training(epochs=1, batch_size=8, accumulate=9)
    assert Training(epochs=1, batch_size=8, accumulate=3).accumulate == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"clip_norm": 0.0},
        {"clip_norm": math.inf},
        {"log_every_steps": 0},
        {"checkpoint_every_steps": 0},
        {"keep_checkpoints": 0},
        {"shuffle_window": 0},
        {"max_failures": -1},
        {"precision": "fp64"},
        {"feed": "ray"},
        {"on_nonfinite": "ignore"},
        {"unknown": 1},
    ],
)
def test_a_training_out_of_range_is_refused_by_name(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Training(**{"epochs": 1, **changes})


@pytest.mark.parametrize(
    ("build", "changes"),
    [
        (Optimizer, {"learning_rate": 0.0}),
        (Optimizer, {"learning_rate": math.nan}),
        (Optimizer, {"betas": (0.9, 1.0)}),
        (Optimizer, {"betas": (-0.1, 0.9)}),
        (Optimizer, {"epsilon": 0.0}),
        (Optimizer, {"momentum": 1.0}),
        (Optimizer, {"weight_decay": -1.0}),
        (Schedule, {"warmup_steps": -1}),
        (Schedule, {"final_ratio": 1.1}),
        (Schedule, {"gamma": 0.0}),
        (Schedule, {"name": "step"}),
        (Ema, {"decay": 1.0}),
        (EarlyStopping, {"patience": 0}),
        (EarlyStopping, {"patience": 1, "min_delta": -1.0}),
    ],
)
def test_a_part_out_of_range_is_refused_by_name(build, changes):
    with pytest.raises(ValueError, match=list(changes)[-1]):
        build(**changes)


def test_a_warm_up_is_given_once_and_ends_before_the_training():
    with pytest.raises(ValueError, match="`warmup_steps` or `warmup_epochs`"):
        Schedule(warmup_steps=1, warmup_epochs=1)
    with pytest.raises(ValueError, match=r"`schedule.warmup_epochs` \(5\) must be below `epochs` \(5\)"):
        Training(epochs=5, schedule=Schedule(warmup_epochs=5))
    assert Training(epochs=6, schedule=Schedule(warmup_epochs=5)).epochs == 6


def test_nesterov_without_momentum_is_refused():
    """torch refuses it too, but only once the workers run."""
    with pytest.raises(ValueError, match="momentum"):
        Optimizer(name="sgd", nesterov=True, momentum=0.0)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Training(epochs=1).epochs = 2  # pyright: ignore


def test_a_training_survives_json():
    training = Training(
        epochs=3, ema=Ema(decay=0.5), models_every=Cadence(count=2, unit="steps"), schedule=Schedule(milestones=(1, 2))
    )
    assert Training.model_validate_json(training.model_dump_json(), strict=True) == training


def test_a_compiler_chooses_what_is_computed_again():
    assert Training(epochs=1, activation_checkpointing=True).activation_checkpointing
    with pytest.raises(ValueError, match="give it or `activation_checkpointing`"):
        Training(epochs=1, compile=True, activation_checkpointing=True)


def test_a_run_goes_on_with_other_memory_for_activations(toy):
    assert toy(training={"activation_checkpointing": True}).run.digest == toy().run.digest
