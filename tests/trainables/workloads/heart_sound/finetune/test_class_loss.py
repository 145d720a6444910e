"""Weights and losses against their formulas."""

import math

import pytest
import torch

from trainables.workloads.heart_sound.finetune.class_loss import classification_loss, weigh_classes
from trainables.workloads.heart_sound.finetune.config import ClassLoss

LOGITS = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.3, 2.0], [-1.0, 0.5, 0.0], [0.0, 0.1, 0.2]])
LABEL = torch.tensor([0, 2, 1, 0])
WEIGHTS = torch.tensor([0.5, 2.0, 1.5])


def log_p(row: int) -> float:
    values = LOGITS[row].tolist()
    return values[int(LABEL[row])] - math.log(sum(map(math.exp, values)))


def test_weights_are_inverse_shares_up_to_the_largest():
    found = weigh_classes(torch.tensor([60.0, 39.0, 1.0]), 10)
    assert found.tolist() == pytest.approx([100 / 180, 100 / 117, 10])
    assert weigh_classes(torch.tensor([5.0, 0.0]), 10).tolist() == [0.5, 10]


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_is_the_weighted_mean_of_its_formula(gamma, weights):
    w = [1.0 if weights is None else float(weights[label]) for label in LABEL.tolist()]
    terms = [w[row] * (1 - math.exp(log_p(row))) ** gamma * -log_p(row) for row in range(4)]
    found = classification_loss(LOGITS, LABEL, ClassLoss(label_smoothing=0, focal_gamma=gamma), weights)
    assert float(found) == pytest.approx(sum(terms) / sum(w), rel=1e-5)


def test_label_smoothing_shares_a_tenth_among_all_classes():
    logs = torch.log_softmax(LOGITS, dim=1)
    target = torch.full((4, 3), 0.1 / 3)
    target[torch.arange(4), LABEL] += 0.9
    found = classification_loss(LOGITS, LABEL, ClassLoss(label_smoothing=0.1), None)
    assert float(found) == pytest.approx(float(-(target * logs).sum(1).mean()), rel=1e-5)
