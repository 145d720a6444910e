"""Scores of units against loops over weights, positions and gradients."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainables.workloads.pruning.tiny_networks import CPU, Alone, images, lively, tiny
from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.build import find_groups, prunable_tensors
from trainables.workloads.pruning.selection.importance import compute_importance
from trainables.workloads.pruning.selection.magnitude_masks import prune_globally
from trainables.workloads.pruning.selection.physical_removal import remove_units
from trainables.workloads.pruning.selection.unit_selection import plan_pruning

ARCHS = ("res20s", "vit_tiny")
BN_OF_STAGE_1 = ("layer1.0.bn2", "layer1.1.bn2", "layer1.2.bn2")


def batches_of(count: int = 7, size: int = 3) -> list[dict[str, torch.Tensor]]:
    pixels = images(count)
    labels = torch.arange(count) % 4
    return [{"image": x, "label": y} for x, y in zip(pixels.split(size), labels.split(size), strict=True)]


def scores_of(arch: str, criterion: Any, batches: Any, collectives: Any = None) -> tuple[nn.Module, Any, Any, Any]:
    blueprint = tiny(arch)
    network = lively(blueprint)
    state = network.state_dict()
    masks = prune_globally({name: state[name] for name in prunable_tensors(blueprint)}, 0.4)
    groups = find_groups(blueprint)
    scores = compute_importance(
        network, groups, criterion, masks=masks, batches=batches, collectives=collectives or Alone()
    )
    return network, masks, groups, scores


def outputs_of(network: nn.Module, module: str, batch: Any) -> torch.Tensor:
    kept = []
    handle = network.get_submodule(module).register_forward_hook(lambda m, i, output: kept.append(output))
    network.eval()(batch["image"])
    handle.remove()
    return kept[0]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("criterion", ["magnitude", "remain"])
def test_scores_of_weights_are_sums_over_what_computes_the_unit(arch, criterion):
    network, masks, groups, scores = scores_of(arch, criterion, [])
    state = network.state_dict()
    for group in groups[:4] + groups[-3:]:
        for unit in range(0, group.num_units, max(1, group.num_units // 3)):
            expected = 0.0
            for member in group.own:
                if criterion == "remain" and member.tensor == "conv1.weight":
                    continue
                for entry in member.index[unit].tolist():
                    values = state[member.tensor].abs() if criterion == "magnitude" else masks[member.tensor]
                    expected += sum(float(value) for value in values[entry].flatten())
            assert scores[group.name][unit].item() == pytest.approx(expected, rel=1e-5)


def test_a_head_is_its_rows_of_query_key_and_value():
    network, _, groups, scores = scores_of("vit_tiny", "magnitude", [])
    qkv = network.state_dict()["blocks.0.attn.qkv.weight"].abs().reshape(3, 3, 64, 192)
    assert groups[0].name == "blocks.0.attn"
    torch.testing.assert_close(scores["blocks.0.attn"], qkv.double().sum(dim=(0, 2, 3)))


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_channels_are_scored_by_the_sums_over_their_own_map(criterion):
    network, _, _, scores = scores_of("res20s", criterion, batches_of())
    for name in ("layer1.0.conv1", "layer3.2.conv1"):
        expected = torch.zeros(len(scores[name]), dtype=torch.float64)
        for batch in batches_of():
            for sample in outputs_of(network, name, batch).double():
                for channel, plane in enumerate(sample):
                    expected[channel] += (plane.abs() if criterion == "l1" else plane.square()).sum()
        torch.testing.assert_close(scores[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_head_and_neuron_importance_averages_samples_and_tokens(criterion):
    network, _, _, scores = scores_of("vit_tiny", criterion, batches_of())
    qkv = torch.cat([outputs_of(network, "blocks.1.attn.qkv", batch) for batch in batches_of()]).double()
    fc1 = torch.cat([outputs_of(network, "blocks.1.mlp.fc1", batch) for batch in batches_of()]).double()
    for head in range(3):
        values = torch.cat([qkv[..., part * 192 + head * 64 :][..., :64] for part in range(3)], dim=-1)
        expected = values.abs().mean() if criterion == "l1" else values.square().mean().sqrt()
        assert scores["blocks.1.attn"][head].item() == pytest.approx(expected.item(), rel=1e-5)
    expected = fc1.abs().mean(dim=(0, 1)) if criterion == "l1" else fc1.square().mean(dim=(0, 1)).sqrt()
    torch.testing.assert_close(scores["blocks.1.mlp"], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("arch", ARCHS)
def test_saliency_is_the_first_order_change_of_each_samples_loss(arch):
    network, _, groups, scores = scores_of(arch, "saliency", batches_of(5, 2))
    group = groups[1]
    module = group.own[0].module
    expected = torch.zeros(group.num_units, dtype=torch.float64)
    for batch in batches_of(5, 1):
        kept = []
        handle = network.get_submodule(module).register_forward_hook(
            lambda m, i, output, kept=kept: kept.append(output)
        )
        loss = functional.cross_entropy(network.eval()(batch["image"]), batch["label"])
        handle.remove()
        (gradient,) = torch.autograd.grad(loss, kept)
        product = (kept[0] * gradient)[0].double()
        by_entry = product.flatten(1).sum(dim=1) if product.ndim == 3 else product.sum(dim=0)
        for unit in range(group.num_units):
            expected[unit] += by_entry[group.own[0].index[unit]].sum().abs() / 5
    torch.testing.assert_close(scores[group.name], expected, rtol=1e-3, atol=1e-7)


def gradient_scores(network: nn.Module, groups: Any, criterion: str, batches: Any) -> dict[str, torch.Tensor]:
    """Loops over single samples and over all weights of each unit."""
    scores = {group.name: torch.zeros(group.num_units, dtype=torch.float64) for group in groups}
    parameters = dict(network.named_parameters())
    for batch in batches:
        loss = functional.cross_entropy(network.eval()(batch["image"]), batch["label"])
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        for group in groups:
            for unit in range(group.num_units):
                products = []
                for member in group.members:
                    for entry in member.index[unit].tolist() if member.tensor in parameters else ():
                        product = gradients[member.tensor] * parameters[member.tensor].detach()
                        products.append(product.select(member.dim, entry).double().flatten())
                values = torch.cat(products)
                change = values.sum().square() if criterion == "taylor" else values.square().sum()
                scores[group.name][unit] += change / len(batches)
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("criterion", ["taylor", "hessian"])
def test_gradient_scores_equal_loops_over_samples_and_weights(arch, criterion):
    """All that goes with a unit counts together: the residual stream's convolutions, norms and readers too."""
    network, _, groups, scores = scores_of(arch, criterion, batches_of(4, 3))
    chosen = [groups[0], groups[-1]]
    for name, expected in gradient_scores(network, chosen, criterion, batches_of(4, 1)).items():
        torch.testing.assert_close(scores[name], expected, rtol=1e-3, atol=1e-10)
    assert groups[-1].kind == ("residual" if arch == "res20s" else "neuron")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "settings"), [("res20s", {"prunes_residual": True}), ("vit_tiny", {"target": "both"})]
)
@pytest.mark.parametrize("criterion", ["taylor", "hessian"])
def test_each_pruning_takes_the_gradients_of_what_is_left(arch, settings, criterion):
    """Two prunings with a training between, against loops over the samples and weights of each network."""
    config = PruningConfig.model_validate({"arch": arch, "criteria": criterion, "rate": 0.4, **settings})
    blueprint, batches = tiny(arch), batches_of(4, 3)
    network, start = lively(blueprint), StartContext(lambda split: batches, Alone(), CPU, seed=0)
    for number in (1, 2):
        plan = plan_pruning(network, blueprint, config, start=start, num_prunings=number)
        groups = find_groups(blueprint)
        chosen = [groups[0], groups[1], groups[-1]]
        for name, expected in gradient_scores(network, chosen, criterion, batches_of(4, 1)).items():
            best = expected.argsort(descending=True)[: len(plan.kept[name])]
            assert plan.kept[name] == sorted(best.tolist())
        assert any(len(plan.kept[group.name]) < group.num_units for group in chosen)
        network, blueprint = remove_units(network, blueprint, plan.kept)
        with torch.no_grad():
            for tensor in network.parameters():
                tensor += 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(number))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
