"""The decision rule against all thresholds tried one by one, and its way from the training into every later answer."""

import numpy as np
import pytest

from data_pipelines.heart_sounds.tasks import TASKS
from trainables.metrics.classification import count_confusion, score_confusion
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, decide, read_rule
from trainables.workloads.heart_sound.finetune.scoring.decision_learning import learn_rule
from trainables.workloads.heart_sound.finetune.scoring.task_scores import score_challenge, score_split


def subjects(count: int, num_classes: int, seed: int, shift: float = 1.5) -> Answers:
    """Subjects whose logits tell the class, but are biased against the first class."""
    draws = np.random.default_rng(seed)
    label = np.concatenate([np.arange(num_classes), draws.integers(0, num_classes, count - num_classes)])
    logits = draws.normal(size=(count, num_classes)) + 1.5 * np.eye(num_classes)[label]
    logits[:, 0] -= shift
    return Answers(logits, label, np.arange(count), np.arange(count), draws.integers(0, 2, count))


def score_of(unit: Answers, predicted: np.ndarray, task: str, name: str, outcomes=()) -> float:
    confusion = count_confusion(unit.label, predicted, len(TASKS[task].classes))
    scores = score_confusion(confusion, positive=TASKS[task].positive)
    return (scores | score_challenge(unit, predicted, TASKS[task], outcomes))[name]


@pytest.mark.parametrize("score", ["macc", "cost", "f1_macro", "accuracy"])
def test_of_two_classes_no_threshold_is_better(score):
    task = "circor_outcome" if score == "cost" else "physionet2016"
    for seed in range(5):
        unit = subjects(30, 2, seed)
        rule = learn_rule(unit, TASKS[task], score)
        found = score_of(unit, decide(unit.probabilities, TASKS[task], rule), task, score)
        positive = unit.probabilities[:, 1]
        cuts = [0.0, *np.nextafter(positive, 0), *np.nextafter(positive, 1), 1.0]
        every = [score_of(unit, (positive > cut).astype(int), task, score) for cut in cuts]
        assert found == pytest.approx(min(every) if score == "cost" else max(every))
        assert rule.score == score and sum(rule.multipliers) == pytest.approx(1)


@pytest.mark.parametrize("score", ["weighted_accuracy", "cost", "f1_macro"])
def test_of_three_classes_the_rule_is_better_than_nearly_any(score):
    draws, task = np.random.default_rng(3), TASKS["circor_murmur"]
    outcomes = [("Normal", "Abnormal")[each] for each in draws.integers(0, 2, 40)]
    unit = subjects(40, 3, 7)
    rule = learn_rule(unit, task, score, outcomes)
    sign = -1 if score == "cost" else 1

    def worth(tried: DecisionRule) -> float:
        return sign * score_of(unit, decide(unit.probabilities, task, tried), "circor_murmur", score, outcomes)

    tried = [worth(DecisionRule(tuple(np.exp(draws.normal(0, 2, 3))))) for _ in range(2000)]
    assert worth(rule) > worth(argmax_rule(task))
    assert np.mean(np.array(tried) > worth(rule) + 1e-12) < 0.01


def test_the_middle_of_the_best_rules_is_taken():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    unit = Answers(np.log(probabilities), np.array([0, 0, 1, 1]), *[np.arange(4)] * 3)
    first, second = learn_rule(unit, TASKS["synthetic_murmur"], "accuracy").multipliers
    assert np.log(first / second) == pytest.approx((np.log(0.2 / 0.8) + np.log(0.6 / 0.4)) / 2)


def test_an_undefined_score_leaves_the_likeliest_class():
    unit = subjects(10, 2, 0)
    healthy = unit.where(unit.label == 0)
    assert learn_rule(healthy, TASKS["physionet2016"], "macc") == argmax_rule(TASKS["physionet2016"])
    assert learn_rule(unit.where(unit.label > 5), TASKS["physionet2016"], "f1_macro").score is None


def test_many_subjects_are_tried_at_even_ranks():
    unit = subjects(300, 3, 1)
    rule = learn_rule(unit, TASKS["circor_murmur"], "weighted_accuracy")
    plain = decide(unit.probabilities, TASKS["circor_murmur"], argmax_rule(TASKS["circor_murmur"]))
    ours = decide(unit.probabilities, TASKS["circor_murmur"], rule)
    assert score_of(unit, ours, "circor_murmur", "weighted_accuracy") > score_of(
        unit, plain, "circor_murmur", "weighted_accuracy"
    )


def test_a_kept_rule_is_read_to_the_bit():
    task = TASKS["circor_murmur"]
    rule = DecisionRule((0.1, 1 / 3, 0.7), "cost")
    assert read_rule({"decision": rule.as_dict(task.classes)}, task) == rule
    assert read_rule({}, task) == argmax_rule(task)


def test_the_score_of_argmax_stands_beside_that_of_the_rule():
    task, unit = TASKS["physionet2016"], subjects(30, 2, 2)
    rule = learn_rule(unit, task, "macc")
    scores = score_split(unit, task, rule)[0]
    likeliest = decide(unit.probabilities, task, argmax_rule(task))
    assert scores["argmax_macc"] == score_of(unit, likeliest, "physionet2016", "macc") < scores["macc"]
    assert "argmax_macc" not in score_split(unit, task, argmax_rule(task))[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "physionet2016", "decision": {"score": "cost"}}, "physionet2016 has macc, f1_macro, accuracy"),
        ({"selection": {"metric": "val/aurok", "mode": "max"}}, "did you mean 'val/auroc'"),
        (
            {"selection": {"metric": "val/loss", "mode": "max"}},
            "`selection.mode` is max, but val/loss is better at its min",
        ),
    ],
)
def test_scores_and_metrics_that_do_not_exist_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig.model_validate({"task": "circor_murmur", **settings})


def test_the_best_model_is_chosen_by_the_score_of_the_rule():
    assert FinetuneConfig(task="circor_murmur").selection_metric.metric == "val/weighted_accuracy"
    outcome = FinetuneConfig(task="circor_outcome").selection_metric
    assert (outcome.metric, outcome.mode) == ("val/cost", "min")
    given = FinetuneConfig.model_validate({"selection": {"metric": "val/auroc", "mode": "max"}})
    assert given.selection_metric.metric == "val/auroc"
