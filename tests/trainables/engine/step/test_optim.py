"""Optimisers and learning rates against formulas written out."""

import math

import pytest
import torch
from torch import nn

from trainables.contract.task import ParameterGroup
from trainables.contract.training_config import Optimizer, Schedule
from trainables.engine.step.optim import RateSchedule, build_optimizer, compute_factor, learning_rates, load_optimizer

STEPS, PER_EPOCH = 60, 7


def factors(num_steps: int = STEPS, **settings) -> list[float]:
    return [compute_factor(step, Schedule(**settings), num_steps, PER_EPOCH) for step in range(num_steps)]


def test_a_constant_rate_is_constant():
    assert factors() == [1.0] * STEPS


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "multistep"])
@pytest.mark.parametrize("warmup", [1, 5, 12])
def test_the_warm_up_rises_linearly_and_ends_at_the_peak(name, warmup):
    found = factors(name=name, warmup_steps=warmup, milestones=(100,))
    assert found[:warmup] == pytest.approx([(number + 1) / warmup for number in range(warmup)])
    assert found[warmup - 1] == 1.0 and found[warmup] == pytest.approx(1.0)


@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0, 5])
def test_cosine_is_half_a_cosine_from_peak_to_final_ratio(warmup, final):
    found = factors(name="cosine", warmup_steps=warmup, final_ratio=final)
    for step in range(warmup, STEPS):
        angle = math.pi * (step - warmup) / (STEPS - warmup)
        assert found[step] == pytest.approx(final + (1 - final) * (math.cos(angle) + 1) / 2)


@pytest.mark.parametrize("final", [0.0, 0.25])
@pytest.mark.parametrize("warmup", [0, 5])
def test_linear_is_a_straight_line_from_peak_to_final_ratio(warmup, final):
    found = factors(name="linear", warmup_steps=warmup, final_ratio=final)
    for step in range(warmup, STEPS):
        assert found[step] == pytest.approx(1 + (final - 1) * (step - warmup) / (STEPS - warmup))


@pytest.mark.parametrize(("name", "end"), [("cosine", 0.1), ("linear", 0.1)])
def test_after_the_last_step_the_factor_stays_at_the_final_share(name, end):
    settings = Schedule(name=name, warmup_steps=5, final_ratio=0.1)
    assert [compute_factor(step, settings, STEPS, PER_EPOCH) for step in (STEPS, 2 * STEPS)] == pytest.approx([end] * 2)


def test_multistep_falls_by_gamma_after_each_milestone_epoch():
    found = factors(name="multistep", milestones=(2, 5), gamma=0.5)
    expected = [1.0] * (2 * PER_EPOCH) + [0.5] * (3 * PER_EPOCH) + [0.25] * STEPS
    assert found == expected[:STEPS]


@pytest.mark.parametrize("name", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 10])
def test_per_epoch_each_epoch_keeps_the_factor_of_its_first_step(name, warmup):
    by_step = factors(name=name, warmup_steps=warmup)
    by_epoch = factors(name=name, warmup_steps=warmup, per="epoch")
    for step in range(warmup, STEPS):
        first = step - step % PER_EPOCH
        assert by_epoch[step] == (by_step[first] if first >= warmup else 1.0)
    assert len(set(by_epoch[warmup:])) == len({step // PER_EPOCH for step in range(warmup, STEPS)})


def test_a_warm_up_in_epochs_has_the_steps_of_these_epochs():
    assert factors(name="cosine", warmup_epochs=3) == factors(name="cosine", warmup_steps=3 * PER_EPOCH)


def test_a_warm_up_longer_than_the_run_is_no_error():
    assert factors(num_steps=3, name="cosine", warmup_steps=10) == pytest.approx([0.1, 0.2, 0.3])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
        self.frozen = nn.Parameter(torch.ones(4, 4), requires_grad=False)


def test_every_group_follows_the_schedule_and_resumes_it():
    def build() -> tuple[torch.optim.Optimizer, RateSchedule]:
        optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.4)])
        settings = Schedule(name="cosine", warmup_steps=3)
        return optimizer, RateSchedule(optimizer, settings, num_steps=20, steps_per_epoch=5)

    def rates(optimizer: torch.optim.Optimizer) -> list[float]:
        return [group["lr"] for group in optimizer.param_groups]

    optimizer, schedule = build()
    seen = []
    for _ in range(20):
        seen.append(rates(optimizer))
        schedule.step()
    expected = [compute_factor(step, Schedule(name="cosine", warmup_steps=3), 20, 5) for step in range(20)]
    assert seen == [[0.1 * factor, 0.4 * factor] for factor in expected]
    for done in (0, 2, 3, 11):
        optimizer, schedule = build()
        schedule.load_state_dict({"done": done})
        assert rates(optimizer) == seen[done]
        schedule.step()
        assert rates(optimizer) == seen[done + 1]
        assert schedule.state_dict() == {"done": done + 1}


