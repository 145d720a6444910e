"""Unit counts: how many units each group keeps, and which."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from trainables.workloads.pruning.networks.units import UnitGroup
from trainables.workloads.pruning.selection.magnitude_masks import Mask


def equivalent_units(group: UnitGroup, masks: Mapping[str, Mask]) -> float:
    """Compute n = sum(m) / fan_in over the weights that compute the units: the mask's budget in complete units."""
    own = [member for member in group.own if member.is_prunable]
    alive = sum(int(masks[member.tensor].sum()) for member in own)
    total = sum(masks[member.tensor].numel() for member in own)
    return alive / total * group.num_units


def count_by_mask(group: UnitGroup, masks: Mapping[str, Mask], fillback_rate: float) -> int:
    """Compute ceil(n + (C - n) f): the mask's budget in complete units, and a share f of the rest (Refill+)."""
    n = equivalent_units(group, masks)
    return math.ceil(round(n + (group.num_units - n) * fillback_rate, 9))


def count_by_rate(group: UnitGroup, rate: float, num_prunings: int, fillback_rate: float) -> int:
    """Compute round(n + (H - n) f) with n = H (1 - rate)^k of the dense group's H units after k prunings.

    The count exceeds the group's units where earlier prunings of all layers together took more than its share.
    """
    n = group.num_dense * (1 - rate) ** num_prunings
    return math.floor(n + (group.num_units - n) * fillback_rate + 0.5)


def choose_units(
    groups: Sequence[UnitGroup], counts: Mapping[str, int], scores: Mapping[str, Tensor], *, is_global: bool
) -> dict[str, list[int]]:
    """Return for each group the indices of the units that stay, ascending.

    Every group keeps its best unit.

    Args:
        groups: The groups.
        counts: Units to keep of each group.
        scores: Units with the highest scores stay, ties by index.
        is_global: Whether to pool the counts of all groups of one kind.
    """
    if not is_global:
        return {group.name: _best(scores[group.name], max(1, counts[group.name])) for group in groups}
    kept: dict[str, list[int]] = {}
    for kind in dict.fromkeys(group.kind for group in groups):
        kept |= _choose_pooled([group for group in groups if group.kind == kind], counts, scores)
    return kept


def _choose_pooled(
    groups: Sequence[UnitGroup], counts: Mapping[str, int], scores: Mapping[str, Tensor]
) -> dict[str, list[int]]:
    kept = {group.name: _best(scores[group.name], 1) for group in groups}
    others = [
        (-float(score), order, place)
        for order, group in enumerate(groups)
        for place, score in enumerate(scores[group.name])
        if place not in kept[group.name]
    ]
    num_free = max(0, sum(counts[group.name] for group in groups) - len(groups))
    for _, order, place in sorted(others)[:num_free]:
        kept[groups[order].name].append(place)
    return {name: sorted(places) for name, places in kept.items()}


def _best(scores: Tensor, count: int) -> list[int]:
    order = sorted(range(len(scores)), key=lambda place: (-float(scores[place]), place))
    return sorted(order[:count])
