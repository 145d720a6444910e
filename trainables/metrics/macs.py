"""Multiply-accumulates of a forward pass, as torch counts its floating-point operations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Count convolutions, linear layers, matrix products and attention products (QK and AV) of `module(*inputs)`.

    Biases, norms, activations and resampling are not counted.
    """
    return count_macs_inside(module, lambda counted: counted(*inputs))


def count_macs_inside(module: nn.Module, call: Callable[[nn.Module], object]) -> int:
    """Count the forward passes of the module that `call` gets, and nothing else that `call` computes."""
    counted = _Counted(module)
    with torch.no_grad():
        call(counted)
    return counted.num_flops // 2


class _Counted(nn.Module):
    """Wrapper that counts every call of `module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.num_flops = module, 0

    def forward(self, *inputs: Any, **options: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = self.module(*inputs, **options)
        self.num_flops += counter.get_total_flops()
        return result
