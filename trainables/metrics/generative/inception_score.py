"""The inception score, which rewards samples that are each of a clear class and together of many (Salimans 2016)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class InceptionScore:
    """Mean and spread over the splits of one set of samples; at least 1, at most the number of classes."""

    mean: float
    std: float
    """Population standard deviation over the splits, 0 for one split."""


def compute_inception_score(logits: Float[Tensor, "samples classes"], num_splits: int = 10) -> InceptionScore:
    """Compute exp(E_x KL(p(y|x) || p(y))), with p(y) the mean of p(y|x) within each of `num_splits` consecutive splits.

    The published protocol uses 10 splits of 5,000 samples; fewer samples per split lower the score.
    """
    if not 1 <= num_splits <= len(logits):
        raise ValueError(f"num_splits is {num_splits}; with {len(logits)} samples it must be 1 to {len(logits)}")
    log_p = logits.double().log_softmax(dim=1)
    scores = torch.stack([_score(split) for split in log_p.tensor_split(num_splits)])
    return InceptionScore(mean=float(scores.mean()), std=float(scores.std(correction=0)))


def _score(log_p: Float[Tensor, "samples classes"]) -> Tensor:
    log_marginal = log_p.logsumexp(dim=0) - math.log(len(log_p))
    divergence = (log_p.exp() * (log_p - log_marginal)).nan_to_num(0.0).sum(dim=1)  # 0 log 0 = 0
    return divergence.mean().exp()
