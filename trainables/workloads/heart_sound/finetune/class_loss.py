"""Cross-entropy and focal loss with weights of classes and patients, or with adjusted logits."""

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


def weigh_patients(cycles: Float[Tensor, "patients classes"]) -> Float[Tensor, " patients"]:
    """Compute the weight n / (P n_p) of each patient's cycles, 1 on average over them; 0 for a patient without any.

    `cycles` has the number of training cycles of each patient and class.
    """
    counts = cycles.sum(dim=1)
    weights = counts.sum() / (counts > 0).sum().clamp(min=1) / counts.clamp(min=1)
    return torch.where(counts > 0, weights, 0.0)


def adjust_logits(
    logits: Float[Tensor, "batch classes"], counts: Float[Tensor, " classes"], strength: float
) -> Float[Tensor, "batch classes"]:
    """Add `strength` times the logarithm of each class's frequency (Menon et al. 2021, equation 10).

    A class without samples counts as one with a single sample.
    """
    shares = counts.clamp(min=1.0) / counts.sum().clamp(min=1.0)
    return logits.float() + strength * shares.log().float().to(logits.device)


def classification_loss(
    logits: Float[Tensor, "batch classes"],
    label: Int[Tensor, " batch"],
    settings: ClassLoss,
    weights: Float[Tensor, " classes"] | None,
    row_weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Compute the mean of w times the loss over the batch.

    It is not divided by the weights of the batch, which would weigh a row by the others beside it, and differently for
    each number of workers; the weights are 1 on average. Focal: -w (1 - p)^gamma log p of the true class (Lin et al.
    2017, equation 5). Logits may be in any precision. `weights` of classes are by `weigh_classes`, `row_weights` by
    `weigh_patients`; without them all are equal.
    """
    logits = logits.float()
    if settings.focal_gamma == 0:
        how = "sum" if row_weights is None else "none"
        smoothing = settings.label_smoothing
        losses = functional.cross_entropy(logits, label, weights, reduction=how, label_smoothing=smoothing)
        return (losses if row_weights is None else (losses * row_weights).sum()) / len(label)
    log_p = functional.log_softmax(logits, dim=1).gather(1, label[:, None]).squeeze(1)
    weight = torch.ones_like(log_p) if weights is None else weights[label]
    weight = weight if row_weights is None else weight * row_weights
    return (-weight * (1 - log_p.exp()) ** settings.focal_gamma * log_p).mean()
