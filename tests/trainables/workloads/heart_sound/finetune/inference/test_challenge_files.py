"""The bytes of the challenges' own output files, and patients pooled from recordings."""

import numpy as np
import pytest

from data_pipelines.heart_sounds.tasks import TASKS
from trainables.workloads.heart_sound.finetune.decision import argmax_rule, decide
from trainables.workloads.heart_sound.finetune.inference.answers import (
    PatientAnswer,
    patient_row,
    pool_recordings,
    summarise_patients,
)
from trainables.workloads.heart_sound.finetune.inference.challenge_files import challenge_files, refuse_other_task

MURMUR = TASKS["circor_murmur"]
LIKELIEST = argmax_rule(MURMUR)


def test_a_patient_of_circor_has_four_lines():
    murmur = PatientAnswer("13918", "Absent", {"Present": 0.25, "Unknown": 0.125, "Absent": 0.625}, 2, 0)
    outcome = PatientAnswer("7", "Abnormal", {"Normal": 0.25, "Abnormal": 0.75}, 1, 0)
    assert challenge_files("circor_murmur", [], [murmur]) == {
        "challenge/13918.csv": b"#13918\nPresent,Unknown,Absent\n0,0,1\n0.25,0.125,0.625\n"
    }
    assert challenge_files("circor_outcome", [], [outcome]) == {
        "challenge/7.csv": b"#7\nAbnormal,Normal\n1,0\n0.75,0.25\n"
    }


def test_a_patient_without_verdict_has_no_positive_class():
    none = PatientAnswer("7", None, {}, 1, 1)
    assert challenge_files("circor_murmur", [], [none]) == {
        "challenge/7.csv": b"#7\nPresent,Unknown,Absent\n0,0,0\nnan,nan,nan\n"
    }


def test_records_of_physionet_are_one_file_of_answers():
    rows = [
        {"input": "training-a/a0001.wav", "answer": "abnormal"},
        {"input": "training-b/b0002.wav", "answer": "normal"},
        {"input": "e00003.wav", "answer": None},
    ]
    files = challenge_files("physionet2016", rows, [])
    assert files == {"challenge/answers.txt": b"a0001,1\nb0002,-1\ne00003,0\n"}
    with pytest.raises(ValueError, match=r"copy/a0001.wav is a second record a0001"):
        challenge_files("physionet2016", [*rows, {"input": "copy/a0001.wav", "answer": None}], [])


@pytest.mark.parametrize("task", ["pascal", "synthetic_murmur"])
def test_other_tasks_have_no_such_files(task):
    with pytest.raises(ValueError, match=f"the task {task} of this model"):
        refuse_other_task(task)


def test_each_recording_with_a_verdict_counts_the_same():
    recordings = [{"Present": 0.7, "Unknown": 0.2, "Absent": 0.1}, {}, {"Present": 0.1, "Unknown": 0.1, "Absent": 0.8}]
    found = pool_recordings("5", recordings, MURMUR, LIKELIEST, "logits")
    products = np.sqrt([0.7 * 0.1, 0.2 * 0.1, 0.1 * 0.8])
    assert list(found.probabilities.values()) == pytest.approx(products / products.sum())
    assert (found.answer, found.num_recordings, found.num_without_verdict) == ("Absent", 3, 1)
    sure = pool_recordings("5", [{"Present": 0.0, "Unknown": 0.0, "Absent": 1.0}] * 2, MURMUR, LIKELIEST, "logits")
    assert sure.answer == "Absent" and sure.probabilities["Absent"] == pytest.approx(1)


def test_patients_are_listed_by_their_first_recording():
    row = {"p(Present)": 0.2, "p(Unknown)": 0.2, "p(Absent)": 0.6, "answer": "Absent"}
    none = {"p(Present)": None, "p(Unknown)": None, "p(Absent)": None, "answer": None}
    found = summarise_patients(
        [{"patient": "9", **none}, {"patient": "3", **row}, {"patient": "9", **none}], MURMUR, LIKELIEST, "logits"
    )
    assert [patient_row(each, MURMUR.classes) for each in found] == [
        {"patient": "9", **none, "num_recordings": 2, "num_without_verdict": 2},
        {"patient": "3", **{name: pytest.approx(row[name]) for name in row if name != "answer"}, "answer": "Absent"}
        | {"num_recordings": 1, "num_without_verdict": 0},
    ]


def test_the_likeliest_class_is_answered_and_ties_are_ill():
    rows = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.2, 0.4, 0.4]])
    assert decide(rows, MURMUR, LIKELIEST).tolist() == [1, 0, 1]
    outcome = TASKS["circor_outcome"]
    assert decide(np.array([[0.5, 0.5], [0.6, 0.4]]), outcome, argmax_rule(outcome)).tolist() == [1, 0]
