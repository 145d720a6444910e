"""Collective operations of the training workers; with one worker they return their argument."""

import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

ANSWER_S = 10.0
"""How long `lacks_peer` waits for the other ranks. The connection to one that has ended breaks at once."""


class ProcessGroup:
    """The `Collectives` of workloads, over torch.distributed's default group."""

    def __init__(self, device: torch.device):
        self.device = device
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        self._probe: Any = None
        if self.world_size > 1 and dist.get_backend() == "gloo":
            self._probe = dist.new_group(backend="gloo", timeout=timedelta(seconds=ANSWER_S))

    def lacks_peer(self, error: Exception) -> bool:
        """Return whether the process of another rank has ended, after an error on this one, which may be its result.

        NCCL has an error of its own for it. Gloo has none, but then any connection to the lost process is broken, while
        one to a process that is busy waits.
        """
        if isinstance(error, dist.DistError):
            return True
        if self._probe is None or not isinstance(error, RuntimeError):
            return False
        began = time.monotonic()
        try:
            dist.barrier(group=self._probe)
        except RuntimeError:
            return time.monotonic() - began < ANSWER_S / 2
        return False

    def sum(self, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone().to(self.device)
        if self.world_size > 1:
            dist.all_reduce(total)
        return total.to(tensor.device)

    def gather(self, tensor: Tensor) -> Tensor:
        if self.world_size == 1:
            return tensor.detach()
        return _gather(tensor.detach().to(self.device), self.counts(len(tensor))).to(tensor.device)

    def gather_with_gradient(self, tensor: Tensor) -> Tensor:
        if self.world_size == 1:
            return tensor
        return _Gather.apply(tensor, self.rank, self.counts(len(tensor)))  # pyright: ignore

    def counts(self, count: int) -> list[int]:
        if self.world_size == 1:
            return [count]
        own = torch.tensor([count], device=self.device)
        parts = [torch.empty_like(own) for _ in range(self.world_size)]
        dist.all_gather(parts, own)
        return [int(part) for part in parts]

    def broadcast(self, value: Any) -> Any:
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather_values(self, value: Any) -> list[Any]:
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values


def is_sharded(tensor: Tensor) -> bool:
    """Return whether each rank has a part of it: a DTensor, told without its module, which is slow to import."""
    return hasattr(tensor, "full_tensor")


def complete(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which each rank has a part; a plain tensor as it is. A collective if it is sharded."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # pyright: ignore


def _gather(tensor: Tensor, counts: list[int]) -> Tensor:
    """Concatenate over ranks; NCCL needs equal shapes, so shorter ones are padded."""
    padded = tensor.contiguous()
    if len(tensor) < max(counts):
        padded = torch.cat([padded, padded.new_zeros(max(counts) - len(tensor), *tensor.shape[1:])])
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, counts: list[int]) -> Tensor:
        first = sum(counts[:rank])
        ctx.rows = slice(first, first + counts[rank])
        return _gather(tensor, counts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rows], None, None
