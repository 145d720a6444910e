"""Groups of units that can be removed together: channels, attention heads, neurons of the MLP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

Kind = Literal["channel", "residual", "head", "neuron"]


@dataclass(frozen=True)
class Member:
    """Tensor of the state dict that loses rows or columns when a unit is removed."""

    tensor: str
    dim: int
    index: Int64[Tensor, "units entries"]
    """The entries of each unit along `dim`."""
    is_own: bool = False
    """Whether the weights compute the unit; the others are its bias and statistics, or weights that read it."""
    is_prunable: bool = False
    """Whether sparsity counts the weights, and magnitude pruning ranks them."""
    is_scale: bool = False
    """Whether it is a batch norm's factor on the units."""

    @property
    def is_statistic(self) -> bool:
        """Whether it is a running mean or variance, which no gradient changes."""
        return self.tensor.endswith(("running_mean", "running_var"))

    @property
    def module(self) -> str:
        """Name of the module that holds the tensor."""
        return self.tensor.rpartition(".")[0]


@dataclass(frozen=True)
class UnitGroup:
    """Units of one layer, or of one stage's residual stream."""

    name: str
    kind: Kind
    num_dense: int
    """Units in the dense network."""
    members: Sequence[Member]

    @property
    def num_units(self) -> int:
        """Units that the group has now."""
        return len(self.members[0].index)

    @property
    def own(self) -> list[Member]:
        """The members whose weights compute the units."""
        return [member for member in self.members if member.is_own]

    @property
    def parameters(self) -> list[Member]:
        """All members that are trained: what computes the units, what reads them, and the norms between."""
        return [member for member in self.members if not member.is_statistic]


def one_each(num_units: int) -> Int64[Tensor, "units 1"]:
    """Return the index in which unit u has entry u."""
    return torch.arange(num_units)[:, None]


def norm_members(name: str, num_units: int) -> list[Member]:
    """Return a batch norm's tensors with one entry for each channel."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return [Member(f"{name}.{part}", 0, one_each(num_units), is_scale=part == "weight") for part in parts]
