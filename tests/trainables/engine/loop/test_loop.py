"""The loop on the toy workload, in this process."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from tests.toy_workload.config import ToyConfig
from tests.toy_workload.task import ToyTask
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.engine.loop.loop import run_training
from trainables.engine.loop.worker_context import CancelledError
from trainables.engine.step import train_step
from trainables.ray_train.worker_main import RunError, run_locally

pytestmark = pytest.mark.slow


def rows_of(experiment) -> list[dict]:
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


def test_every_step_has_one_row_with_its_metrics(toy):
    experiment = toy()
    train(experiment)
    rows = rows_of(experiment)
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert all({"train/loss", "train/learning_rate", "train/grad_norm", "train/epoch"} <= row.keys() for row in rows)
    assert [row["step"] for row in rows if "train/epoch_loss" in row] == [8, 16, 24]
    assert [row["step"] for row in rows if "test/mse" in row] == [8, 16, 24]


def test_the_epoch_loss_is_the_mean_of_its_steps(toy):
    experiment = toy()
    train(experiment)
    rows = rows_of(experiment)
    assert rows[15]["train/epoch_loss"] == pytest.approx(sum(row["train/loss"] for row in rows[8:16]) / 8)


def test_further_metrics_of_a_step_have_their_epoch_means_too(toy):
    experiment = toy()
    train(experiment)
    rows = rows_of(experiment)
    mean = sum(row["train/abs_error"] for row in rows[8:16]) / 8
    assert rows[15]["train/epoch_abs_error"] == pytest.approx(mean)
    assert "train/epoch_grad_norm" not in rows[15]


def test_a_workload_may_rename_the_metrics_of_the_engine(toy, monkeypatch):
    names = {"train/loss": "loss", "train/epoch_loss": "mean_loss"}
    monkeypatch.setattr(ToyConfig, "metric_names", names)
    experiment = toy()
    final = train(experiment).final
    rows = rows_of(experiment)
    assert all("loss" in row and "train/loss" not in row for row in rows)
    assert rows[7]["mean_loss"] == pytest.approx(sum(row["loss"] for row in rows[:8]) / 8)
    assert {"loss", "mean_loss", "train/abs_error"} <= final["metrics"].keys()
    # the message of a bad step names what the engine knows
    broken = toy(workload={"nan_at_row": 5}, tracking={"run_name": "broken"})
    with pytest.raises(RunError, match=r"train/loss is not finite"):
        train(broken)
    assert all("train/loss" not in row for row in rows_of(broken))


def test_accumulated_micro_batches_give_the_full_gradient(toy):
    """Up to the small noise of the augmentation, whose draws fall on other rows."""
    first_rows = []
    for accumulate in (1, 4):
        experiment = toy(
            workload={"has_noise": False},
            training={"epochs": None, "max_steps": 1, "accumulate": accumulate, "batch_size": 64},
            tracking={"run_name": f"accumulate-{accumulate}"},
        )
        train(experiment)
        first_rows.append(rows_of(experiment)[0])
    for name in ("train/loss", "train/grad_norm"):
        assert first_rows[0][name] == pytest.approx(first_rows[1][name], rel=0.02)


def test_max_steps_ends_in_the_middle_of_an_epoch(toy):
    experiment = toy(training={"epochs": None, "max_steps": 11})
    result = train(experiment)
    assert result.final["step"] == 11
    assert rows_of(experiment)[-1]["step"] == 11


def test_a_cancelled_training_ends_before_its_next_step(toy):
    experiment = toy()
    experiment.folder.make()
    asked = []

    def is_cancelled():
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(CancelledError):
        run_locally(build_plan(experiment), run_training, lambda report: None, is_cancelled)
    assert len(asked) == 6
    assert find_checkpoint(experiment.folder)[0] == "checkpoints/step_000000003"


def test_a_cadence_in_steps_counts_optimiser_steps(toy):
    experiment = toy(training={"evaluate_every": "5 steps", "pictures_every": None})
    train(experiment)
    assert [row["step"] for row in rows_of(experiment) if "test/mse" in row] == [5, 10, 15, 20, 24]
    assert experiment.folder.names("pictures") == []


def test_replaced_parameters_are_trained_on_and_survive_a_resume(toy):
    experiment = toy(workload={"swaps_layer_after_epoch": 1})
    train(experiment)
    whole = rows_of(experiment)
    assert experiment.folder.exists("checkpoints/step_000000022")
    for name in ("checkpoints/step_000000024", "final_metrics.json"):
        experiment.folder.delete(name)
    train(experiment)
    assert rows_of(experiment) == whole


def test_a_non_finite_loss_stops_the_run_and_names_the_step(toy):
    experiment = toy(workload={"nan_at_row": 5}, training={"log_every_steps": 1})
    with pytest.raises(RunError, match=r"train/loss is not finite at step \d+ \(epoch 1\).*on_nonfinite=skip"):
        train(experiment)
    good = rows_of(experiment)
    assert all("train/loss" in row for row in good)
    for name in experiment.folder.names("checkpoints"):
        with experiment.folder.local(f"checkpoints/{name}") as files:
            assert torch.load(files / "state.pt", weights_only=True)["position"]["step"] <= len(good)


def test_a_step_that_is_not_finite_can_be_skipped_and_is_counted(toy):
    experiment = toy(workload={"nan_at_row": 5}, training={"on_nonfinite": "skip"})
    result = train(experiment)
    rows = rows_of(experiment)
    assert result.final["metrics"]["train/skipped_steps"] == 3
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert sum("train/loss" not in row for row in rows) == 3
    assert result.final["metrics"]["test/mse"] < result.final["metrics"]["baseline/test/mse"]


def test_early_stopping_ends_after_its_patience(toy):
    experiment = toy(training={"epochs": 50, "early_stopping": {"patience": 2, "min_delta": 100.0}})
    assert train(experiment).final["epoch"] == 3
    assert "stopped early" in experiment.folder.read("train.log").decode()


def test_the_best_model_is_the_one_with_the_best_goal(toy):
    experiment = toy()
    result = train(experiment)
    values = {row["step"]: row["test/mse"] for row in rows_of(experiment) if "test/mse" in row}
    best = min(values, key=lambda step: values[step])
    assert result.final["best_model"] == f"models/step_{best:09d}"
    assert result.final["best_metrics"]["test/mse"] == values[best]


def test_a_damaged_newest_checkpoint_is_named_and_skipped(toy):
    experiment = toy()
    train(experiment)
    whole = rows_of(experiment)
    newest, previous = (experiment.folder.names("checkpoints")[index] for index in (-1, -2))
    weights = Path(experiment.folder.full(f"checkpoints/{newest}/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    name, messages = find_checkpoint(experiment.folder)
    assert name == f"checkpoints/{previous}"
    assert newest in messages[0] and "model.safetensors has" in messages[0]
    experiment.folder.delete("final_metrics.json")
    train(experiment)
    assert rows_of(experiment) == whole


def test_a_checkpoint_of_another_architecture_is_refused_by_key(toy):
    first, second = toy(), toy(workload={"width": 16}, tracking={"run_name": "wider"})
    train(first)
    second.folder.make()
    first.folder.fs.move(first.folder.full("checkpoints"), second.folder.full("checkpoints"))
    with pytest.raises(RunError, match=r"another architecture"):
        train(second)


def test_a_finished_run_is_not_trained_again_unless_asked(toy, capsys):
    experiment = toy()
    first = train(experiment)
    before = experiment.folder.read("metrics.jsonl")
    assert train(experiment).final == first.final
    assert "already finished" in capsys.readouterr().out
    assert train(experiment, is_new=True).final == first.final
    assert experiment.folder.read("metrics.jsonl") == before
    assert experiment.folder.names("earlier") == ["001"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns(toy, precision):
    experiment = toy(training={"precision": precision, "epochs": 6})
    metrics = train(experiment).final["metrics"]
    assert metrics["test/mse"] < metrics["baseline/test/mse"]


def test_pictures_and_tables_are_files_with_a_description(toy):
    experiment = toy(training={"epochs": 1})
    train(experiment)
    described = experiment.folder.read_json("pictures/eval/pictures/step_000000008.json")
    assert described["captions"] == ["a", "b"] and described["tiles"]["height"] == 8
    table = experiment.folder.read_json("pictures/eval/table/step_000000008.json")
    assert experiment.folder.exists(table["rows"][0][1]["image"])


def test_reports_come_every_few_steps_of_each_epoch(toy, monkeypatch):
    """An epoch has 8 steps, of which 3, 6 and the last report; counting goes on from 0 in the next epoch."""
    seen, apply = [], RunRecorder.apply
    monkeypatch.setattr(RunRecorder, "apply", lambda self, report: seen.append(report) or apply(self, report))
    train(toy(training={"epochs": 2, "checkpoint_every_steps": None}))
    assert [report["rows"][-1]["step"] for report in seen if report["rows"]] == [3, 6, 8, 11, 14, 16]
    assert [report["step_in_epoch"] for report in seen] == [0, 3, 6, 0, 3, 6, 8]
    rows = [row for report in seen for row in report["rows"]]
    means = [report["epoch_means"]["train/abs_error"] for report in seen[1:]]
    for mean, (first, last) in zip(means, [(0, 3), (0, 6), (0, 8), (8, 11), (8, 14), (8, 16)], strict=True):
        assert mean == pytest.approx(sum(row["train/abs_error"] for row in rows[first:last]) / (last - first))
    assert [report["speed"]["evaluation_s"] > 0 for report in seen] == [False, False, False, True, False, False, True]


@pytest.mark.parametrize("ema", [None, {"decay": 0.9}])
def test_a_fresh_run_builds_optimiser_and_average_once(toy, monkeypatch, ema):
    built = []
    for name in ("build_optimizer", "EmaModel"):
        original = getattr(train_step, name)
        monkeypatch.setattr(train_step, name, lambda *a, f=original, n=name: built.append(n) or f(*a))
    train(toy(training={"ema": ema}))
    assert sorted(built) == sorted(["build_optimizer", *(["EmaModel"] if ema else [])])


@pytest.mark.parametrize("every", ["1 epochs", None])
def test_evaluation_is_prepared_only_where_there_is_one(toy, monkeypatch, every):
    calls = []
    monkeypatch.setattr(ToyTask, "prepare_evaluation", lambda task, start: calls.append(start))
    train(toy(training={"evaluate_every": every}))
    assert len(calls) == (every is not None)


def test_weights_loaded_at_the_start_are_averaged_from(toy, monkeypatch):
    """The EMA begins with what `on_train_start` leaves, not with the initial weights."""

    def load(task, start):
        with torch.no_grad():
            task.module[0].weight.fill_(3.0)

    monkeypatch.setattr(ToyTask, "on_train_start", load)
    experiment = toy(training={"ema": {"decay": 0.999999}, "optimizer": {"learning_rate": 1e-6}})
    train(experiment)
    name, _ = find_checkpoint(experiment.folder)
    averaged = load_file(experiment.folder.full(f"{name}/ema.safetensors"))
    assert torch.allclose(averaged["0.weight"], torch.tensor(3.0), atol=1e-3)
