"""What the evaluation of a saved model tells beside its scores: intervals, subgroups, calibration, every subject."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.panels import ImagePanel, Panel, TablePanel
from trainables.metrics.bootstrap import bootstrap_ends
from trainables.metrics.calibration import calibration_bins
from trainables.metrics.classification import Scores, roc_curve, score
from trainables.pictures.line_charts import Curve, draw_chart
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide
from trainables.workloads.heart_sound.finetune.scoring.task_scores import score_challenge

MAIN = ("auroc", "auprc", "accuracy", "f1_macro", "sensitivity", "specificity")
"""Scores of every task that get intervals, and are given of each subgroup, beside those of its challenge."""
OPERATING_POINT = 0.9


def score_subjects(unit: Answers, predicted: np.ndarray, task: HeartTask, outcomes: Sequence[str | None]) -> Scores:
    """Compute the main scores of subjects in the task's unit, answered `predicted`, int64 [subjects]."""
    found = score(unit.label, unit.probabilities, positive=task.positive, predicted=predicted)
    chosen = {name: value for name, value in found.items() if name in MAIN}
    return chosen | (score_challenge(unit, predicted, task, outcomes) if len(unit.label) else {})


def find_intervals(unit: Answers, predicted: np.ndarray, task: HeartTask, outcomes: Sequence[str | None]) -> Scores:
    """Return the ends of the 95 % bootstrap interval of each main score, as `<name>_low` and `<name>_high`.

    Patients are drawn, each with all recordings.
    """
    return bootstrap_ends(unit.patient, lambda rows: score_subjects(unit.where(rows), predicted[rows], task, outcomes))


def find_operating_points(unit: Answers, task: HeartTask) -> Scores:
    """Return the best specificity at a sensitivity of at least 90 % for the clinical positive, and the other way."""
    is_positive = unit.label == task.positive
    if not is_positive.any() or is_positive.all():
        return {}
    false_rate, sensitivity = roc_curve(is_positive, unit.probabilities[:, task.positive])
    return {
        "specificity_at_sensitivity_90": float(1 - false_rate[sensitivity >= OPERATING_POINT].min()),
        "sensitivity_at_specificity_90": float(sensitivity[1 - false_rate >= OPERATING_POINT].max()),
    }


def score_subgroups(
    cycles: Answers,
    task: HeartTask,
    rule: DecisionRule,
    *,
    groups: Mapping[str, Sequence[str | None]],
    outcomes: Sequence[str | None],
) -> dict[str, dict[str, tuple[int, Scores]]]:
    """Return the number of subjects and the main scores by group and value; a group with one value alone is left out.

    `groups` has the value of each recording by its number, such as its place or its patient's sex; None: unknown.
    """
    quality = np.where(cycles.is_good == 1, "good", "poor")
    by_cycle = {name: np.array([values[each] or "" for each in cycles.recording]) for name, values in groups.items()}
    found: dict[str, dict[str, tuple[int, Scores]]] = {}
    for name, values in {**by_cycle, "quality": quality}.items():
        known = [value for value in np.unique(values) if value]
        if len(known) < 2:
            continue
        for value in known:
            unit = by_unit(cycles.where(values == value), task)
            scores = score_subjects(unit, decide(unit.probabilities, task, rule), task, outcomes)
            found.setdefault(name, {})[str(value)] = (len(unit.label), scores)
    return found


def by_unit(cycles: Answers, task: HeartTask) -> Answers:
    """Return one row for each patient or recording, as the task's challenge scores."""
    return cycles.by_patient() if task.unit == "patient" else cycles.by_recording()


def tabulate_subgroups(split: str, found: Mapping[str, Mapping[str, tuple[int, Scores]]]) -> list[Panel]:
    """Return the table of the subgroups."""
    names = sorted({name for values in found.values() for _, scores in values.values() for name in scores})
    rows = [
        [group, value, count, *(round(scores[name], 4) if name in scores else "" for name in names)]
        for group, values in found.items()
        for value, (count, scores) in values.items()
    ]
    return [TablePanel(f"{split}/subgroups", ["group", "value", "subjects", *names], rows)] if rows else []


def tabulate_subjects(
    split: str, unit: Answers, task: HeartTask, rule: DecisionRule, names: Sequence[str] | None
) -> TablePanel:
    """Return the table of the subjects: truth, answer and probabilities.

    `names` is what the numbers of subjects stand for.
    """
    numbers = unit.patient if task.unit == "patient" else unit.recording
    answers = decide(unit.probabilities, task, rule)
    rows = [
        [
            names[number] if names else int(number),
            task.classes[label],
            task.classes[answer],
            *(round(each, 4) for each in shares),
        ]
        for number, label, answer, shares in zip(
            numbers.tolist(), unit.label.tolist(), answers.tolist(), unit.probabilities.tolist(), strict=True
        )
    ]
    return TablePanel(
        f"{split}/{task.unit}s", [task.unit, "truth", "answer", *(f"p({name})" for name in task.classes)], rows
    )


def draw_calibration(split: str, unit: Answers, task: HeartTask) -> list[Panel]:
    """Draw how often each class is true against its probability, in ten bins."""
    curves = []
    for label in [task.positive] if len(task.classes) == 2 else range(len(task.classes)):
        bins = calibration_bins(unit.probabilities[:, label], unit.label == label)
        points = [(each.mean_probability, each.share) for each in bins]
        if points:
            curves.append(Curve(task.classes[label], points, has_markers=True))
    if not curves:
        return []
    diagonal = Curve("", [(0.0, 0.0), (1.0, 1.0)], colour="#969696")
    chart = draw_chart(f"{split}: calibration", "probability", "share of the subjects", [*curves, diagonal])
    return [ImagePanel(f"{split}/calibration", chart[None])]
