"""Magnitude pruning of single weights over all layers, which decides how many units a ResNet layer keeps."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

Mask = Bool[Tensor, "..."]


def prune_globally(
    weights: Mapping[str, Tensor], rate: float, alive: Mapping[str, Mask] | None = None
) -> dict[str, Mask]:
    """Return masks, True for weights that stay; those with the smallest magnitude are pruned.

    The number pruned is rounded; among equal magnitudes the last ones stay. `rate` is the share of the weights alive
    that is pruned; by default all are alive.
    """
    living = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()} if alive is None else alive
    pooled = torch.cat([weights[name].detach().abs()[living[name]].float().flatten() for name in weights])
    stays = torch.ones(len(pooled), dtype=torch.bool, device=pooled.device)
    num_pruned = round(rate * len(pooled))
    if num_pruned:
        threshold = pooled.kthvalue(num_pruned).values
        stays = pooled > threshold
        num_ties = num_pruned - int((pooled < threshold).sum())
        ties = (pooled == threshold).nonzero().flatten()
        stays[ties[num_ties:]] = True
    parts = stays.split([int(living[name].sum()) for name in weights])
    masks = {}
    for name, part in zip(weights, parts, strict=True):
        masks[name] = living[name].clone()
        masks[name][living[name]] = part
    return masks
