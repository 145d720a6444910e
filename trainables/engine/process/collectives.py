"""Collective operations of the training workers; with one worker they return their argument."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class ProcessGroup:
    """Collectives over torch.distributed's default group; every method is called by all ranks or by none."""

    def __init__(self, device: torch.device):
        self.device = device
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the elementwise sum over ranks, a new tensor on every rank."""
        total = tensor.detach().clone().to(self.device)
        if self.world_size > 1:
            dist.all_reduce(total)
        return total.to(tensor.device)

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate over ranks along the first dimension, which may differ between ranks."""
        if self.world_size == 1:
            return tensor.detach()
        counts = [int(count) for count in self.gather_values(tensor.shape[0])]
        padded = torch.zeros((max(counts), *tensor.shape[1:]), dtype=tensor.dtype, device=self.device)
        padded[: tensor.shape[0]] = tensor.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).to(tensor.device)

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """Gather tensors of equal shape; gradients flow back, summed over the ranks that used them."""
        return tensor if self.world_size == 1 else _Gather.apply(tensor, self.rank, self.world_size)  # pyright: ignore

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value (plain data and CPU tensors) on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather_values(self, value: Any) -> list[Any]:
        """Return every rank's value, in rank order, on every rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, world_size: int) -> Tensor:
        ctx.rows = slice(rank * len(tensor), (rank + 1) * len(tensor))
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rows], None, None