def test_the_group_norm_takes_in_what_writes_and_reads_a_unit(arch):
    network, _, groups, scores = scores_of(arch, "group_l2", [])
    state = network.state_dict()
    for group in (groups[0], groups[-2], groups[-1]):
        expected = torch.zeros(group.num_units, dtype=torch.float64)
        for unit in range(group.num_units):
            for member in group.members:
                is_factor = ".bn" in f".{member.tensor}" and member.tensor.endswith("weight")
                if state[member.tensor].ndim < 2 and not is_factor:
                    continue
                for entry in member.index[unit].tolist():
                    values = state[member.tensor].select(member.dim, entry).flatten().tolist()
                    expected[unit] += sum(value**2 for value in values)
        torch.testing.assert_close(scores[group.name], expected / expected.mean(), rtol=1e-6, atol=0)


def test_batch_norm_scores_sum_the_factors_of_a_stream():
    network, _, _, scores = scores_of("res20s", "bn_scale", [])
    state = network.state_dict()
    stream = torch.stack([state[f"{name}.weight"].double().abs() for name in ("bn1", *BN_OF_STAGE_1)]).sum(dim=0)
    torch.testing.assert_close(scores["layer1"], stream / stream.mean())
    inside = state["layer2.1.bn1.weight"].double().abs()
    torch.testing.assert_close(scores["layer2.1.conv1"], inside / inside.mean())


@pytest.mark.parametrize("criterion", ["l1", "l2", "saliency", "taylor", "hessian"])
def test_every_layer_has_its_importance_and_the_network_is_kept(criterion):
    network, _, groups, scores = scores_of("res20s", criterion, batches_of())
    assert scores.keys() == {group.name for group in groups}
    firsts = {round(float(value[0]), 9) for value in scores.values()}
    assert len(firsts) == len(groups)
    assert all(not module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("criterion", ["l1", "l2", "saliency", "taylor", "hessian"])
def test_importance_does_not_depend_on_batches_or_ranks(criterion):
    class Doubled(Alone):
        """The other rank has seen the same."""

        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return 2 * tensor

    whole = scores_of("vit_tiny", criterion, batches_of(6, 6))[3]
    parts = scores_of("vit_tiny", criterion, batches_of(6, 2), Doubled())[3]
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_without_training_images_there_is_no_score(criterion):
    with pytest.raises(ValueError, match="no training batches to score units on"):
        scores_of("vit_tiny", criterion, [])


@pytest.mark.parametrize("criterion", ["l1", "saliency", "taylor"])
def test_importance_is_computed_in_eval_mode(criterion):
    """Else the batch norms would use the batch, and move."""
    blueprint = tiny("res20s")
    network = lively(blueprint).train()
    groups, batches = find_groups(blueprint), batches_of()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = compute_importance(network, groups, criterion, masks={}, batches=batches, collectives=Alone())
    assert network.training
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())
    expected = scores_of("res20s", criterion, batches_of())[3]
    assert all(torch.equal(found[name], expected[name]) for name in found)
