"""Cross-entropy and focal loss with class weights."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from trainables.workloads.heart_sound.finetune.config import ClassLoss


def weigh_classes(counts: Tensor, largest: float) -> Float[Tensor, " classes"]:
    """Compute class weights n / (C n_c), at most `largest`; a class without samples gets `largest`."""
    counts = counts.double()
    return (counts.sum() / (len(counts) * counts.clamp(min=1e-9))).clamp(max=largest).float()


def classification_loss(
    logits: Float[Tensor, "batch classes"],
    label: Int[Tensor, " batch"],
    settings: ClassLoss,
    weights: Float[Tensor, " classes"] | None,
) -> Float[Tensor, ""]:
    """Compute the mean loss over the batch.

    Focal: -w (1 - p)^gamma log p of the true class (Lin et al. 2017, equation 5), over the sum of the weights.

    Args:
        logits: The network's output, in any precision.
        label: True classes.
        settings: Cross-entropy or focal loss.
        weights: Class weights; None: all equal.
    """
    logits = logits.float()
    if settings.focal_gamma == 0:
        return functional.cross_entropy(logits, label, weights, label_smoothing=settings.label_smoothing)
    log_p = functional.log_softmax(logits, dim=1).gather(1, label[:, None]).squeeze(1)
    weight = torch.ones_like(log_p) if weights is None else weights[label]
    return (-weight * (1 - log_p.exp()) ** settings.focal_gamma * log_p).sum() / weight.sum()
