"""Weights and losses against their formulas."""

import math

import pytest
import torch

from trainables.workloads.heart_sound.finetune.class_loss import (
    adjust_logits,
    classification_loss,
    weigh_classes,
    weigh_patients,
)
from trainables.workloads.heart_sound.finetune.config import ClassLoss

LOGITS = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.3, 2.0], [-1.0, 0.5, 0.0], [0.0, 0.1, 0.2]])
LABEL = torch.tensor([0, 2, 1, 0])
WEIGHTS = torch.tensor([0.5, 2.0, 1.5])


def log_p(row: int) -> float:
    values = LOGITS[row].tolist()
    return values[int(LABEL[row])] - math.log(sum(map(math.exp, values)))


@pytest.mark.parametrize("counts", [[60, 39, 1], [20, 30, 50], [5, 0]])
def test_weights_are_inverse_shares_up_to_the_largest_and_1_on_average(counts):
    total, largest = sum(counts), 10
    inverse = [min(total / (len(counts) * count), largest) if count else largest for count in counts]
    mean = sum(weight * count for weight, count in zip(inverse, counts, strict=True)) / total
    found = weigh_classes(torch.tensor(counts, dtype=torch.float32), largest).tolist()
    assert found == pytest.approx([weight / mean for weight in inverse])
    assert sum(found[label] for label, count in enumerate(counts) for _ in range(count)) / total == pytest.approx(1)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_is_the_mean_of_its_weighted_formula(gamma, weights):
    w = [1.0 if weights is None else float(weights[label]) for label in LABEL.tolist()]
    terms = [w[row] * (1 - math.exp(log_p(row))) ** gamma * -log_p(row) for row in range(4)]
    found = classification_loss(LOGITS, LABEL, ClassLoss(label_smoothing=0, focal_gamma=gamma), weights)
    assert float(found) == pytest.approx(sum(terms) / 4, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_rows(gamma):
    settings = ClassLoss(label_smoothing=0, focal_gamma=gamma)
    whole = classification_loss(LOGITS, LABEL, settings, WEIGHTS)
    rows = [classification_loss(LOGITS[[row]], LABEL[[row]], settings, WEIGHTS) for row in range(4)]
    torch.testing.assert_close(whole, torch.stack(rows).mean())


def test_label_smoothing_shares_a_tenth_among_all_classes():
    logs = torch.log_softmax(LOGITS, dim=1)
    target = torch.full((4, 3), 0.1 / 3)
    target[torch.arange(4), LABEL] += 0.9
    found = classification_loss(LOGITS, LABEL, ClassLoss(label_smoothing=0.1), None)
    assert float(found) == pytest.approx(float(-(target * logs).sum(1).mean()), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_rows_weigh_what_they_are_given(gamma):
    settings, rows = ClassLoss(label_smoothing=0, focal_gamma=gamma), torch.tensor([2.0, 0.5, 0.0, 1.5])
    alone = [classification_loss(LOGITS[[row]], LABEL[[row]], settings, WEIGHTS) for row in range(4)]
    expected = sum(float(weight) * float(loss) for weight, loss in zip(rows, alone, strict=True)) / 4
    assert float(classification_loss(LOGITS, LABEL, settings, WEIGHTS, rows)) == pytest.approx(expected, rel=1e-5)


def test_each_patient_weighs_the_same_and_cycles_1_on_average():
    cycles = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0], [5.0, 3.0]])
    weights = weigh_patients(cycles)
    assert (weights[:, None] * cycles).sum(1).tolist() == pytest.approx([4, 4, 0, 4])
    assert float((weights[:, None] * cycles).sum()) == pytest.approx(12)


def test_adjusted_logits_give_the_probabilities_of_the_priors():
    counts = torch.tensor([60.0, 30.0, 10.0], dtype=torch.float64)
    adjusted = adjust_logits(LOGITS, counts, 1.0).softmax(dim=1)
    for row in range(4):
        products = [share * math.exp(value) for share, value in zip([0.6, 0.3, 0.1], LOGITS[row].tolist(), strict=True)]
        assert adjusted[row].tolist() == pytest.approx([each / sum(products) for each in products], rel=1e-5)
    assert torch.isfinite(adjust_logits(LOGITS, torch.tensor([5.0, 0.0, 1.0]), 1.0)).all()


def test_rare_classes_are_corrected_for_once():
    with pytest.raises(ValueError, match="give one of them"):
        ClassLoss(logit_adjustment=1.0)
    assert ClassLoss(logit_adjustment=1.0, weighs_classes=False).logit_adjustment == 1
