"""Description of a network that is to be used without training code: what goes in, what comes out, how it is used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Axis:
    """A dimension whose size is free."""

    name: str
    minimum: int = 1
    example: int = 2
    """A size above the minimum, with which the network is traced."""


BATCH = Axis("batch")


@dataclass(frozen=True)
class GraphInput:
    """One input of an exported network."""

    name: str
    shape: Sequence[int | Axis]
    text: str
    """What it is, in words."""
    dtype: torch.dtype = torch.float32
    range: tuple[float, float] | None = None
    """Smallest and largest value; None: any."""

    def draw(self, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
        """Draw values of the range, or of N(0, 1), for given sizes of the free dimensions."""
        shape = [size if isinstance(size, int) else sizes[size.name] for size in self.shape]
        if not self.dtype.is_floating_point:
            low, high = self.range or (0, 0)
            return torch.randint(int(low), int(high) + 1, shape, generator=generator).to(self.dtype)
        if self.range is None:
            return torch.randn(shape, generator=generator).to(self.dtype)
        low, high = self.range
        return (low + (high - low) * torch.rand(shape, generator=generator)).to(self.dtype)


@dataclass(frozen=True)
class GraphOutput:
    """The output of an exported network."""

    name: str
    shape: Sequence[int | str]
    """Words are names of free dimensions of the inputs, also as in `4 * height`."""
    text: str


@dataclass(frozen=True)
class Graph:
    """One computation that is exported: a module that takes the inputs in order and returns one tensor."""

    module: nn.Module
    inputs: Sequence[GraphInput]
    output: GraphOutput
    name: str = "model"
    """Name of its files, without the ending."""


@dataclass(frozen=True)
class ExportSpec:
    """Everything that an export says of a network; plain data are JSON values, without paths of this machine."""

    summary: str
    """What it is, in one sentence."""
    network: nn.Module
    """Its weights are written as safetensors."""
    graphs: Sequence[Graph] = ()
    """Written as graphs; none when it is not known what the network takes."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the network."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """How inputs are made from files."""
    class_names: Sequence[str] = ()
    decision: Mapping[str, Any] | None = None
    """The rule from outputs to an answer: its name as `rule`, and what it needs."""
    sampler: Mapping[str, Any] | None = None
    """How the network is called in steps: equations, times, constants."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the network was trained on."""
    limits: Sequence[str] = ()
    """What it is not made for; sentences."""
    tags: Sequence[str] = ()
    pipeline_tag: str | None = None
    """The kind of task in the words of the Hugging Face Hub."""
    build_code: str | None = None
    """Lines of Python that build `module`, which takes the inputs of the first graph, and `weights_of`, the part of it
    that the weights belong to, from `card["architecture"]`, with this package."""
    use_code: str | None = None
    """Lines of Python that use `network`, a function from NumPy arrays to one, and `card`; None: one call."""
    write_further: Callable[[Path], Mapping[str, Any]] = lambda folder: {}
    """Writes further files into a folder; returns what was measured meanwhile."""
