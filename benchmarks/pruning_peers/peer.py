"""Torch-Pruning's choice of units by its group norm, printed as JSON; run by the interpreter that has it.

Its network is ours, with shortcuts that it can trace. What it removes is read from its history and named by our groups,
so that its choice is judged by the same networks and the same count as ours.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch_pruning  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.pruning_peers.networks import load_published, share_of
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups
from trainables.workloads.pruning.networks.resnet import PaddedShortcut

NUM_HALVINGS = 10
"""Of the interval in which a ratio is searched: as fine as one of a thousand channels."""


class _Pad(torch.autograd.Function):
    """A padded shortcut as one node of the graph that is traced."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 1)).index_select(1, source)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError


class TracedShortcut(nn.Module):
    """A padded shortcut whose channels before and after are free of each other, without weights that could count."""

    def __init__(self, shortcut: PaddedShortcut, num_before: int) -> None:
        super().__init__()
        self.source, self.num_before, self.num_after = shortcut.source, num_before, len(shortcut.source)

    def forward(self, x: Tensor) -> Tensor:
        """As `PaddedShortcut`."""
        return _Pad.apply(x, self.source)  # pyright: ignore


class ShortcutPruner(torch_pruning.function.BasePruningFunc):
    """What Torch-Pruning asks and tells of a traced shortcut."""

    def prune_out_channels(self, layer: TracedShortcut, idxs: list[int]) -> nn.Module:
        """Forget channels of the stream after."""
        layer.num_after -= len(idxs)
        return layer

    def prune_in_channels(self, layer: TracedShortcut, idxs: list[int]) -> nn.Module:
        """Forget channels of the stream before."""
        layer.num_before -= len(idxs)
        return layer

    def get_out_channels(self, layer: TracedShortcut) -> int:
        """Count the channels of the stream after."""
        return layer.num_after

    def get_in_channels(self, layer: TracedShortcut) -> int:
        """Count the channels of the stream before."""
        return layer.num_before


def choose(
    arch: str, weights: Path, *, prunes_residual: bool, is_global: bool, ratio: float
) -> tuple[Blueprint, dict[str, list[int]]]:
    """Prune once by a ratio; returns the dense blueprint, and the dense numbers of the units that each group kept."""
    network, blueprint = load_published(arch, weights)
    for stage in (2, 3):
        block = network.get_submodule(f"layer{stage}.0")
        block.shortcut = TracedShortcut(block.shortcut, block.conv1.in_channels)  # pyright: ignore
    groups = find_groups(blueprint)
    roots = {member.module: group for group in groups for member in group.own}
    ignored = ["fc", *(name for name, group in roots.items() if not prunes_residual and group.kind == "residual")]
    pruner = torch_pruning.pruner.BasePruner(
        network,
        torch.zeros(1, 3, 32, 32),
        importance=torch_pruning.importance.GroupMagnitudeImportance(),
        global_pruning=is_global,
        pruning_ratio=ratio,
        ignored_layers=[network.get_submodule(name) for name in ignored],
        customized_pruners={TracedShortcut: ShortcutPruner()},
    )
    pruner.step()
    kept: dict[str, list[int]] = {}
    for root, _, going in pruner.pruning_history():
        group = roots[root]
        present = kept.get(group.name, list(range(group.num_units)))
        kept[group.name] = [unit for place, unit in enumerate(present) if place not in set(going)]
    for group in groups:  # what was removed is what the history says
        count = network.get_submodule(group.own[-1].module).out_channels
        assert count == len(kept.get(group.name, range(group.num_units))), group.name
    return blueprint, kept


def find_choice(share: float, **settings: Any) -> dict[str, list[int]]:
    """Find by bisection the lowest ratio that leaves at most `share` of the multiply-accumulates."""
    low, high, best = 0.0, 1.0, None
    for _ in range(NUM_HALVINGS):
        ratio = (low + high) / 2
        blueprint, kept = choose(**settings, ratio=ratio)
        if share_of(blueprint, kept) <= share:
            best, high = kept, ratio
        else:
            low = ratio
    assert best is not None, "no ratio leaves so little"
    return best


def main() -> None:
    """Answer the questions of a file of JSON on the last line of the output."""
    questions: list[dict[str, Any]] = json.loads(Path(sys.argv[1]).read_text())["questions"]
    answers = [find_choice(**{**each, "weights": Path(each["weights"])}) for each in questions]
    print(json.dumps({"answers": answers}))


if __name__ == "__main__":
    main()
