"""The blueprint of a network: architecture, image shape, and the units that are left in every group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Blueprint:
    """Plain data to build a network, dense or pruned."""

    arch: str
    channels: int
    height: int
    width: int
    num_classes: int
    patch_size: int = 4
    """Vision transformers only: side of a patch in pixels."""
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """For each group that has lost units, the dense network's numbers of those that are left, ascending."""

    def positions(self, group: str, num_dense: int) -> tuple[int, ...]:
        """Return the dense network's numbers of the group's units."""
        return self.kept.get(group, tuple(range(num_dense)))

    def count(self, group: str, num_dense: int) -> int:
        """Return the number of the group's units."""
        return len(self.positions(group, num_dense))

    def dense(self) -> Self:
        """Return the blueprint before any pruning."""
        return replace(self, kept={})

    def keeping(self, kept: Mapping[str, Sequence[int]]) -> Self:
        """Return the blueprint with other units."""
        return replace(self, kept={name: tuple(int(unit) for unit in units) for name, units in kept.items()})

    def to_plain(self) -> dict[str, Any]:
        """Return the blueprint as JSON values."""
        return {
            "arch": self.arch,
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "num_classes": self.num_classes,
            "patch_size": self.patch_size,
            "kept": {name: list(units) for name, units in self.kept.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Build from `to_plain`."""
        return cls(**{**plain, "kept": {name: tuple(units) for name, units in plain["kept"].items()}})
