"""ResNets for small images: `res20s` to `res56s` (He et al. 2016, section 4.2) and `res18` with a 3x3 stem."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.normalisation import Normalize
from trainables.workloads.pruning.networks.units import Member, UnitGroup, norm_members, one_each

Images = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class ResNetSpec:
    """Sizes of the dense network."""

    widths: tuple[int, ...]
    """Channels of the residual stream in each stage."""
    num_blocks: int
    """Blocks in each stage."""
    has_projections: bool
    """Shortcuts between stages are 1x1 convolutions (option B of He et al. 2016), else padded by zeros (option A)."""


CIFAR_DEPTHS = {"res20s": 20, "res32s": 32, "res44s": 44, "res56s": 56}
"""Layers with weights, 6 n + 2 for n blocks in each of three stages."""
SPECS = {
    **{arch: ResNetSpec((16, 32, 64), (depth - 2) // 6, has_projections=False) for arch, depth in CIFAR_DEPTHS.items()},
    "res18": ResNetSpec((64, 128, 256, 512), 2, has_projections=True),
}


class ResNet(nn.Module):
    """ResNet of a blueprint; `layer2` names the residual stream of stage 2, `layer2.0.conv1` a block's inside."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        spec = SPECS[blueprint.arch]
        streams = stream_positions(blueprint)
        self.normalize = Normalize(blueprint.channels)
        self.conv1 = nn.Conv2d(blueprint.channels, len(streams[0]), 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(len(streams[0]))
        self.num_stages = len(spec.widths)
        for stage in range(self.num_stages):
            blocks = [_build_block(blueprint, streams, stage, index) for index in range(spec.num_blocks)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(len(streams[-1]), blueprint.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """Return logits of uint8 images, or of floating ones with values from 0 to 1."""
        x = functional.relu(self.bn1(self.conv1(self.normalize(images))))
        for stage in range(self.num_stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(x.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels: tuple[int, int, int], stride: int, shortcut: nn.Module) -> None:
        """Build a block.

        `channels` are those of the input, between the convolutions, and of the output; `shortcut` maps the input to the
        output's shape, and `stride` is that of the first convolution.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels[0], channels[1], 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[1])
        self.conv2 = nn.Conv2d(channels[1], channels[2], 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels[2])
        self.shortcut = shortcut

    def forward(self, x: Images) -> Images:
        """Return features; half the height and width with stride 2."""
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


class PaddedShortcut(nn.Module):
    """Shortcut of option A: every second pixel, with zero channels on both sides.

    Pruned streams use the channels left.
    """

    source: Tensor

    def __init__(self, before: Sequence[int], after: Sequence[int], padding: int) -> None:
        """Build a shortcut.

        `before` and `after` are the dense network's numbers of the channels of the stream before and after; `padding`
        are zero channels on each side in the dense network.
        """
        super().__init__()
        place = {channel + padding: index for index, channel in enumerate(before)}
        source = [place.get(channel, len(before)) for channel in after]
        self.register_buffer("source", torch.tensor(source), persistent=False)

    def forward(self, x: Images) -> Images:
        """Return features of half the height and width."""
        padded = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 1))
        return padded.index_select(1, self.source)


class Projection(nn.Sequential):
    """Shortcut of option B: a 1x1 convolution with batch norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False),
            nn.BatchNorm2d(out_channels),
        )


def stream_positions(blueprint: Blueprint) -> list[tuple[int, ...]]:
    """Return, for each stage, the dense network's numbers of the residual stream's channels."""
    widths = SPECS[blueprint.arch].widths
    return [blueprint.positions(f"layer{stage + 1}", width) for stage, width in enumerate(widths)]


def _build_block(blueprint: Blueprint, streams: list[tuple[int, ...]], stage: int, index: int) -> BasicBlock:
    spec = SPECS[blueprint.arch]
    changes = stage > 0 and index == 0
    before, after = streams[stage - changes], streams[stage]
    inner = blueprint.count(f"layer{stage + 1}.{index}.conv1", spec.widths[stage])
    shortcut: nn.Module = nn.Identity()
    if changes and spec.has_projections:
        shortcut = Projection(len(before), len(after))
    elif changes:
        shortcut = PaddedShortcut(before, after, (spec.widths[stage] - spec.widths[stage - 1]) // 2)
    return BasicBlock((len(before), inner, len(after)), 2 if changes else 1, shortcut)


def resnet_groups(blueprint: Blueprint) -> list[UnitGroup]:
    """Return the groups of the inside of every block, then of the residual stream of every stage."""
    spec = SPECS[blueprint.arch]
    blocks = [(stage, index) for stage in range(len(spec.widths)) for index in range(spec.num_blocks)]
    inside = [_block_group(blueprint, stage, index) for stage, index in blocks]
    return inside + [_stream_group(blueprint, stage) for stage in range(len(spec.widths))]


def _block_group(blueprint: Blueprint, stage: int, index: int) -> UnitGroup:
    block, width = f"layer{stage + 1}.{index}", SPECS[blueprint.arch].widths[stage]
    count = blueprint.count(f"{block}.conv1", width)
    members = [
        Member(f"{block}.conv1.weight", 0, one_each(count), is_own=True, is_prunable=True),
        *norm_members(f"{block}.bn1", count),
        Member(f"{block}.conv2.weight", 1, one_each(count), is_prunable=True),
    ]
    return UnitGroup(f"{block}.conv1", "channel", width, members)


def _stream_group(blueprint: Blueprint, stage: int) -> UnitGroup:
    """Return a stream's group: all convolutions that write into it, with their norms, and all that read from it."""
    spec, layer = SPECS[blueprint.arch], f"layer{stage + 1}"
    count = blueprint.count(layer, spec.widths[stage])
    writers = [(f"{layer}.{index}.conv2", f"{layer}.{index}.bn2") for index in range(spec.num_blocks)]
    readers = [f"{layer}.{index}.conv1" for index in range(1 if stage else 0, spec.num_blocks)]
    if stage == 0:
        writers = [("conv1", "bn1"), *writers]
    elif spec.has_projections:
        writers = [(f"{layer}.0.shortcut.0", f"{layer}.0.shortcut.1"), *writers]
    if stage + 1 < len(spec.widths):
        following = f"layer{stage + 2}.0"
        readers += [f"{following}.conv1", *([f"{following}.shortcut.0"] if spec.has_projections else [])]
    members = []
    for conv, norm in writers:
        # the stem is never ranked by magnitude pruning, nor counted in the sparsity
        members.append(Member(f"{conv}.weight", 0, one_each(count), is_own=True, is_prunable=conv != "conv1"))
        members += norm_members(norm, count)
    members += [Member(f"{conv}.weight", 1, one_each(count), is_prunable=True) for conv in readers]
    if stage + 1 == len(spec.widths):
        members.append(Member("fc.weight", 1, one_each(count)))
    return UnitGroup(layer, "residual", spec.widths[stage], members)
