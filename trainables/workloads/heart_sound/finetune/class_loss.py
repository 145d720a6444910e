"""Cross-entropy and focal loss with class weights."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from trainables.workloads.heart_sound.finetune.config import ClassLoss


def weigh_classes(counts: Tensor, largest: float) -> Float[Tensor, " classes"]:
    """Compute class weights n / (C n_c), at most `largest`; a class without samples gets `largest`.

    They are then scaled so that their mean over the samples is 1.
    """
    counts = counts.double()
    weights = (counts.sum() / (len(counts) * counts.clamp(min=1e-9))).clamp(max=largest)
    return (weights * counts.sum() / (weights * counts).sum()).float()


def classification_loss(
    logits: Float[Tensor, "batch classes"],
    label: Int[Tensor, " batch"],
    settings: ClassLoss,
    weights: Float[Tensor, " classes"] | None,
) -> Float[Tensor, ""]:
    """Compute the mean of w times the loss over the batch.

    It is not divided by the weights of the batch, which would weigh a row by the others beside it, and differently for
    each number of workers; the weights are 1 on average. Focal: -w (1 - p)^gamma log p of the true class (Lin et al.
    2017, equation 5).

    Args:
        logits: The network's output, in any precision.
        label: True classes.
        settings: Cross-entropy or focal loss.
        weights: Class weights, by `weigh_classes`; None: all equal.
    """
    logits = logits.float()
    if settings.focal_gamma == 0:
        smoothing = settings.label_smoothing
        return functional.cross_entropy(logits, label, weights, reduction="sum", label_smoothing=smoothing) / len(label)
    log_p = functional.log_softmax(logits, dim=1).gather(1, label[:, None]).squeeze(1)
    weight = torch.ones_like(log_p) if weights is None else weights[label]
    return (-weight * (1 - log_p.exp()) ** settings.focal_gamma * log_p).mean()