def test_the_base_rate_survives_loading_an_optimiser_at_low_rate():
    def build() -> tuple[torch.optim.Optimizer, RateSchedule]:
        optimizer = build_optimizer(Net(), Optimizer(learning_rate=0.5))
        return optimizer, RateSchedule(optimizer, Schedule(name="linear"), num_steps=10, steps_per_epoch=5)

    optimizer, schedule = build()
    for _ in range(6):
        schedule.step()
    resumed, resumed_schedule = build()
    resumed.load_state_dict(optimizer.state_dict())
    resumed_schedule.load_state_dict(schedule.state_dict())
    for _ in range(3):
        assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        schedule.step()
        resumed_schedule.step()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_is_on_everything_trainable_by_default(name):
    module = Net()
    [group] = build_optimizer(module, Optimizer(name=name, weight_decay=0.3)).param_groups
    assert group["weight_decay"] == 0.3
    expected = [module.linear.weight, module.linear.bias, module.norm.weight, module.norm.bias]
    assert list(map(id, group["params"])) == list(map(id, expected))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_can_leave_out_biases_and_norms(name):
    module = Net()
    decayed, plain = build_optimizer(module, Optimizer(name=name, weight_decay=0.3, decays_norms=False)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert list(map(id, decayed["params"])) == [id(module.linear.weight)]
    assert list(map(id, plain["params"])) == list(map(id, [module.linear.bias, module.norm.weight, module.norm.bias]))


def test_without_matrices_or_without_vectors_there_is_one_group():
    settings = Optimizer(decays_norms=False)
    for module in (nn.Linear(2, 2, bias=False), nn.LayerNorm(3)):
        assert len(build_optimizer(module, settings).param_groups) == 1


def test_adamw_decays_apart_from_the_gradient_and_adam_within_it():
    """With a zero gradient, AdamW shrinks a weight by lr * decay; Adam turns the decay into a whole step of lr."""
    after = {}
    for name in ("adamw", "adam"):
        module = nn.Linear(1, 1, bias=False)
        nn.init.constant_(module.weight, 2.0)
        optimizer = build_optimizer(module, Optimizer(name=name, learning_rate=0.1, weight_decay=0.01))
        module.weight.grad = torch.zeros_like(module.weight)
        optimizer.step()
        after[name] = module.weight.item()
    assert after["adamw"] == pytest.approx(2.0 * (1 - 0.1 * 0.01))
    assert after["adam"] == pytest.approx(2.0 - 0.1, abs=1e-4)


def test_the_optimiser_has_the_given_numbers():
    module = nn.Linear(1, 1)
    adam = build_optimizer(module, Optimizer(name="adam", learning_rate=0.3, betas=(0.5, 0.6), epsilon=1e-5))
    assert type(adam) is torch.optim.Adam
    assert (adam.defaults["lr"], adam.defaults["betas"], adam.defaults["eps"]) == (0.3, (0.5, 0.6), 1e-5)
    sgd = build_optimizer(module, Optimizer(name="sgd", learning_rate=0.3, momentum=0.7, nesterov=True))
    assert type(sgd) is torch.optim.SGD
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.7, True)


def two_groups(module: nn.Module) -> list[ParameterGroup]:
    first, last = module.children()
    return [
        ParameterGroup("encoder", list(first.parameters()), rate_factor=0.1),
        ParameterGroup("head", list(last.parameters())),
    ]


@pytest.mark.parametrize("decays_norms", [True, False])
def test_each_group_has_its_own_rate_through_the_whole_schedule(decays_norms):
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    optimizer = build_optimizer(module, Optimizer(learning_rate=0.5, decays_norms=decays_norms), two_groups(module))
    schedule = RateSchedule(optimizer, Schedule(name="linear"), num_steps=4, steps_per_epoch=1)
    for step in range(4):
        rate = 0.5 * (1 - step / 4)
        expected = {"": 0.1 * rate, "/encoder": 0.1 * rate, "/head": rate}
        found = learning_rates(optimizer)
        assert found == pytest.approx({f"train/learning_rate{name}": value for name, value in expected.items()})
        schedule.step()


def test_frozen_parameters_get_no_state_and_their_group_no_rate():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    module[0].requires_grad_(False)
    optimizer = build_optimizer(module, Optimizer(name="adamw", learning_rate=0.5), two_groups(module))
    module(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    assert set(optimizer.state) == set(module[1].parameters())
    assert learning_rates(optimizer) == {"train/learning_rate": 0.5, "train/learning_rate/head": 0.5}


def test_a_parameter_in_no_group_or_in_two_is_refused_by_name():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    encoder, head = two_groups(module)
    with pytest.raises(ValueError, match=r"1\.weight is in 0 parameter groups"):
        build_optimizer(module, Optimizer(), [encoder])
    with pytest.raises(ValueError, match=r"0\.weight is in 2 parameter groups"):
        build_optimizer(module, Optimizer(), [encoder, head, encoder])


def test_a_module_without_groups_has_one_rate():
    assert learning_rates(build_optimizer(nn.Linear(2, 1), Optimizer(learning_rate=0.5))) == {
        "train/learning_rate": 0.5
    }


def test_changed_settings_win_over_the_checkpoint_moments_stay():
    parameter = torch.nn.Parameter(torch.ones(3))
    module = torch.nn.Module()
    module.weight = parameter
    before = build_optimizer(module, Optimizer(learning_rate=0.1, weight_decay=0.5))
    parameter.grad = torch.full((3,), 2.0)
    before.step()
    after = build_optimizer(module, Optimizer(learning_rate=0.3, weight_decay=0.0, betas=(0.5, 0.9)))
    load_optimizer(after, before.state_dict())
    (group,) = after.param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.3, 0.0, (0.5, 0.9))
    assert after.state[parameter]["exp_avg"].equal(before.state[parameter]["exp_avg"])
