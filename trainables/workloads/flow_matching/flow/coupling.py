"""Coupling of noise and images within a batch, by exact optimal transport.

Minibatch OT-CFM (Tong et al. 2023, section 3.2), where x_0 is the noise and x_1 the images.
"""

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def pair_optimally(x_0: Float[Tensor, "batch ..."], x_1: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """Reorder `x_0` so that sum |x_0 - x_1|^2 is the least over all pairings of this batch; labels stay with `x_1`.

    Between two sets of equal size and uniform weights an exact optimal plan is a permutation (Birkhoff), which the
    assignment solver finds. The reference code draws pairs from the plan with replacement; a permutation needs no
    draw, and uses every image and every noise once. Call it for each new batch: a pairing kept over epochs would
    tie an image to one noise. Each rank pairs its own micro-batch. The assignment is solved on the CPU, so an
    accelerator waits for it once per batch.
    """
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and the squares add up to the same sum in every permutation.
    similarity = x_1.flatten(1).double() @ x_0.flatten(1).double().T
    _, chosen = linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    return x_0[torch.from_numpy(chosen).to(x_0.device)]
