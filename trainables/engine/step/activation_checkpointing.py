"""Activation checkpointing: activations inside a block are computed again in the backward pass (Chen et al. 2016)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


class ActivationCheckpointing:
    """Blocks that keep only their inputs while a loss is computed; what they compute is the same, dropout included."""

    def __init__(self, blocks: Sequence[nn.Module]):
        self._forwards = [(block, partial(_checkpointed, block, block.forward)) for block in blocks]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Checkpoint the forward passes inside the block of code; copies of the module made outside are as ever."""
        for block, forward in self._forwards:
            block.forward = forward
        try:
            yield
        finally:
            for block, _ in self._forwards:
                del block.forward


def _checkpointed(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _kept_buffers(block)), **named
    )


@contextmanager
def _kept_buffers(block: nn.Module) -> Iterator[None]:
    """Restore the buffers afterwards: batch norm's running statistics move in the first computation alone."""
    before = [buffer.clone() for buffer in block.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(block.buffers(), before, strict=True):
            buffer.data.copy_(value)  # not seen by autograd, as batch norm's own updates are not
