"""RSST's pull and its zeros against a loop over every weight."""

import copy

import pytest
import torch
from torch import nn

from tests.trainables.workloads.pruning.tiny_networks import images, lively, some_units, tiny
from trainables.workloads.pruning.networks.build import find_groups, prunable_tensors
from trainables.workloads.pruning.selection.magnitude_masks import prune_globally
from trainables.workloads.pruning.selection.pruning_marks import PruningMarks, mark_units


def marked(arch: str = "res20s", seed: int = 0) -> tuple[nn.Module, PruningMarks, dict, dict]:
    blueprint = tiny(arch)
    network = lively(blueprint, seed).train()
    state = network.state_dict()
    masks = prune_globally({name: state[name] for name in prunable_tensors(blueprint)}, 0.4)
    kept = some_units(blueprint, kinds=("channel", "head", "neuron"))
    doomed = mark_units(find_groups(blueprint), kept, {name: value.shape for name, value in state.items()}, masks)
    return network, doomed, masks, kept


@pytest.mark.parametrize("arch", ["res20s", "vit_tiny"])
def test_marks_cover_weights_that_compute_or_read_a_marked_unit(arch):
    _, doomed, masks, kept = marked(arch)
    found = 0
    for group in find_groups(tiny(arch)):
        going = set(range(group.num_units)) - set(kept.get(group.name, range(group.num_units)))
        for member in group.members:
            if member.is_prunable and member.tensor in doomed.pulled:
                for unit in range(group.num_units):
                    entries = member.index[unit]
                    parts = [
                        mask[member.tensor].index_select(member.dim, entries)
                        for mask in (doomed.pulled, doomed.zeroed, masks)
                    ]
                    if unit in going:
                        assert torch.equal(parts[0], parts[2]) and torch.equal(parts[1], ~parts[2])
                        found += 1
    total = sum(int((doomed.pulled[name] | doomed.zeroed[name]).sum()) for name in doomed.pulled)
    assert found and total == count_by_loop(arch, kept)
    assert doomed.kept == kept and bool(doomed)


def count_by_loop(arch: str, kept: dict) -> int:
    """Distinct entries of prunable tensors in the row or column of a doomed unit."""
    state = lively(tiny(arch)).state_dict()
    hit = {name: torch.zeros(value.shape, dtype=torch.bool) for name, value in state.items()}
    for group in find_groups(tiny(arch)):
        for unit in set(range(group.num_units)) - set(kept.get(group.name, range(group.num_units))):
            for member in group.members:
                for entry in member.index[unit].tolist() if member.is_prunable else ():
                    hit[member.tensor].select(member.dim, entry).fill_(True)
    return sum(int(mask.sum()) for mask in hit.values())


def test_no_marks_are_falsy_and_regularise_nothing():
    blueprint = tiny("vit_tiny")
    network = lively(blueprint)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    everything = {group.name: list(range(group.num_units)) for group in find_groups(blueprint)}
    doomed = mark_units(find_groups(blueprint), everything, shapes, {})
    assert not doomed and doomed.num_zeroed() == 0
    assert doomed.penalty(network, 2.0).item() == 0.0


@pytest.mark.parametrize("num_parts", [1, 2])
def test_the_gradient_gains_lambda_w_on_s_and_nothing_elsewhere(num_parts):
    """To the last bit for one batch, also when the step is made of micro-batches."""
    network, doomed, _, _ = marked()
    plain, strength = copy.deepcopy(network), 0.37
    for part in images(4).chunk(num_parts):
        (plain(part).square().mean() / num_parts).backward()
        ((network(part).square().mean() + doomed.penalty(network, strength)) / num_parts).backward()
    for (name, parameter), (_, before) in zip(network.named_parameters(), plain.named_parameters(), strict=True):
        assert parameter.grad is not None and before.grad is not None
        expected = before.grad.clone()
        if name in doomed.pulled:
            for place in doomed.pulled[name].nonzero().tolist()[::97]:
                single = tuple(place)
                value = before.grad[single] + strength * parameter[single]
                assert parameter.grad[single].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-7)
            expected = expected + strength * parameter.detach() * doomed.pulled[name]
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-7)
        if name not in doomed.pulled:
            assert torch.equal(parameter.grad, before.grad)


def test_the_value_is_half_lambda_times_the_squared_norm():
    network, doomed, _, _ = marked()
    parameters = dict(network.named_parameters())
    total = sum(
        float(value) ** 2 for name, mask in doomed.pulled.items() for value in parameters[name].detach()[mask].tolist()
    )
    assert doomed.penalty(network, 0.6).item() == pytest.approx(0.3 * total, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda parameters: torch.optim.AdamW(parameters, 0.01, weight_decay=0.1),
    ],
)
def test_zeroed_weights_stay_exactly_zero_and_only_they(build):
    network, doomed, _, _ = marked("vit_tiny")
    doomed.attach(network)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = build(network.parameters())
    for step in range(3):
        (network(images(4, seed=step)).square().mean() + doomed.penalty(network, 1.0)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert doomed.num_zeroed() > 1000
    for name, parameter in network.named_parameters():
        mask = doomed.zeroed.get(name, torch.zeros(parameter.shape, dtype=torch.bool))
        assert not parameter[mask].any()
        if parameter.ndim == 2 and "blocks" in name:
            assert (parameter != before[name])[~mask].float().mean() > 0.99


def test_regularisation_shrinks_marked_weights_against_others():
    network, doomed, _, _ = marked()
    doomed.attach(network)
    parameters = dict(network.named_parameters())
    names = list(doomed.pulled)
    marks = {name: doomed.pulled[name] | doomed.zeroed[name] for name in names}
    gone = torch.cat([parameters[name].detach()[marks[name]] for name in names]).double()
    left = torch.cat([parameters[name].detach()[~marks[name]] for name in names]).double()
    expected = (gone.square().mean() / left.square().mean()).sqrt().item()
    assert doomed.norm_ratio(network) == pytest.approx(expected, rel=1e-6)
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(5):
        doomed.penalty(network, 1.0).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert doomed.norm_ratio(network) == pytest.approx(expected / 2**5, rel=1e-3)


def test_the_marks_survive_a_file():
    network, doomed, _, _ = marked()
    again = PruningMarks(**doomed.state_dict())
    assert again.kept == doomed.kept and again.num_zeroed() == doomed.num_zeroed()
    assert torch.equal(again.penalty(network, 1.0), doomed.penalty(network, 1.0))
