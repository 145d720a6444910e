"""The selective scan of Mamba (Gu and Dao 2023, section 3): a recurrence that is linear in its state, in chunks.

h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t,   y_t = C_t . h_t + D x_t

Time is cut into about sqrt(L) chunks. Step j of all chunks is done together, so 2 sqrt(L) steps replace L; the states
at the ends of the chunks are then propagated one after the other. Nothing is divided and no exponent is positive, so
long decays lose no precision. On a CPU, where one step of a wide layer is work enough, the steps run one by one in
place, with the gradient written out instead of recorded.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

BUSY_STEP = 4096
"""Elements of a step; on a CPU a larger step takes longer than the call overhead."""

Sequence3 = Float[Tensor, "batch time inner"]
States = Float[Tensor, "batch time inner state"]


def selective_scan(
    x: Sequence3,
    dt: Sequence3,
    a: Float[Tensor, "inner state"],
    b: Float[Tensor, "batch time state"],
    c: Float[Tensor, "batch time state"],
    d: Float[Tensor, " inner"],
) -> Sequence3:
    """Compute y in float32, whatever the precision around it.

    States are recomputed in the backward pass, as they are `state` times as large as x.

    Args:
        x: Input.
        dt: Step sizes, positive.
        a: State matrix A (diagonal), negative.
        b: Input matrix B of each time.
        c: Output matrix C of each time.
        d: Skip connection D.
    """
    arguments = [tensor.float() for tensor in (x, dt, a, b, c, d)]
    with torch.autocast(x.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return _scan(*arguments)
        return checkpoint(_scan, *arguments, use_reentrant=False, preserve_rng_state=False)  # pyright: ignore


def _scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    decay = torch.exp(dt[..., None] * a)
    states = linear_recurrence(decay, (dt * x)[..., None] * b[:, :, None, :])
    return (states @ c[..., None]).squeeze(-1) + d * x


def linear_recurrence(decay: States, update: States) -> States:
    """Compute h_t = decay_t h_(t-1) + update_t with h_0 = 0, all on the second axis."""
    if torch.compiler.is_exporting():
        return scan_for_export(decay, update)
    return _LinearRecurrence.apply(decay, update)  # pyright: ignore


def scan_plainly(decay: States, update: States) -> States:
    """Compute the same in a loop that autograd records, as the reference for `linear_recurrence`."""
    state = torch.zeros_like(update[:, 0])
    states = []
    for step in range(update.shape[1]):
        state = decay[:, step] * state + update[:, step]
        states.append(state)
    return torch.stack(states, dim=1)


def scan_for_export(decay: States, update: States) -> States:
    """Compute the same in chunks like `_run_chunks`, but nothing in place and the same for any number of samples.

    A graph would copy all states for each change of some of them.
    """
    length = update.shape[1]
    size = max(math.isqrt(length), 1)
    missing = -length % size
    decays, updates = (
        functional.pad(tensor, (0, 0, 0, 0, 0, missing)).unflatten(1, (-1, size)).unbind(2)
        for tensor in (decay, update)
    )
    states, products = [updates[0]], [decays[0]]
    for factor, addend in zip(decays[1:], updates[1:], strict=True):
        states.append(addend + factor * states[-1])
        products.append(factor * products[-1])
    carried = [torch.zeros_like(update[:, 0])]
    for factor, state in zip(products[-1].unbind(1)[:-1], states[-1].unbind(1)[:-1], strict=True):
        carried.append(state + factor * carried[-1])
    whole = torch.stack(states, 2) + torch.stack(products, 2) * torch.stack(carried, 1)[:, :, None]
    return whole.flatten(1, 2)[:, :length]


class _LinearRecurrence(torch.autograd.Function):
    """Recurrence whose gradient is the same recurrence backwards: g_t = grad_t + decay_(t+1) g_(t+1)."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, update: Tensor) -> Tensor:
        states = _run(decay, update)
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = ctx.saved_tensors
        gradient = _run_backwards(decay, gradients[0])
        to_decay = torch.empty_like(decay)
        to_decay[:, 0] = 0
        torch.mul(gradient[:, 1:], states[:, :-1], out=to_decay[:, 1:])
        return to_decay, gradient


def _fills_the_processor(tensor: Tensor) -> bool:
    """Return whether one time step keeps the CPU busy, so that joint steps would only cost memory."""
    return tensor.device.type == "cpu" and tensor[:, 0].numel() >= BUSY_STEP


def _run(decay: Tensor, update: Tensor) -> Tensor:
    if not _fills_the_processor(update):
        return _run_chunks(decay, update)
    states = update.clone(memory_format=torch.contiguous_format)
    for step in range(1, states.shape[1]):
        states[:, step].addcmul_(decay[:, step], states[:, step - 1])
    return states


def _run_backwards(decay: Tensor, gradient: Tensor) -> Tensor:
    if not _fills_the_processor(gradient):
        later = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], dim=1)
        return _run_chunks(later.flip(1), gradient.flip(1)).flip(1)
    total = gradient.clone(memory_format=torch.contiguous_format)
    for step in range(total.shape[1] - 2, -1, -1):
        total[:, step].addcmul_(decay[:, step + 1], total[:, step + 1])
    return total


def _run_chunks(decay: Tensor, update: Tensor) -> Tensor:
    batch, length, *rest = update.shape
    size = max(math.isqrt(length), 1)
    num_chunks = -(-length // size)
    products, states = (_cut(tensor, num_chunks, size) for tensor in (decay, update))
    for step in range(1, size):
        states[:, :, step].addcmul_(products[:, :, step], states[:, :, step - 1])
        products[:, :, step] *= products[:, :, step - 1]
    for chunk in range(1, num_chunks):
        states[:, chunk].addcmul_(products[:, chunk], states[:, chunk - 1, -1:])
    return states.view(batch, num_chunks * size, *rest)[:, :length]


def _cut(tensor: Tensor, num_chunks: int, size: int) -> Tensor:
    """Return a copy with time as two axes, padded by zeros."""
    batch, length, *rest = tensor.shape
    copy = tensor.new_zeros(batch, num_chunks * size, *rest)
    copy[:, :length] = tensor
    return copy.view(batch, num_chunks, size, *rest)
