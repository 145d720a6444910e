"""RSST's pruning marks: weights that are regularised towards zero or held at zero until their units are removed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.pruning.networks.units import UnitGroup
from trainables.workloads.pruning.selection.magnitude_masks import Mask
from trainables.workloads.pruning.selection.physical_removal import Kept


class PruningMarks:
    """Marks of one round; empty for a round without any."""

    def __init__(
        self,
        kept: Kept | None = None,
        pulled: Mapping[str, Mask] | None = None,
        zeroed: Mapping[str, Mask] | None = None,
    ) -> None:
        self.kept: dict[str, list[int]] = {name: list(places) for name, places in (kept or {}).items()}
        """For each group the indices of the units that are not marked."""
        self.pulled: dict[str, Mask] = dict(pulled or {})
        """The set S: marked weights that the magnitude pruning keeps."""
        self.zeroed: dict[str, Mask] = dict(zeroed or {})
        """Marked weights that the magnitude pruning does not keep."""

    def __bool__(self) -> bool:
        return bool(self.kept)

    def num_zeroed(self) -> int:
        """Return the number of weights held at zero."""
        return sum(int(mask.sum()) for mask in self.zeroed.values())

    def attach(self, network: nn.Module) -> None:
        """Set the zeroed weights to zero and hold them there: their gradient is zero from now on.

        With no gradient, no momentum and nothing to decay, no optimiser changes them.
        """
        parameters = dict(network.named_parameters())
        for name, mask in self.zeroed.items():
            parameter = parameters[name]
            parameter.data[mask.to(parameter.device)] = 0.0
            parameter.register_hook(_GradientMask(mask))

    def penalty(self, network: nn.Module, strength: float) -> Float[Tensor, ""]:
        """Compute lambda / 2 times the squared norm of the weights in S; its gradient is lambda w, to the bit."""
        parameters = dict(network.named_parameters())
        terms = []
        for name, mask in self.pulled.items():
            weight = parameters[name]
            self.pulled[name] = mask = mask.to(weight.device)
            terms.append((weight.detach() * mask * weight).sum())  # the gradient of the sum over c w is c
        if not terms:
            return torch.zeros((), device=next(network.parameters()).device)
        slope = strength * torch.stack(terms).sum()
        return slope - 0.5 * slope.detach()

    def norm_ratio(self, network: nn.Module) -> float:
        """Compute the root mean square of the marked weights over that of the other weights in the same tensors."""
        parameters = dict(network.named_parameters())
        sums = torch.zeros(4, dtype=torch.float64)
        for name, mask in self.pulled.items():
            squares = parameters[name].detach().double().square().cpu()
            is_doomed = mask.cpu() | self.zeroed[name].cpu()
            sums += torch.tensor(
                [squares[is_doomed].sum(), is_doomed.sum(), squares[~is_doomed].sum(), (~is_doomed).sum()],
                dtype=torch.float64,
            )
        doomed, kept = (sums[0] / sums[1]).sqrt(), (sums[2] / sums[3]).sqrt()
        return float(doomed / kept)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain data."""
        pulled = {name: mask.cpu() for name, mask in self.pulled.items()}
        return {"kept": self.kept, "pulled": pulled, "zeroed": {name: mask.cpu() for name, mask in self.zeroed.items()}}


class _GradientMask:
    """Gradient hook; a class, so that a network with it can be pickled."""

    def __init__(self, mask: Mask) -> None:
        self._alive = ~mask

    def __call__(self, gradient: Tensor) -> Tensor:
        self._alive = self._alive.to(gradient.device)
        return gradient * self._alive


def mark_units(
    groups: Sequence[UnitGroup], kept: Kept, shapes: Mapping[str, torch.Size], masks: Mapping[str, Mask]
) -> PruningMarks:
    """Mark all units outside `kept`: every prunable weight that computes them or reads them.

    `kept` has, for each group that may lose units, the indices of those that stay; `shapes` are those of the network's
    tensors, and `masks` the weights that magnitude pruning keeps, by tensor.
    """
    marked: dict[str, Mask] = {}
    for group in groups:
        going = sorted(set(range(group.num_units)) - set(kept.get(group.name, range(group.num_units))))
        for member in group.members if going else ():
            if member.is_prunable:
                mask = marked.setdefault(member.tensor, torch.zeros(shapes[member.tensor], dtype=torch.bool))
                mask.index_fill_(member.dim, member.index[going].flatten(), True)
    if not marked:
        return PruningMarks()
    sizes = {group.name: group.num_units for group in groups}
    alive = {name: masks[name].cpu() for name in marked}
    return PruningMarks(
        {name: places for name, places in kept.items() if len(places) < sizes[name]},
        pulled={name: mask & alive[name] for name, mask in marked.items()},
        zeroed={name: mask & ~alive[name] for name, mask in marked.items()},
    )
