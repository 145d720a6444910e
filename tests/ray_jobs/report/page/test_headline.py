"""What was chosen on and what was measured stand apart."""

import pytest

from ray_jobs.report.page.headline import describe, headline, name_on_test
from ray_jobs.report.record.run_record import gather_run
from tests.ray_jobs.report.conftest import make_event


def write_best(folder, **metrics):
    folder.write_json("tracking.json", {"goal": "val/auroc"})
    folder.write_json("models/aliases.json", {"best": "step_000000010", "latest": "step_000000020", "kept": []})
    folder.write_json("models/step_000000010/metadata.json", {"metrics": metrics, "num_parameters": 1234})
    return folder


def read(folder):
    return {group.title: [(fact.what, fact.value, fact.more) for fact in group.facts] for group in headline(folder)}


def test_choice_and_measure_are_apart(write_run):
    scores = {"val/auroc": 0.9, "test/auroc": 0.8, "baseline/test/auroc": 0.5, "test/num_subjects": 36}
    found = read(gather_run(write_best(write_run(), **scores)))
    assert found["Chosen on"] == [("val/auroc", "0.9", "best model, step 10")]
    assert found["Measured on"] == [("test/auroc", "0.8", "best model, step 10; baseline 0.5; 36 subjects")]
    assert ("parameters", "1,234", "of the saved model") in found["Training"]


def test_utilisation_is_told_where_it_is_known(write_run):
    events = [make_event(step, system={"system/mfu": share}) for step, share in ((0, 0.1), (10, 0.4), (20, 0.425))]
    [fact] = [fact for fact in read(gather_run(write_run(events=events)))["Training"] if fact[0] == "MFU"]
    assert fact[1] == "40.0%"


def test_the_newest_evaluation_is_what_was_measured(write_run):
    folder = write_best(write_run(), **{"val/auroc": 0.9, "test/auroc": 0.8})
    for index, value in (("001", 0.7), ("002", 0.75)):
        metrics = {"test/auroc": value, "test/auroc_low": 0.6, "test/auroc_high": 0.85}
        content = {"metrics": metrics, "checkpoint": "models/step_000000010"}
        folder.write_json(f"evaluations/{index}/metrics.json", content)
    [(what, value, more)] = read(gather_run(folder))["Measured on"]
    assert (what, value) == ("test/auroc", "0.75")
    assert more == "evaluation 002 of step_000000010; 95 % interval 0.6 to 0.85"


@pytest.mark.parametrize(
    "other",
    [
        {"checkpoint": "/runs/one/models/step_000000010", "learnt_subjects": 3},
        {"checkpoint": "/runs/one_more/models/step_000000010", "learnt_subjects": 0},
    ],
    ids=["on subjects of the training", "of another run's model"],
)
def test_what_tells_nothing_of_the_run_is_no_headline(other, write_run):
    folder = write_best(write_run(), **{"val/auroc": 0.9, "test/auroc": 0.8})
    own = {"checkpoint": "/runs/one/models/step_000000010", "learnt_subjects": 0, "metrics": {"test/auroc": 0.7}}
    folder.write_json("evaluations/001/metrics.json", {"folder": "/runs/one", **own})
    folder.write_json("evaluations/002/metrics.json", {"folder": "/runs/one", "metrics": {"test/auroc": 1.0}, **other})
    assert read(gather_run(folder))["Measured on"] == [("test/auroc", "0.7", "evaluation 001 of step_000000010")]


def test_a_score_that_was_chosen_and_measured_says_so(write_run):
    folder = write_best(write_run(), **{"test/mse": 2.0})
    folder.write_json("tracking.json", {"goal": "test/mse"})
    assert next(iter(read(gather_run(folder)))) == "Chosen and measured on the same data"


def test_a_metric_has_its_name_on_the_test_split():
    assert [name_on_test(name) for name in ("val/auroc", "val_accuracy", "eval/fid", "valley")] == [
        "test/auroc",
        "test_accuracy",
        "eval/fid",
        "valley",
    ]
    assert describe("loss", {"loss": 1.0}, "last model") == "last model"
