"""From cycles to recordings to patients by loops, and the scores of each task."""

from collections.abc import Sequence

import numpy as np
import pytest

from data_pipelines.heart_sounds.tasks import TASKS, HeartTask
from trainables.metrics.classification import Scores
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import argmax_rule
from trainables.workloads.heart_sound.finetune.scoring.task_scores import score_challenge, score_split


def answers_of(num_classes: int, seed: int = 0) -> Answers:
    """Nine recordings of five patients, in random order, unequally many cycles."""
    generator = np.random.default_rng(seed)
    recording = generator.permutation(np.repeat(np.arange(9), [1, 2, 3, 4, 5, 6, 1, 2, 3]))
    patient = np.array([7, 7, 3, 3, 3, 1, 5, 5, 4])[recording]
    label = (patient % num_classes).astype(np.int64)
    return Answers(generator.normal(size=(27, num_classes)), label, patient, recording, recording % 2)


def score(cycles: Answers, task: HeartTask, outcomes: Sequence[str | None] = ()) -> tuple[Scores, Scores]:
    """Score the likeliest class."""
    return score_split(cycles, task, argmax_rule(task), outcomes)


def test_patients_average_recordings_that_average_cycles():
    cycles = answers_of(3)
    patients = cycles.by_patient()
    assert patients.patient.tolist() == [1, 3, 4, 5, 7]
    for row, patient in enumerate(patients.patient):
        means = []
        for recording in sorted(set(cycles.recording[cycles.patient == patient])):
            means.append(cycles.logits[cycles.recording == recording].mean(axis=0))
        assert patients.logits[row] == pytest.approx(np.mean(means, axis=0))
        assert patients.label[row] == patient % 3
    assert cycles.by_recording().recording.tolist() == list(range(9))


def test_patients_with_mixed_labels_are_not_scored():
    cycles = answers_of(2)
    label = np.where(cycles.recording == 4, 1 - cycles.label, cycles.label)  # of patient 3, who has three recordings
    mixed = Answers(cycles.logits, label, cycles.patient, cycles.recording, cycles.is_good)
    assert mixed.by_patient().patient.tolist() == [1, 4, 5, 7]
    assert len(mixed.by_recording().label) == 9
    alone = mixed.where(mixed.patient == 3)
    assert not any(name.startswith("patient_") for name in score(alone, TASKS["synthetic_murmur"])[0])


def test_probabilities_are_a_softmax_that_does_not_overflow():
    answers = answers_of(2)
    expected = np.exp(answers.logits) / np.exp(answers.logits).sum(1, keepdims=True)
    assert answers.probabilities == pytest.approx(expected)
    large = Answers(1000 * answers.logits, answers.label, answers.patient, answers.recording, answers.is_good)
    assert np.isfinite(large.probabilities).all()


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("circor_murmur", {"weighted_accuracy", "cost", "weighted_accuracy_any_present", "sensitivity_present"}),
        ("circor_outcome", {"weighted_accuracy", "cost"}),
        ("physionet2016", {"macc"}),
        ("pascal", {"sensitivity_extrasystole", "specificity_murmur"}),
        ("synthetic_murmur", set()),
    ],
)
def test_each_task_has_its_own_scores_at_every_level(task, own):
    outcomes = ["Normal", "Abnormal"] * 4
    scores, constants = score(answers_of(len(TASKS[task].classes)), TASKS[task], outcomes)
    common = {"loss", "accuracy", "f1_macro", "recall", "sensitivity", "specificity", "auroc", "auprc"}
    assert common | own <= set(scores)
    other = "recording" if TASKS[task].unit == "patient" else "patient"
    assert {f"{level}_{name}" for level in ("cycle", other) for name in ("accuracy", "auroc")} <= set(scores)
    assert {"accuracy", "auroc", "loss"} <= set(constants) and np.isfinite(list(scores.values())).all()


def test_loss_and_baseline_are_mean_cross_entropies_of_cycles():
    cycles = answers_of(2)
    scores, constants = score(cycles, TASKS["circor_outcome"])
    terms = [-np.log(p[label]) for p, label in zip(cycles.probabilities, cycles.label, strict=True)]
    share = float(np.mean(cycles.label))
    assert scores["loss"] == pytest.approx(np.mean(terms))
    assert constants["loss"] == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))


def test_one_class_alone_has_no_areas():
    cycles = answers_of(2)
    one = Answers(cycles.logits, np.ones(27, np.int64), cycles.patient, cycles.recording, cycles.is_good)
    scores, _ = score(one, TASKS["physionet2016"])
    assert "auroc" not in scores and "macc" not in scores and "specificity" not in scores and "sensitivity" in scores


def public_patients() -> tuple[Answers, list[str | None]]:
    """The 942 patients of CirCor: 179 Present, 68 Unknown, 695 Absent; 456 Abnormal, 193 of those not Absent."""
    label = np.repeat([0, 1, 2], [179, 68, 695])
    is_ill = np.concatenate([np.arange(247) < 193, np.arange(695) < 263])
    outcomes: list[str | None] = ["Abnormal" if ill else "Normal" for ill in is_ill]
    number = np.arange(942)
    return Answers(np.zeros((942, 3)), label, number, number, np.ones(942)), outcomes


@pytest.mark.parametrize(("answer", "cost"), [(None, "16083"), (0, "14851"), (1, "14851"), (2, "24239")])
def test_the_cost_of_murmur_answers_is_the_challenge_s(answer, cost):
    patients, outcomes = public_patients()
    predicted = patients.label if answer is None else np.full(942, answer)
    assert f"{score_challenge(patients, predicted, TASKS['circor_murmur'], outcomes)['cost']:.0f}" == cost


def test_murmurs_without_outcomes_have_no_cost():
    patients, outcomes = public_patients()
    for known in ((), [*outcomes[:-1], None]):
        found = score_challenge(patients, patients.label, TASKS["circor_murmur"], known)
        assert found == {"weighted_accuracy": 1.0}
