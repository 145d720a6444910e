"""Launching a run: whose folder it is, and what is in it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ray_jobs.cli import main
from ray_jobs.exit_codes import FAILED
from ray_jobs.run_folder.run_lock import locked
from ray_jobs.run_folder.run_recorder import FINAL, METRICS
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.training import CONFIG, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def test_other_settings_under_the_same_name_are_refused(toy):
    first = toy(tracking={"run_name": "mine"})
    train(first)
    before = first.folder.read(METRICS)
    changed = toy(workload={"width": 9}, training={"optimizer": {"learning_rate": 0.02}}, tracking={"run_name": "mine"})
    with pytest.raises(ValueError) as caught:
        train(changed)
    first_line, *lines = str(caught.value).splitlines()
    assert first_line.startswith(f"{first.folder} holds a run with other settings; ")
    assert "tracking.run_name" in first_line and "--new" in first_line
    assert lines == ["  training.optimizer.learning_rate: 0.01 there, 0.02 here", "  workload.width: 8 there, 9 here"]
    assert first.folder.read(METRICS) == before


def test_other_places_and_words_are_no_other_settings(toy):
    result = train(toy(tracking={"run_name": "mine"}))
    again = train(toy(tracking={"run_name": "mine", "notes": "words"}, scaling={"threads_per_worker": 2}))
    assert again.final == result.final


def test_new_sets_the_earlier_run_aside_and_deletes_nothing(toy):
    first = toy(tracking={"run_name": "mine"})
    train(first)
    names = first.folder.names()
    rows = first.folder.read(METRICS)
    other = toy(workload={"width": 9}, tracking={"run_name": "mine"})
    train(other, is_new=True)
    assert first.folder.names("earlier/001") == names
    assert first.folder.read(f"earlier/001/{METRICS}") == rows != other.folder.read(METRICS)
    train(toy(tracking={"run_name": "mine"}), is_new=True)
    assert first.folder.names("earlier") == ["001", "002"]
    assert first.folder.read(METRICS) == rows


def test_new_for_a_run_that_never_was_starts_it(toy):
    experiment = toy(training={"epochs": 1})
    train(experiment, is_new=True)
    assert experiment.folder.exists(FINAL) and not experiment.folder.exists("earlier")


def test_a_folder_in_use_is_left_alone(toy):
    experiment = toy()
    experiment.folder.make()
    with locked(experiment.folder), pytest.raises(ValueError, match="is in use by process"):
        train(experiment, is_new=True)
    assert experiment.folder.names() == []


def test_a_second_process_on_the_same_folder_is_refused(toy, tmp_path):
    experiment = toy()
    experiment.folder.make()
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    with locked(experiment.folder):
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: {experiment.folder} is in use by process ")
    assert experiment.folder.names() == []


def test_the_settings_in_the_folder_load_as_the_same_experiment(toy):
    experiment = toy(training={"epochs": 1})
    train(experiment)
    assert load_experiment(Path(experiment.folder.full("experiment.yaml"))) == experiment
    assert experiment.folder.read_json(CONFIG) == experiment.model_dump(mode="json")


@pytest.mark.parametrize("name", ["1e-3", "2e5", "0x10", "yes", "2024-01-01", "1_000", "null"])
def test_a_name_that_looks_like_another_type_stays_a_string(toy, name):
    experiment = toy(training={"epochs": 1}, tracking={"run_name": name})
    train(experiment)
    assert load_experiment(Path(experiment.folder.full("experiment.yaml"))) == experiment


def test_a_run_leaves_these_files_and_no_others(toy):
    experiment = toy(training={"epochs": 1})
    train(experiment)
    assert experiment.folder.names() == [
        "checkpoints",
        "environment.json",
        "events.jsonl",
        "experiment.json",
        "experiment.yaml",
        "final_metrics.json",
        "heartbeat.json",
        "inputs.json",
        "metrics.jsonl",
        "models",
        "pictures",
        "run.json",
        "settled.json",
        "tracking.json",
        "train.log",
    ]


def test_an_error_is_in_the_log(toy):
    experiment = toy(workload={"nan_at_row": 3})
    with pytest.raises(RuntimeError):
        train(experiment)
    assert "ERROR train/loss is not finite at step" in experiment.folder.read("train.log").decode()
    assert not experiment.folder.exists(FINAL) and not experiment.folder.exists(".lock")


def test_our_errors_are_one_paragraph_with_the_trace_in_the_log(toy, tmp_path, monkeypatch, capsys):
    experiment = toy()
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))

    def break_down(*_):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("ray_jobs.runs.training.run_locally", break_down)
    assert main(["train", str(file)]) == FAILED
    cause = "[Errno 13] Permission denied: '/some/file'"
    shown = capsys.readouterr().err
    assert shown.endswith(f"error: {cause}\n") and "Traceback" not in shown
    log = experiment.folder.read("train.log").decode()
    assert f"ERROR PermissionError: {cause}" in log and "Traceback" in log and "break_down" in log


@pytest.mark.parametrize("name", ["with space", "\u00fcn\u00efcode-\u6a21\u578b", "100%25", "a#b"])
def test_a_run_in_a_folder_with_an_odd_name_stays_inside_it(toy, tmp_path, name):
    experiment = toy(training={"epochs": 1}, tracking={"run_name": name})
    train(experiment)
    assert (tmp_path / "runs" / name / FINAL).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "runs"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
