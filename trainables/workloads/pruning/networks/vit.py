"""Vision transformers for small images (Dosovitskiy et al. 2021), with the tensor names of timm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.normalisation import Normalize
from trainables.workloads.pruning.networks.units import Member, UnitGroup, one_each

Tokens = Float[Tensor, "batch tokens features"]


@dataclass(frozen=True)
class VitSpec:
    """Sizes of the dense network."""

    dim: int
    depth: int
    num_heads: int
    mlp_ratio: int

    @property
    def head_dim(self) -> int:
        """Features of a head; unchanged when heads are removed."""
        return self.dim // self.num_heads


SPECS = {
    "vit_tiny": VitSpec(192, 9, 3, 2),
    "vit_small": VitSpec(384, 12, 6, 4),
    "vit_base": VitSpec(768, 12, 12, 4),
}


class VisionTransformer(nn.Module):
    """Pre-norm encoder with a class token and learnt positions; built from a blueprint."""

    def __init__(self, blueprint: Blueprint) -> None:
        super().__init__()
        spec, patch = SPECS[blueprint.arch], blueprint.patch_size
        if blueprint.height % patch or blueprint.width % patch:
            raise ValueError(
                f"`workload.patch_size` is {patch}, which does not divide images of {blueprint.height}x"
                f"{blueprint.width}; give a divisor of both sides"
            )
        num_patches = (blueprint.height // patch) * (blueprint.width // patch)
        self.normalize = Normalize(blueprint.channels)
        self.patch_embed = PatchEmbedding(blueprint.channels, spec.dim, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_patches, spec.dim))
        self.blocks = nn.Sequential(*(_build_block(blueprint, index) for index in range(spec.depth)))
        self.norm = nn.LayerNorm(spec.dim, eps=1e-6)
        self.head = nn.Linear(spec.dim, blueprint.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for tensor in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(tensor, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """Return logits of uint8 images, or of floating ones with values from 0 to 1."""
        x = self.patch_embed(self.normalize(images))
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class PatchEmbedding(nn.Module):
    """Embedding of each patch as one token."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Tokens:
        """Return tokens in row order."""
        return self.proj(images).flatten(2).transpose(1, 2)


class VitBlock(nn.Module):
    """Attention and MLP, each added to its input."""

    def __init__(self, spec: VitSpec, num_heads: int, num_neurons: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(spec.dim, eps=1e-6)
        self.attn = Attention(spec.dim, num_heads, spec.head_dim)
        self.norm2 = nn.LayerNorm(spec.dim, eps=1e-6)
        self.mlp = Mlp(spec.dim, num_neurons)

    def forward(self, x: Tokens) -> Tokens:
        """Return tokens of the same shape as `x`."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Multi-head attention; rows of `qkv` are ordered by query, key, value, then head."""

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, head_dim
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim)
        self.proj = nn.Linear(num_heads * head_dim, dim)

    def forward(self, x: Tokens) -> Tokens:
        """Return tokens of the same shape as `x`."""
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, self.num_heads * self.head_dim))


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int, num_neurons: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, num_neurons)
        self.fc2 = nn.Linear(num_neurons, dim)

    def forward(self, x: Tokens) -> Tokens:
        """Return tokens of the same shape as `x`."""
        return self.fc2(functional.gelu(self.fc1(x)))


def _build_block(blueprint: Blueprint, index: int) -> VitBlock:
    spec = SPECS[blueprint.arch]
    num_heads = blueprint.count(f"blocks.{index}.attn", spec.num_heads)
    return VitBlock(spec, num_heads, blueprint.count(f"blocks.{index}.mlp", spec.dim * spec.mlp_ratio))


def vit_groups(blueprint: Blueprint) -> list[UnitGroup]:
    """Return the groups of heads and neurons of every block."""
    return [
        group
        for index in range(SPECS[blueprint.arch].depth)
        for group in (_head_group(blueprint, index), _neuron_group(blueprint, index))
    ]


def _head_group(blueprint: Blueprint, index: int) -> UnitGroup:
    spec, attention = SPECS[blueprint.arch], f"blocks.{index}.attn"
    count = blueprint.count(attention, spec.num_heads)
    columns = torch.arange(count * spec.head_dim).reshape(count, spec.head_dim)
    rows = torch.cat([columns + part * columns.numel() for part in range(3)], dim=1)  # query, key, value
    members = [
        Member(f"{attention}.qkv.weight", 0, rows, is_own=True, is_prunable=True),
        Member(f"{attention}.qkv.bias", 0, rows),
        Member(f"{attention}.proj.weight", 1, columns, is_prunable=True),
    ]
    return UnitGroup(attention, "head", spec.num_heads, members)


def _neuron_group(blueprint: Blueprint, index: int) -> UnitGroup:
    spec, mlp = SPECS[blueprint.arch], f"blocks.{index}.mlp"
    count = blueprint.count(mlp, spec.dim * spec.mlp_ratio)
    members = [
        Member(f"{mlp}.fc1.weight", 0, one_each(count), is_own=True, is_prunable=True),
        Member(f"{mlp}.fc1.bias", 0, one_each(count)),
        Member(f"{mlp}.fc2.weight", 1, one_each(count), is_prunable=True),
    ]
    return UnitGroup(mlp, "neuron", spec.dim * spec.mlp_ratio, members)
