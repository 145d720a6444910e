"""Importance of units: from their weights, their mask, or their activations on training images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.train_context import Collectives
from trainables.workloads.pruning.config import Criterion
from trainables.workloads.pruning.networks.units import Member, UnitGroup
from trainables.workloads.pruning.selection.magnitude_masks import Mask

Scores = dict[str, Float[Tensor, " units"]]
"""Scores by group, on the CPU."""
NEEDS_DATA = ("l1", "l2", "saliency")


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

    A group's score is the sum over its own members. magnitude: sum |w|. remain: weights that `masks` keeps. l1, l2:
    sums of |F| and F^2 of a convolution's output F, or the mean |F| and root mean square of qkv or fc1. saliency: |sum
    F dL/dF| of each sample (Molchanov et al. 2017, eq. 8), averaged. Only the last three read `batches`, and contain
    collectives.

    Args:
        network: The trained network.
        groups: Groups to score.
        criterion: One of the above.
        masks: Weights that magnitude pruning keeps, by tensor.
        batches: This rank's training batches.
        collectives: Those of this rank.
    """
    if criterion in NEEDS_DATA:
        return _score_activations(network, groups, criterion, batches, collectives)
    weights = network.state_dict()
    scores: Scores = {}
    for group in groups:
        own = group.own
        if criterion == "magnitude":
            parts = [sum_by_unit(weights[member.tensor].abs(), member) for member in own]
        else:
            parts = [sum_by_unit(masks[member.tensor].float(), member) for member in own if member.is_prunable]
        scores[group.name] = torch.stack(parts).sum(dim=0).cpu()
    return scores


def sum_by_unit(values: Tensor, member: Member) -> Float[Tensor, " units"]:
    """Sum over all entries of each unit, in float64."""
    by_entry = values.double().movedim(member.dim, 0).flatten(1).sum(dim=1)
    return by_entry[member.index.to(values.device)].sum(dim=1)


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

    was_training = network.training
    network.eval()
    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in dict.fromkeys(modules)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)


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
