"""Importance of units from gradients: how much the loss would change, were all weights of a unit set to zero."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.contract.train_context import Collectives
from trainables.workloads.pruning.networks.units import Member, UnitGroup

MOST_GRADIENTS = 2**24
"""Values of single samples' gradients that are held at once."""
Gradients = Mapping[str, Tensor]
"""For each parameter its gradients of the single samples: [samples, ...]."""


def score_gradients(
    network: nn.Module,
    groups: Sequence[UnitGroup],
    criterion: str,
    batches: Iterable[Mapping[str, Any]],
    collectives: Collectives,
) -> dict[str, Float[Tensor, " units"]]:
    """Compute scores over all parameters w of each unit, with the gradients g of each sample's cross-entropy.

    taylor: (sum g w)^2, the squared first-order change of the loss (Molchanov et al. 2019, eq. 8, with a unit's weights
    together). hessian: sum g^2 w^2, its second-order change with the squared gradient as the diagonal of the Hessian
    (LeCun et al. 1990; Fisher's approximation). Both are means over the samples of all ranks; a collective. The network
    is in eval mode, and the criterion taylor or hessian; a group's parameters count together (Fang et al. 2023).
    """
    names = dict.fromkeys(member.tensor for group in groups for member in group.parameters)
    weights = {name: network.get_parameter(name).detach() for name in names}
    device = next(iter(weights.values())).device
    sums = {group.name: torch.zeros(group.num_units, dtype=torch.float64, device=device) for group in groups}
    count = torch.zeros(1, dtype=torch.float64, device=device)
    score = _score_taylor if criterion == "taylor" else _score_hessian
    for gradients in _each_samples_gradients(network, weights, batches):
        for group in groups:
            sums[group.name] += score(group, gradients, weights)
        count += len(next(iter(gradients.values())))
    total = collectives.sum(torch.cat([*sums.values(), count])).cpu()
    if not total[-1]:
        raise ValueError("there were no training batches to score units on; is the training split empty?")
    parts = total[:-1].split([group.num_units for group in groups])
    return {group.name: part / total[-1] for group, part in zip(groups, parts, strict=True)}


def _each_samples_gradients(
    network: nn.Module, weights: Gradients, batches: Iterable[Mapping[str, Any]]
) -> Iterable[Gradients]:
    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(network, values, (image[None],)), label[None])

    compute: Callable[..., Gradients] = vmap(grad(loss), in_dims=(None, 0, 0))
    size = max(1, MOST_GRADIENTS // sum(weight.numel() for weight in weights.values()))
    for batch in batches:
        for images, labels in zip(batch["image"].split(size), batch["label"].split(size), strict=True):
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the others know no gradients of single samples
                gradients = compute(dict(weights), images, labels)
            yield gradients


def _score_taylor(group: UnitGroup, gradients: Gradients, weights: Gradients) -> Tensor:
    """Return the sum over samples of the squared sums of all g w."""
    parts = [sum_each_by_unit(gradients[member.tensor] * weights[member.tensor], member) for member in group.parameters]
    return torch.stack(parts).sum(dim=0).square().sum(dim=0)


def _score_hessian(group: UnitGroup, gradients: Gradients, weights: Gradients) -> Tensor:
    """Return the sum over samples of the sums of all g^2 w^2."""
    parts = []
    for member in group.parameters:
        products = (gradients[member.tensor] * weights[member.tensor]).square()
        parts.append(sum_each_by_unit(products.sum(dim=0, keepdim=True), member))
    return torch.stack(parts).sum(dim=0)[0]


def sum_each_by_unit(values: Tensor, member: Member) -> Float[Tensor, "samples units"]:
    """Sum over all entries of each unit, sample by sample, in float64."""
    by_entry = values.double().movedim(member.dim + 1, 1).reshape(len(values), values.shape[member.dim + 1], -1).sum(2)
    return by_entry[:, member.index.to(values.device)].sum(dim=2)
