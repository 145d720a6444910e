"""Unit selection of a trained network: combines the settings with scores and counts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor, nn

from trainables.contract.train_context import StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.latency import Latency, LatencyMeter
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups, measure_size, prunable_tensors
from trainables.workloads.pruning.networks.units import UnitGroup
from trainables.workloads.pruning.selection.importance import compute_importance
from trainables.workloads.pruning.selection.magnitude_masks import Mask, prune_globally
from trainables.workloads.pruning.selection.physical_removal import shrink

NUM_HALVINGS = 14
"""Of the interval in which a rate is searched: it is found to within 0.0001."""


@dataclass(frozen=True)
class PruningPlan:
    """Plan of one pruning."""

    rate: float
    masks: Mapping[str, Mask]
    """Weights that magnitude pruning keeps, by tensor."""
    kept: dict[str, list[int]]
    """For each target group the indices of the units that stay."""
    latency: Latency | None = None
    """Of the network that stays; with a target in latency alone."""


def prune_weights(network: nn.Module, blueprint: Blueprint, rate: float) -> dict[str, Mask]:
    """Prune all prunable weights by magnitude, on the CPU, so that every device gives the same masks."""
    state = network.state_dict()
    return prune_globally({name: state[name].cpu() for name in prunable_tensors(blueprint)}, rate)


def target_groups(blueprint: Blueprint, config: PruningConfig) -> list[UnitGroup]:
    """Return the groups that the settings allow to prune."""
    return [group for group in find_groups(blueprint) if group.kind in config.kinds]


def plan_pruning(
    network: nn.Module, blueprint: Blueprint, config: PruningConfig, *, start: StartContext, num_prunings: int
) -> PruningPlan:
    """Plan a pruning by `config.rate`, or by the least rate that reaches the target of `config`; a collective.

    Raises ValueError when every network that was timed is slower than the target in latency. `num_prunings` counts this
    one too.
    """
    groups = target_groups(blueprint, config)
    scores = compute_importance(
        network,
        groups,
        config.criteria,
        masks={} if config.rate is None else prune_weights(network, blueprint, config.rate),
        batches=islice(start.batches("train"), config.criterion_batches),
        collectives=start.collectives,
    )

    def plan_at(rate: float) -> PruningPlan:
        masks = prune_weights(network, blueprint, rate)
        counts = {group.name: _count(group, config, rate, masks, num_prunings) for group in groups}
        return PruningPlan(rate, masks, choose_units(groups, counts, scores, is_global=config.sorting_mode == "global"))

    share = config.allowed_share(num_prunings)
    if share is None:
        assert config.rate is not None
        return plan_at(config.rate)
    if config.target_latency is None:
        allowed = share * measure_size(blueprint.dense()).macs
        return find_plan(plan_at, lambda plan: measure_size(shrink(blueprint, plan.kept)).macs, allowed)
    meter = LatencyMeter(config.latency_batch_size, start)
    plan = find_plan(plan_at, lambda plan: meter.measure(shrink(blueprint, plan.kept)).share, share)
    latency = meter.measure(shrink(blueprint, plan.kept))
    _refuse_slower(latency, share, config, start)
    return replace(plan, latency=latency)


def find_plan(
    plan_at: Callable[[float], PruningPlan], cost_of: Callable[[PruningPlan], float], allowed: float
) -> PruningPlan:
    """Find by bisection the plan of the lowest rate that costs at most `allowed`; that of rate 1 if none does.

    A plan of a higher rate keeps no unit that one of a lower rate removes. A measured cost, which may rise by chance
    where units go, leads to a plan that was measured to cost so little, near the lowest rate.
    """
    low, high = 0.0, 1.0
    best = plan_at(high)
    for _ in range(NUM_HALVINGS):
        plan = plan_at((low + high) / 2)
        if cost_of(plan) <= allowed:
            best, high = plan, plan.rate
        else:
            low = plan.rate
    return best


def describe_plan(plan: PruningPlan, blueprint: Blueprint, config: PruningConfig, num_prunings: int) -> str:
    """Return in words what the plan of a target leaves of the network with this blueprint."""
    rate = f"a rate of {plan.rate:.4f}"
    allowed = f"of {100 * (config.allowed_share(num_prunings) or 1):.2f} % allowed"
    if plan.latency is not None:
        return (
            f"{rate} leaves {100 * plan.latency.share:.2f} % of the dense network's latency, "
            f"{allowed}: {plan.latency.network_ms:.2f} ms of {plan.latency.dense_ms:.2f} ms for "
            f"{config.latency_batch_size} images"
        )
    share = measure_size(shrink(blueprint, plan.kept)).macs / measure_size(blueprint.dense()).macs
    return f"{rate} leaves {100 * share:.2f} % of the dense network's multiply-accumulates, {allowed}"


def refuse_unreachable(blueprint: Blueprint, config: PruningConfig) -> None:
    """Raise ValueError when even one unit in every group that may be pruned costs more than `config.target_macs`."""
    if config.target_macs is None:
        return
    share = measure_size(_shrink_most(blueprint, config)).macs / measure_size(blueprint.dense()).macs
    if share > config.target_macs:
        raise ValueError(
            f"`workload.target_macs` is {config.target_macs}, but {config.arch} with one unit left in every group that "
            f"may be pruned still takes {share:.3f} of the dense network's multiply-accumulates; give more, or let "
            f"other units go too (`workload.{_name_wider(config)}`)"
        )


def refuse_slow(blueprint: Blueprint, config: PruningConfig, start: StartContext) -> None:
    """Raise ValueError when even one unit in every group takes longer than `config.target_latency`; a collective."""
    if config.target_latency is not None:
        found = LatencyMeter(config.latency_batch_size, start).measure(_shrink_most(blueprint, config))
        _refuse_slower(found, config.target_latency, config, start)


def _refuse_slower(found: Latency, allowed: float, config: PruningConfig, start: StartContext) -> None:
    if found.share > allowed:
        raise ValueError(
            f"`workload.target_latency` is {config.target_latency}, but {config.arch} with one unit left in every "
            f"group that may be pruned takes {found.network_ms:.2f} ms of the dense network's {found.dense_ms:.2f} ms "
            f"for {config.latency_batch_size} images on {start.device}, a share of {found.share:.3f} where "
            f"{allowed:.3f} is allowed; give more, let other units go too (`workload.{_name_wider(config)}`), or time "
            "larger batches (`workload.latency_batch_size`)"
        )


def _shrink_most(blueprint: Blueprint, config: PruningConfig) -> Blueprint:
    return shrink(blueprint, {group.name: [0] for group in target_groups(blueprint, config)})


def _name_wider(config: PruningConfig) -> str:
    return "target: both" if config.is_vit else "prunes_residual: true"


def _count(group: UnitGroup, config: PruningConfig, rate: float, masks: Mapping[str, Mask], num_prunings: int) -> int:
    if not config.is_vit and config.sorting_mode != "uniform":
        return count_by_mask(group, masks, config.fillback_rate)
    own_rate = (group.kind == "neuron" and config.mlp_prune_ratio) or rate
    return count_by_rate(group, own_rate, num_prunings, config.fillback_rate)


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

    Every group keeps its best unit. `counts` are the units to keep of each group. Units with the highest scores stay,
    ties by index; `is_global` pools the counts of all groups of one kind.
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
