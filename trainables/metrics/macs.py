"""Multiply-accumulates of a forward pass, counted from its torch calls."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def count_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Count convolutions, linear layers, matrix products and attention products (QK and AV) of `module(*inputs)`.

    Biases, norms, activations and resampling are not counted.
    """
    counter = _Counter()
    with torch.no_grad(), counter:
        module(*inputs)
    return counter.total


def count_macs_inside(module: nn.Module, call: Callable[[nn.Module], object]) -> int:
    """Count the forward passes of the module that `call` gets, and nothing else that `call` computes."""
    counted = _Counted(module)
    with torch.no_grad():
        call(counted)
    return counted.total


class _Counted(nn.Module):
    """Wrapper that counts every call of `module`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.total = module, 0

    def forward(self, *inputs: Any, **options: Any) -> Any:
        counter = _Counter()
        with counter:
            result = self.module(*inputs, **options)
        self.total += counter.total
        return result


class _Counter(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        rule = _RULES.get(func)
        if rule is not None:
            names = ("query", "key", "value") if rule is _attention else ("input", "weight")
            operands = [*args, *((kwargs or {})[name] for name in names[len(args) :] if name in (kwargs or {}))]
            self.total += rule(result, *operands[: len(names)])
        return result


def _convolution(result: Tensor, images: Tensor, weight: Tensor) -> int:
    return result.numel() * prod(weight.shape[1:])


def _transposed_convolution(result: Tensor, images: Tensor, weight: Tensor) -> int:
    return images.numel() * prod(weight.shape[1:])


def _product(result: Tensor, left: Tensor, right: Tensor) -> int:
    return result.numel() * left.shape[-1]


def _attention(result: Tensor, query: Tensor, key: Tensor, value: Tensor) -> int:
    num_scores = prod(query.shape[:-1]) * key.shape[-2]
    return num_scores * (query.shape[-1] + value.shape[-1])


_RULES: dict[Any, Callable[..., int]] = {
    **dict.fromkeys((functional.conv1d, functional.conv2d, functional.conv3d), _convolution),
    **dict.fromkeys(
        (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d), _transposed_convolution
    ),
    **dict.fromkeys((functional.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.mm), _product),
    functional.scaled_dot_product_attention: _attention,
}
