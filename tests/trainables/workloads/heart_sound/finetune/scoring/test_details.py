"""Intervals by patients, operating points, subgroups and tables of an evaluation."""

from typing import Any

import numpy as np
import pytest

from data_pipelines.heart_sounds.tasks import TASKS
from trainables.contract.panels import TablePanel
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, decide
from trainables.workloads.heart_sound.finetune.scoring.details import (
    by_unit,
    draw_calibration,
    find_intervals,
    find_operating_points,
    score_subgroups,
    score_subjects,
    tabulate_subgroups,
    tabulate_subjects,
)

MURMUR, PHYSIONET = TASKS["circor_murmur"], TASKS["physionet2016"]


def cycles_of(task: str, num_patients: int = 40, seed: int = 0) -> Answers:
    """Two recordings of three cycles for each patient, whose logits tell the label."""
    draws, num_classes = np.random.default_rng(seed), len(TASKS[task].classes)
    patient = np.repeat(np.arange(num_patients), 6)
    label = (patient % num_classes).astype(np.int64)
    logits = 2 * draws.normal(size=(len(patient), num_classes)) + np.eye(num_classes)[label]
    return Answers(logits, label, patient, np.repeat(np.arange(2 * num_patients), 3), (patient % 4 > 0).astype(int))


@pytest.mark.parametrize("task", [MURMUR, PHYSIONET])
def test_intervals_hold_the_scores_and_shrink_with_more_subjects(task):
    name = "circor_murmur" if task is MURMUR else "physionet2016"
    widths = []
    for count in (20, 200):
        unit = by_unit(cycles_of(name, count), task)
        predicted = decide(unit.probabilities, task, argmax_rule(task))
        scores = score_subjects(unit, predicted, task, ())
        ends = find_intervals(unit, predicted, task, ())
        assert {"auroc", task.decision_scores[0], "accuracy"} <= set(scores)
        for each, value in scores.items():
            assert ends[f"{each}_low"] <= value <= ends[f"{each}_high"]
        widths.append(ends["accuracy_high"] - ends["accuracy_low"])
    assert widths[1] < widths[0] / 2


def test_operating_points_are_read_off_all_thresholds():
    unit = by_unit(cycles_of("physionet2016", 30), PHYSIONET)
    values, is_ill = unit.probabilities[:, 1], unit.label == 1
    points = [((values >= cut)[is_ill].mean(), (values < cut)[~is_ill].mean()) for cut in [*values, 2.0]]
    assert find_operating_points(unit, PHYSIONET) == {
        "specificity_at_sensitivity_90": max(healthy for ill, healthy in points if ill >= 0.9),
        "sensitivity_at_specificity_90": max(ill for ill, healthy in points if healthy >= 0.9),
    }
    assert find_operating_points(unit.where(is_ill), PHYSIONET) == {}


def test_subgroups_are_scored_by_themselves():
    cycles = cycles_of("circor_murmur")
    places = [("AV", "MV", None)[n % 3] for n in range(80)]
    groups: dict[str, Any] = {"place": places, "sex": ["Female"] * 80}
    found = score_subgroups(cycles, MURMUR, argmax_rule(MURMUR), groups=groups, outcomes=())
    assert set(found) == {"place", "quality"}  # all of one sex: no subgroups
    chosen = cycles.where(np.array([places[n] == "AV" for n in cycles.recording])).by_patient()
    assert found["place"]["AV"] == (
        len(chosen.label),
        score_subjects(chosen, chosen.probabilities.argmax(axis=1), MURMUR, ()),
    )
    assert {value: count for value, (count, _) in found["quality"].items()} == {"good": 30, "poor": 10}
    (table,) = tabulate_subgroups("test", found)
    assert isinstance(table, TablePanel) and list(table.rows[0][:2]) == ["place", "AV"]
    assert tabulate_subgroups("test", {}) == []


def test_the_table_of_subjects_has_answers_by_the_rule():
    unit = by_unit(cycles_of("circor_murmur", 6), MURMUR)
    table = tabulate_subjects("val", unit, MURMUR, DecisionRule((1.0, 1e-9, 1e-9)), [f"circor:{n}" for n in range(6)])
    assert table.key == "val/patients" and list(table.columns[:4]) == ["patient", "truth", "answer", "p(Present)"]
    assert [row[2] for row in table.rows] == ["Present"] * 6 and table.rows[1][:2] == ["circor:1", "Unknown"]


def test_calibration_is_drawn_for_each_class():
    (panel,) = draw_calibration("test", by_unit(cycles_of("circor_murmur"), MURMUR), MURMUR)
    assert panel.key == "test/calibration"
    assert draw_calibration("test", Answers(np.zeros((0, 2)), *[np.zeros(0, int)] * 4), PHYSIONET) == []
