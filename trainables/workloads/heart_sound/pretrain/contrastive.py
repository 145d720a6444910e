"""NT-Xent (Chen et al. 2020, "SimCLR", equation 1) on cycles and on their sub-structures, over all workers."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Gather = Callable[[Tensor], Tensor]
Embeddings = Float[Tensor, "batch width"]


def nt_xent(
    first: Embeddings,
    second: Embeddings,
    *,
    temperature: float,
    gather: Gather = lambda tensor: tensor,
    num_before: Callable[[int], int] = lambda count: 0,
    subject: Int[Tensor, " batch"] | None = None,
    gather_subjects: Gather = lambda tensor: tensor,
) -> Float[Tensor, ""]:
    """Compute the mean over this rank's 2 B views of -log(exp(s_p / t) / sum exp(s / t)), s the cosine similarity.

    The sum is over all other views of all ranks; with `subject` only over the positive one and those of other subjects.
    Identical embeddings give ln(2B - 1), B counted over all ranks. `gather` concatenates views over ranks, and
    gradients flow back; `gather_subjects` concatenates subjects. `num_before` returns how many views the ranks before
    this one have, given its own number.
    """
    own = torch.cat([functional.normalize(first.float(), dim=1), functional.normalize(second.float(), dim=1)])
    everything = gather(own)
    num_own, num_views, half = len(own), len(everything), len(first)
    first_place = num_before(num_own)
    places = first_place + torch.arange(num_own, device=own.device)
    positive = first_place + torch.arange(num_own, device=own.device).roll(-half)
    with torch.autocast(own.device.type, enabled=False):  # 1 / temperature multiplies the rounding errors
        similarity = own @ everything.T / temperature
    columns = torch.arange(num_views, device=own.device)
    is_left_out = columns == places[:, None]
    if subject is not None:
        own_subjects = subject.repeat(2)
        is_same = own_subjects[:, None] == gather_subjects(own_subjects)
        is_left_out = is_left_out | (is_same & (columns != positive[:, None]))
    return functional.cross_entropy(similarity.masked_fill(is_left_out, -torch.inf), positive)


def sub_structure_loss(
    first: Float[Tensor, "batch parts width"],
    second: Float[Tensor, "batch parts width"],
    *,
    is_aligned: bool,
    temperature: float,
    gather: Gather = lambda tensor: tensor,
    num_before: Callable[[int], int] = lambda count: 0,
    subject: Int[Tensor, " batch"] | None = None,
    gather_subjects: Gather = lambda tensor: tensor,
) -> Float[Tensor, ""]:
    """Compute, if aligned, the mean over k of NT-Xent among the k-th parts alone; else NT-Xent among all parts pooled.

    The arguments are those of `nt_xent`.
    """
    num_parts = first.shape[1]
    if not is_aligned:
        first, second = (views.flatten(0, 1)[:, None] for views in (first, second))
        subject = subject.repeat_interleave(num_parts) if subject is not None else None
    losses = [
        nt_xent(
            first[:, part],
            second[:, part],
            temperature=temperature,
            gather=gather,
            num_before=num_before,
            subject=subject,
            gather_subjects=gather_subjects,
        )
        for part in range(first.shape[1])
    ]
    return torch.stack(losses).mean()
