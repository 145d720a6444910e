"""Importance of units: from their weights, their mask, or their activations and gradients on training images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.evaluation import evaluating
from trainables.contract.train_context import Collectives
from trainables.workloads.pruning.config import Criterion
from trainables.workloads.pruning.networks.units import Member, UnitGroup
from trainables.workloads.pruning.selection.gradient_importance import score_gradients, sum_each_by_unit
from trainables.workloads.pruning.selection.magnitude_masks import Mask

Scores = dict[str, Float[Tensor, " units"]]
"""Scores by group, on the CPU."""
OF_ACTIVATIONS = ("l1", "l2", "saliency")
OF_GRADIENTS = ("taylor", "hessian")


def compute_importance(
    network: nn.Module,
    groups: Sequence[UnitGroup],
    criterion: Criterion,
    *,
    masks: Mapping[str, Mask],
    batches: Iterable[Mapping[str, Any]],
    collectives: Collectives,
) -> Scores:
    """Compute scores of units, the same on every rank; higher scores are kept longer.

    The first five sum over the weights that compute the unit, those of all layers that write into a residual stream
    together. magnitude: sum |w|. remain: weights that `masks` keeps. l1, l2: sums of |F| and F^2 of a convolution's
    output F, or the mean |F| and root mean square of qkv or fc1. saliency: |sum F dL/dF| of each sample (Molchanov et
    al. 2017, eq. 8), averaged. The others take in all that goes with the unit (Fang et al. 2023). taylor, hessian: see
    `score_gradients`. group_l2: sum w^2 of the weights that compute or read it and of its norms' factors. bn_scale: sum
    |gamma| of its batch norms (Liu et al. 2017). Both are over their group's mean, which makes groups comparable. Only
    l1, l2, saliency, taylor and hessian read `batches`, and contain collectives. `masks` are the weights that magnitude
    pruning keeps, by tensor.
    """
    if criterion in OF_ACTIVATIONS:
        return _score_activations(network, groups, criterion, batches, collectives)
    if criterion in OF_GRADIENTS:
        with evaluating(network):
            return score_gradients(network, groups, criterion, batches, collectives)
    weights = network.state_dict()
    return {group.name: _score_weights(group, criterion, weights, masks).cpu() for group in groups}


def _score_weights(
    group: UnitGroup, criterion: Criterion, weights: Mapping[str, Tensor], masks: Mapping[str, Mask]
) -> Float[Tensor, " units"]:
    if criterion == "magnitude":
        return _total([sum_by_unit(weights[member.tensor].abs(), member) for member in group.own])
    if criterion == "remain":
        own = [member for member in group.own if member.is_prunable]
        return _total([sum_by_unit(masks[member.tensor].float(), member) for member in own])
    scales = [member for member in group.members if member.is_scale]
    if criterion == "bn_scale":
        scores = _total([sum_by_unit(weights[member.tensor].abs(), member) for member in scales])
    else:
        members = scales + [member for member in group.members if weights[member.tensor].ndim > 1]
        scores = _total([sum_by_unit(weights[member.tensor].double().square(), member) for member in members])
    return scores / scores.mean()


def _total(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(dim=0)


def sum_by_unit(values: Tensor, member: Member) -> Float[Tensor, " units"]:
    """Sum over all entries of each unit, in float64."""
    return sum_each_by_unit(values[None], member)[0]


def _score_activations(
    network: nn.Module,
    groups: Sequence[UnitGroup],
    criterion: Criterion,
    batches: Iterable[Mapping[str, Any]],
    collectives: Collectives,
) -> Scores:
    members = [(group.name, member) for group in groups for member in group.own]
    device = next(network.parameters()).device
    sums = [torch.zeros(len(member.index), dtype=torch.float64, device=device) for _, member in members]
    counts = torch.zeros(len(members), dtype=torch.float64, device=device)
    with _watching(network, [member.module for _, member in members]) as outputs:
        for batch in batches:
            values = _measure(network, outputs, batch, criterion)
            for number, (_, member) in enumerate(members):
                value, count = _by_unit(values[member.module], member, criterion)
                sums[number] += value
                counts[number] += count
    total, count = collectives.sum(torch.cat(sums)), collectives.sum(counts)
    if not bool(count.all()):
        raise ValueError("there were no training batches to score units on; is the training split empty?")
    return _finish(members, total, count, criterion)


def _finish(members: Sequence[tuple[str, Member]], total: Tensor, count: Tensor, criterion: Criterion) -> Scores:
    scores: Scores = {}
    parts = total.split([len(member.index) for _, member in members])
    for (name, member), part, num in zip(members, parts, count, strict=True):
        is_sum = criterion != "saliency" and _is_convolution(member)
        value = part if is_sum else part / num
        value = value.sqrt() if criterion == "l2" and not is_sum else value
        scores[name] = scores[name] + value.cpu() if name in scores else value.cpu()
    return scores


@contextmanager
def _watching(network: nn.Module, modules: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Put the network in eval mode and yield the last output of each module by name."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            outputs[name] = output

        return hook

    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in dict.fromkeys(modules)]
    try:
        with evaluating(network):
            yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _measure(
    network: nn.Module, outputs: dict[str, Tensor], batch: Mapping[str, Any], criterion: Criterion
) -> dict[str, Tensor]:
    """Compute, per module, |F|, F^2, or F dL/dF with L the sum of the samples' cross-entropies."""
    if criterion != "saliency":
        with torch.no_grad():
            network(batch["image"])
        return {name: output.abs() if criterion == "l1" else output.square() for name, output in outputs.items()}
    with torch.enable_grad():
        loss = functional.cross_entropy(network(batch["image"]), batch["label"], reduction="sum")
        gradients = torch.autograd.grad(loss, list(outputs.values()))
    pairs = zip(outputs.items(), gradients, strict=True)
    return {name: output.detach() * gradient for (name, output), gradient in pairs}


def _by_unit(values: Tensor, member: Member, criterion: Criterion) -> tuple[Tensor, int]:
    """Sum [batch, channels, height, width] or [batch, tokens, features] over each unit; also return the divisor."""
    per_sample = values.flatten(2).sum(dim=2) if _is_convolution(member) else values.sum(dim=1)
    by_unit = per_sample.double()[:, member.index.to(values.device)].sum(dim=2)
    if criterion == "saliency":
        return by_unit.abs().sum(dim=0), len(values)
    num_values = len(values) * values.shape[1] * member.index.shape[1]
    return by_unit.sum(dim=0), num_values


def _is_convolution(member: Member) -> bool:
    return "conv" in member.module or "shortcut" in member.module
