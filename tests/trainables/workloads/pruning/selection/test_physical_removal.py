"""A network without some units against the same network with those units set to zero."""

import copy

import pytest
import torch

from tests.trainables.workloads.pruning.tiny_networks import ARCHS, images, lively, mask_units, some_units, tiny
from trainables.workloads.pruning.networks.build import build_network, find_groups, measure_size
from trainables.workloads.pruning.selection.physical_removal import remove_units, shrink, slice_state

pytestmark = pytest.mark.slow

KINDS = [
    ("res20s", ("channel",)),
    ("res20s", ("residual",)),
    ("res20s", ()),
    ("res18", ()),
    ("vit_tiny", ("head",)),
    ("vit_tiny", ("neuron",)),
    ("vit_tiny", ()),
]


@pytest.mark.parametrize(("arch", "kinds"), KINDS)
def test_masked_and_removed_networks_agree(arch, kinds):
    blueprint = tiny(arch)
    network, kept = lively(blueprint), some_units(blueprint, kinds=kinds)
    masked = copy.deepcopy(network)
    mask_units(masked, blueprint, kept)
    removed, smaller = remove_units(network, blueprint, kept)
    with torch.no_grad():
        whole, zeroed, small = network(images()), masked(images()), removed(images())
    assert (zeroed - small).abs().max() < 1e-5
    assert (whole - small).abs().max() > 1e-2
    assert all(
        removed.state_dict()[name].shape == tensor.shape for name, tensor in build_network(smaller).state_dict().items()
    )


@pytest.mark.parametrize(("arch", "kinds"), KINDS)
def test_parameters_drop_by_the_counted_amount(arch, kinds):
    """Counted entry by entry: a parameter's entry is gone when one of its units is."""
    blueprint = tiny(arch)
    kept = some_units(blueprint, kinds=kinds)
    gone = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in build_network(blueprint).named_parameters()}
    for group in find_groups(blueprint):
        for unit in set(range(group.num_units)) - set(kept.get(group.name, range(group.num_units))):
            for member in group.members:
                for entry in member.index[unit].tolist() if member.tensor in gone else ():
                    gone[member.tensor].select(member.dim, entry).fill_(True)
    size, smaller = measure_size(blueprint), measure_size(shrink(blueprint, kept))
    assert size.parameters - smaller.parameters == sum(int(mask.sum()) for mask in gone.values()) > 0
    assert smaller.macs < size.macs


@pytest.mark.parametrize("arch", ARCHS)
def test_removing_in_two_steps_equals_removing_at_once(arch):
    dense = tiny(arch)
    network = lively(dense)
    first = some_units(dense, seed=3)
    middle, halfway = remove_units(network, dense, first)
    second = some_units(halfway, seed=4)
    twice, blueprint = remove_units(middle, halfway, second)
    assert blueprint.kept == {
        name: tuple(first[name][place] for place in second[name])
        for name in first
        if len(second[name]) < len(first[name]) or name in halfway.kept
    }
    at_once, same = remove_units(network, dense, {name: list(units) for name, units in blueprint.kept.items()})
    assert same == blueprint
    assert all(torch.equal(twice.state_dict()[name], tensor) for name, tensor in at_once.state_dict().items())


def test_macs_of_a_pruned_block_by_definition():
    """A block of res20s on 8x8 with 5 of its 16 inner channels: two convolutions lose 11 / 16 of their MACs."""
    dense = tiny("res20s")
    smaller = shrink(dense, {"layer1.0.conv1": [0, 3, 4, 8, 15]})
    assert measure_size(dense).macs - measure_size(smaller).macs == 11 * 16 * 9 * 64 * 2


def test_the_given_network_stays_as_it_is_and_the_mode_is_kept():
    blueprint = tiny("res20s")
    network = lively(blueprint)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    removed, _ = remove_units(network.train(), blueprint, some_units(blueprint))
    assert removed.training
    with torch.no_grad():
        removed(images())
        for parameter in removed.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_groups_that_are_not_named_stay_whole():
    blueprint = tiny("vit_tiny")
    state = lively(blueprint).state_dict()
    sliced = slice_state(state, find_groups(blueprint), {"blocks.2.attn": [1]})
    changed = {name for name in state if state[name].shape != sliced[name].shape}
    assert changed == {f"blocks.2.attn.{name}" for name in ("qkv.weight", "qkv.bias", "proj.weight")}
    rows = [part * 192 + 64 + row for part in range(3) for row in range(64)]
    assert torch.equal(sliced["blocks.2.attn.qkv.weight"], state["blocks.2.attn.qkv.weight"][rows])
    assert torch.equal(sliced["blocks.2.attn.proj.weight"], state["blocks.2.attn.proj.weight"][:, 64:128])
