"""What `train` prints at its end."""

import json

import pytest
import yaml

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import DONE, main
from ray_jobs.commands.train import describe_results
from ray_jobs.runs.training import Result
from tests.ray_jobs.command import call


@pytest.fixture
def end_of(file, capsys):
    """A function that trains with changed settings; returns the lines after the last of the training."""

    def run(*words: str) -> list[str]:
        assert main(["train", str(file), *words]) == DONE
        return capsys.readouterr().out.rpartition(" samples/s\n")[2].splitlines()

    return run


def test_the_best_models_results_come_first_beside_baselines(end_of, file, tmp_path):
    title, head, first, mark, empty, folder, report, advice = end_of("--set", "training.epochs=1")
    final = json.loads((tmp_path / "storage/runs/toy-run/final_metrics.json").read_text())
    best = final["best_metrics"]
    assert title == f"best model (epoch 1): {final['best_model']}"
    assert head.split() == ["metric", "value", "baseline"]
    assert first.split() == ["test/mse", "*", f"{best['test/mse']:.4g}", f"{best['baseline/test/mse']:.4g}"]
    assert mark == "* decides which model is best: the lower the better" and empty == ""
    assert folder == f"folder: {tmp_path}/storage/runs/toy-run"
    assert report == f"report: {tmp_path}/storage/runs/toy-run/report.html"
    assert (tmp_path / "storage/runs/toy-run/report.html").read_text().startswith("<!doctype html>")
    assert advice.startswith(f"next:   quintet evaluate {file} --set training.epochs=1 (its options: ")


def test_a_finished_run_says_so_and_shows_its_results_again(end_of, file, capsys):
    lines = end_of()
    again = end_of()
    assert again[0] == "toy-run is already finished (train it with --new to repeat it)" and again[1:] == lines


def test_without_an_evaluation_the_training_itself_is_shown(end_of):
    lines = end_of("--set", "training.evaluate_every=null")
    assert lines[0].startswith("this run has no evaluation (training.evaluate_every is null)")
    assert {line.split()[0] for line in lines} >= {"train/loss", "train/learning_rate"}


def test_the_last_model_follows_apart_when_it_is_another(toy, tmp_path):
    folder = Folder(str(tmp_path / "run"))
    folder.write_json("models/aliases.json", {"best": "step_1", "latest": "step_2", "kept": []})
    for step in (1, 2):
        folder.write_json(f"models/step_{step}/metadata.json", {"epoch": step})
    metrics = {"test/mse": 2.0, "train/loss": 1.0, "baseline/test/mse": 9.0}
    final = {"best_model": "models/step_1", "best_metrics": {**metrics, "test/mse": 1.0}, "metrics": metrics}
    parts = describe_results(toy(), Result("run", folder, final))
    assert "\n".join(map(str, parts)).splitlines() == [
        "best model (epoch 1): models/step_1",
        "metric      value  baseline",
        "test/mse *      1         9",
        "* decides which model is best: the lower the better",
        "",
        "last model (epoch 2): models/step_2",
        "metric      value  baseline",
        "test/mse *      2         9",
    ]


def test_a_metric_that_is_never_finite_leaves_no_best_model(toy, tmp_path):
    final = {"best_model": None, "best_metrics": {}, "metrics": {"test/abs": 2.0}}
    parts = describe_results(toy(), Result("run", Folder(str(tmp_path)), final))
    assert str(parts[0]) == "no best model: test/mse was never a finite number" and "test/abs" in str(parts[1])


def test_json_has_the_best_models_metrics_as_well(file, tmp_path, capsys):
    _, summary, _ = call(capsys, "train", file)
    final = json.loads((tmp_path / "storage/runs/toy-run/final_metrics.json").read_text())
    assert set(summary) == {"run_id", "folder", "metrics", "best_model", "best_metrics"}
    assert summary["best_metrics"] == final["best_metrics"] and summary["best_model"] == final["best_model"]


def test_a_resumed_run_marks_earlier_values_with_their_epoch(file, tmp_path, capsys):
    settings = yaml.safe_load(file.read_text())
    settings["training"] |= {"log_every_steps": 1, "checkpoint_every_steps": 1, "keep_checkpoints": 9}
    settings["workload"]["kill_file"] = str(tmp_path / "kill")
    file.write_text(yaml.safe_dump(settings))
    (tmp_path / "kill").write_text("6 ERROR")
    assert main(["train", str(file)]) != DONE
    capsys.readouterr()
    assert main(["train", str(file)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert any("epoch 2/2" in line and "(epoch 1, baseline" in line for line in lines)
