"""How many units stay and which, against the formulas written out."""

import math

import pytest
import torch

from tests.trainables.workloads.pruning.tiny_networks import tiny
from trainables.workloads.pruning.networks.build import build_network, find_groups, prunable_tensors
from trainables.workloads.pruning.networks.units import Member, UnitGroup, one_each
from trainables.workloads.pruning.selection.magnitude_masks import prune_globally
from trainables.workloads.pruning.selection.unit_selection import (
    choose_units,
    count_by_mask,
    count_by_rate,
    equivalent_units,
)


def group(name: str, num_units: int, kind: str = "head", num_dense: int | None = None) -> UnitGroup:
    members = [Member(f"{name}.weight", 0, one_each(num_units), is_own=True, is_prunable=True)]
    return UnitGroup(name, kind, num_dense or num_units, members)  # pyright: ignore


def conv_mask(num_alive: int, channels: int = 8, fan_in: int = 9) -> dict[str, torch.Tensor]:
    return {"a.weight": (torch.arange(channels * fan_in) < num_alive).reshape(channels, fan_in)}


@pytest.mark.parametrize("num_alive", [0, 1, 9, 40, 71, 72])
@pytest.mark.parametrize("fillback", [0.0, 0.1, 0.5])
def test_the_mask_is_worth_its_weights_divided_by_the_fan_in(num_alive, fillback):
    channels = group("a", 8)
    n = num_alive / 9
    assert equivalent_units(channels, conv_mask(num_alive)) == pytest.approx(n)
    expected = math.ceil(round(n + (8 - n) * fillback, 9))
    assert count_by_mask(channels, conv_mask(num_alive), fillback) == expected


def test_equivalent_channels_are_not_rounded_up_by_float_error():
    mask = {"a.weight": torch.arange(10 * 9).reshape(10, 9) < 63}
    assert count_by_mask(group("a", 10), mask, 0.0) == 7


def test_a_residual_stream_counts_its_writers_but_the_stem():
    blueprint = tiny("res20s")
    state = build_network(blueprint).state_dict()
    masks = prune_globally({name: state[name] for name in prunable_tensors(blueprint)}, 0.3)
    stream = next(item for item in find_groups(blueprint) if item.name == "layer1")
    writers = [masks[f"layer1.{index}.conv2.weight"] for index in range(3)]
    n = sum(int(mask.sum()) for mask in writers) / sum(mask[0].numel() for mask in writers)
    assert equivalent_units(stream, masks) == pytest.approx(n)


@pytest.mark.parametrize(
    ("num_dense", "rate", "left"),
    [
        (6, 0.15, [5, 4, 4, 3, 3, 2]),
        (12, 0.15, [10, 9, 7, 6, 5, 5]),
        (3, 0.2, [2, 2, 2, 1, 1, 1]),
        (3, 0.9, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_heads_follow_the_power_of_the_rate_and_never_come_back(num_dense, rate, left):
    found, now = [], num_dense
    for times in range(1, 7):
        heads = group("a", now, num_dense=num_dense)
        counts = {"a": count_by_rate(heads, rate, times, 0.0)}
        now = len(choose_units([heads], counts, {"a": torch.rand(now)}, is_global=False)["a"])
        found.append(now)
    assert found == left == [max(1, math.floor(num_dense * (1 - rate) ** k + 0.5)) for k in range(1, 7)]


def test_fillback_keeps_a_share_of_the_heads_that_would_go():
    assert count_by_rate(group("a", 12), 0.5, 1, 0.0) == 6
    assert count_by_rate(group("a", 12), 0.5, 1, 0.5) == 9


def test_layers_keep_their_best_units_and_ties_go_to_the_first():
    scores = {"a": torch.tensor([1.0, 3.0, 2.0, 3.0]), "b": torch.tensor([9.0, 9.0, 9.0])}
    groups = [group("a", 4), group("b", 3)]
    assert choose_units(groups, {"a": 2, "b": 2}, scores, is_global=False) == {"a": [1, 3], "b": [0, 1]}
    assert choose_units(groups, {"a": 3, "b": 1}, scores, is_global=False) == {"a": [1, 2, 3], "b": [0]}


def test_globally_units_of_a_kind_compete_and_layers_keep_one():
    groups = [group("a", 4), group("b", 3), group("c", 3, kind="neuron")]
    scores = {
        "a": torch.tensor([5.0, 6.0, 7.0, 8.0]),
        "b": torch.tensor([1.0, 2.0, 0.5]),
        "c": torch.tensor([0.1, 0.2, 0.3]),
    }
    kept = choose_units(groups, {"a": 2, "b": 2, "c": 2}, scores, is_global=True)
    assert kept == {"a": [1, 2, 3], "b": [1], "c": [1, 2]}
    assert choose_units(groups, {"a": 1, "b": 1, "c": 1}, scores, is_global=True) == {"a": [3], "b": [1], "c": [2]}
    assert choose_units(groups[:2], {"a": 0, "b": 0}, scores, is_global=True) == {"a": [3], "b": [1]}


def test_the_global_count_holds_though_a_layer_lost_more():
    """Of 8 + 8 heads 4 + 4 are due after two prunings; the first of them left 2 and 8."""
    first, second = group("a", 2, num_dense=8), group("b", 8)
    counts = {item.name: count_by_rate(item, 0.29, 2, 0.0) for item in (first, second)}
    scores = {"a": torch.arange(2.0), "b": torch.arange(8.0) + 9}
    kept = choose_units([first, second], counts, scores, is_global=True)
    assert counts == {"a": 4, "b": 4} and sum(map(len, kept.values())) == 8
