"""Pretraining, then every mode of fine-tuning on it, through the common engine."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score

from data_pipelines.heart_sounds.tasks import TASKS
from data_pipelines.storage.folder import Folder
from ray_jobs.commands.evaluate import evaluate
from ray_jobs.commands.repeat import read_rows
from ray_jobs.runs.model_references import best_model, named_runs
from ray_jobs.runs.training import train
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_physionet, write_wav
from trainables.inference.loading import load_model
from trainables.inference.model_files import open_model
from trainables.run_paths import step_of
from trainables.workloads import score_jointly
from trainables.workloads.heart_sound.finetune.class_loss import weigh_classes

pytestmark = pytest.mark.slow


def weights_of(folder: Folder) -> dict[str, torch.Tensor]:
    return load_file(Path(str(best_model(folder))) / "model.safetensors")


def rows_of(folder: Folder) -> list[dict]:
    return [json.loads(line) for line in folder.read("metrics.jsonl").decode().splitlines()]


@pytest.fixture
def pretrained(stage):
    workload = {"contrast": {"masks_same_subject": True}, "data": {"val_ratio": 0.2}}
    return train(stage("pretrain", "first", workload, epochs=3))


def test_pretraining_records_the_loss_of_a_constant_embedding(pretrained):
    metrics = pretrained.final["metrics"]
    total = metrics["val/loss_cycle"] + metrics["val/loss_sub"]
    assert metrics["val/loss"] == pytest.approx(total, rel=1e-5)
    assert metrics["val/loss"] < metrics["baseline/val/loss"]
    assert metrics["baseline/val/loss_cycle"] == pytest.approx(metrics["baseline/val/loss_sub"], rel=1e-4)
    assert 0 < metrics["baseline/val/retrieval_accuracy"] < 0.5
    assert pretrained.folder.exists("pictures/val/views")


def test_linear_evaluation_changes_nothing_of_the_encoder(stage, pretrained, tmp_path):
    experiment = stage("finetune", "linear", {"mode": "linear", "pretrained": "first"})
    experiment = experiment.override(named_runs(experiment, str(tmp_path)))
    result = train(experiment)
    before, after = weights_of(pretrained.folder), weights_of(result.folder)
    names = [name for name in after if name.startswith("encoder.")]
    assert any("running_mean" in name for name in names)
    assert all(torch.equal(after[name], before[name]) for name in names)
    row = rows_of(result.folder)[-1]
    assert row["learning_rate/classifier"] == 1e-2 and "learning_rate/encoder" not in row
    inputs = json.loads(result.folder.read("inputs.json"))
    assert "workload.pretrained" in [each["metadata"].get("setting") for each in inputs]


def test_test_subjects_of_the_pretraining_are_warned_of(stage, pretrained, tmp_path):
    withheld = {"data": {"withheld_tasks": ["synthetic_murmur"]}}
    train(stage("pretrain", "withheld", withheld))
    for name in ("first", "withheld"):
        result = train(stage("finetune", f"on_{name}", {"pretrained": str(tmp_path / "runs" / name)}))
        is_told = "of the 2 test subjects, such as synthetic:" in result.folder.read("train.log").decode()
        assert is_told == (name == "first")


def test_the_weights_of_the_classes_are_computed_once(stage, monkeypatch):
    calls = []

    def count(counts: torch.Tensor, largest: float) -> torch.Tensor:
        calls.append(counts)
        return weigh_classes(counts, largest)

    monkeypatch.setattr("trainables.workloads.heart_sound.finetune.task.weigh_classes", count)
    result = train(stage("finetune", "weighed", {}, epochs=2))
    assert len(calls) == 1 < len(rows_of(result.folder))


def test_full_fine_tuning_trains_the_encoder_at_its_own_rate(stage, pretrained, tmp_path):
    workload = {"pretrained": str(tmp_path / "runs/first"), "encoder_rate_factor": 0.01}
    result = train(stage("finetune", "full", workload))
    before, after = weights_of(pretrained.folder), weights_of(result.folder)
    parameters = ("encoder.stages.0.body.0.weight", "encoder.sequence.0.mamba.in_proj.weight")
    moved = max(float((after[name] - before[name]).abs().max()) for name in parameters)
    # Adam moves each weight by about the rate in every step
    assert 0 < moved <= 1e-4 * len(rows_of(result.folder)) * 1.5
    row = rows_of(result.folder)[-1]
    assert row["learning_rate/encoder"] == row["train/learning_rate"] == pytest.approx(1e-4)
    assert row["learning_rate/classifier"] == pytest.approx(1e-2)
    for name in ("accuracy", "f1", "precision", "recall"):
        assert 0 <= row[f"train/{name}"] <= 1


def test_every_score_is_recorded_per_split_beside_its_baseline(stage):
    result = train(stage("finetune", "scratch", {"data": {"balances_classes": True}}))
    metrics = result.final["metrics"]
    names = ["loss", "accuracy", "f1_macro", "auroc", "auprc", "recall", "sensitivity", "specificity"]
    for split in ("val", "test"):
        assert {f"{split}/{name}" for name in names} <= set(metrics)
        assert metrics[f"baseline/{split}/auroc"] == 0.5
        assert f"{split}/cycle_auroc" in metrics and f"{split}/patient_auroc" in metrics
        for picture in ("confusion_matrix", "roc_curve", "pr_curve"):
            assert result.folder.exists(f"pictures/{split}/{picture}")


def test_the_result_depends_on_the_seed_alone(stage):
    results = [
        train(stage("finetune", f"run{n}", {}).model_copy(update={"seed": seed})) for n, seed in enumerate((1, 1, 2))
    ]
    first, second, third = (rows_of(result.folder) for result in results)
    assert first == second != third


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("pretrain", {"contrast": {"masks_same_subject": True}}),
        ("finetune", {"encoder_rate_factor": 0.3}),
        ("finetune", {"loss": {"counts": "patients", "weighs_classes": False, "logit_adjustment": 1.0}}),
        (
            "finetune",
            {"pooling": {"cycles": "attention"}, "data": {"cycles_per_bag": 3}, "loss": {"counts": "patients"}},
        ),
    ],
)
def test_a_resume_in_the_middle_of_any_epoch_is_bit_exact(stage, name, workload):
    """Views, dropout, running statistics, both rates, and the training answers counted since the last evaluation."""
    training = {"epochs": 2, "checkpoint_every_steps": 3, "keep_checkpoints": 99, "ema": {"decay": 0.9}}
    experiment = stage(name, "resumed", workload, **training, schedule={"name": "cosine", "warmup_steps": 4})
    train(experiment)
    folder = experiment.folder
    whole, checkpoints = rows_of(folder), folder.names("checkpoints")
    last = f"checkpoints/{checkpoints[-1]}"
    weights = [folder.read(f"{last}/{file}.safetensors") for file in ("model", "ema")]
    half = len(whole) // 2
    for first_deleted in (half + 2, half - 2):  # behind and before the evaluation in the middle
        for checkpoint in checkpoints:
            if step_of(checkpoint) >= first_deleted:
                folder.delete(f"checkpoints/{checkpoint}")
        folder.delete("final_metrics.json")
        train(experiment)
        assert f"resumed from {folder}/checkpoints" in folder.read("train.log").decode()
        assert rows_of(folder) == whole
        assert [folder.read(f"{last}/{file}.safetensors") for file in ("model", "ema")] == weights


def test_an_encoder_of_other_settings_is_refused_by_their_names(stage, pretrained, tmp_path):
    experiment = stage("finetune", "other", {"pretrained": str(tmp_path / "runs/first")})
    with pytest.raises(ValueError, match=r"another architecture; state_size: pretrained 2, here 3"):
        train(experiment.override({"workload.encoder.state_size": 3}))


def test_samples_unlike_those_of_pretraining_are_warned_of(stage, pretrained, tmp_path):
    workload = {"pretrained": str(tmp_path / "runs/first")}
    same = train(stage("finetune", "same", workload))
    other = train(stage("finetune", "other", {**workload, "data": {"num_samples": 256, "sample_rate": 2000}}))
    told = "on other samples; sample_rate: pretrained 1000, here 2000; num_samples: pretrained 128, here 256"
    assert "on other samples" not in same.folder.read("train.log").decode()
    assert told in other.folder.read("train.log").decode()


def test_a_folder_that_is_no_model_is_named(stage, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"`workload\.pretrained`: no model\.safetensors in .*empty"):
        train(stage("finetune", "none", {"pretrained": str(tmp_path / "empty")}))


@pytest.mark.parametrize("sequence", ["transformer", "none"])
def test_the_other_encoders_train_too(stage, sequence):
    workload = {"encoder": {"channels": [4, 4, 6, 8], "num_layers": 1, "num_heads": 2, "sequence": sequence}}
    result = train(stage("pretrain", "p", workload, epochs=None, max_steps=2))
    assert result.final["metrics"]["train/loss"] > 0


def check_table(found: dict[str, Any]) -> None:
    """Scores of scikit-learn from the table of an evaluation, by the mean logits of the cycles of a recording."""
    with Path(found["predictions"]).open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["split"] == "val"]
    classes = [name[len("logit(") : -1] for name in table[0] if name.startswith("logit(")]
    recordings: dict[str, list[np.ndarray]] = {}
    for row in table:
        logits = np.array([float(row[f"logit({name})"]) for name in classes])
        recordings.setdefault(row["recording"], []).append(logits)
    truth = {row["recording"]: row["truth"] for row in table}
    means = {key: np.mean(each, 0) for key, each in recordings.items()}
    multipliers = np.array([found["metrics"][f"decision/{name.lower()}"] for name in classes])
    answers = [classes[int((multipliers * np.exp(means[key] - means[key].max())).argmax())] for key in truth]
    metrics = {name.removeprefix("val/"): value for name, value in found["metrics"].items() if name.startswith("val/")}
    assert accuracy_score(list(truth.values()), answers) == pytest.approx(metrics["accuracy"], rel=1e-12)
    macro = f1_score(list(truth.values()), answers, average="macro", labels=classes)
    assert macro == pytest.approx(metrics["f1_macro"], rel=1e-12)


@pytest.mark.parametrize("rule", ["learnt", "argmax"])
def test_every_later_answer_follows_the_rule_that_the_model_keeps(stage, rule):
    experiment = stage("finetune", rule, {"decision": {"rule": rule}})
    result = train(experiment)
    saved = open_model(result.folder)
    if rule == "argmax":
        assert saved.learnt["decision"] == {
            "score": None,
            "multipliers": {"normal": 1.0, "murmur": 1.0},
            "pooling": {"cycles": "logits", "recordings": "logits"},
        }
        assert "val/argmax_f1_macro" not in saved.metrics
        return
    kept = saved.learnt["decision"]
    assert kept["score"] == "f1_macro" and kept["multipliers"]["murmur"] != 0.5
    assert {f"decision/{name}": value for name, value in kept["multipliers"].items()}.items() <= saved.metrics.items()
    assert saved.metrics["val/f1_macro"] >= saved.metrics["val/argmax_f1_macro"]
    found = evaluate(experiment, None, {})
    told = {name: value for name, value in saved.metrics.items() if name.startswith(("val/", "test/", "decision/"))}
    assert told == {name: pytest.approx(found["metrics"][name], rel=1e-6) for name in told}
    assert {"test/accuracy_low", "test/accuracy_high"} <= set(found["metrics"]) - set(saved.metrics)
    assert any("test/recordings" in name for name in found["pictures"])


@pytest.mark.parametrize("task", ["circor_murmur", "physionet2016"])
def test_the_table_of_an_evaluation_has_all_for_its_scores(stage, task, tmp_path):
    raw = tmp_path / "raw"
    if task == "circor_murmur":
        patients = [("Present", "Abnormal"), ("Unknown", "Normal"), ("Absent", "Normal")] * 8
        write_circor(raw, {str(n): {"Murmur": murmur, "Outcome": ill} for n, (murmur, ill) in enumerate(patients)})
    else:
        write_physionet(raw, {f"{name}{n:04d}": ("1", "-1")[n % 2] for name in "ab" for n in range(12)})
    data = {task.partition("_")[0]: str(raw), "val_ratio": 0.25, "test_ratio": 0.3}
    experiment = stage("finetune", "table", {"task": task, "data": data})
    train(experiment)
    found = evaluate(experiment, None, {})
    joint = score_jointly(experiment.workload, read_rows(found["predictions"]))
    assert joint is not None
    told = {name: value for name, value in joint.metrics.items() if not name.startswith("test/num_")}
    assert told == {name: pytest.approx(found["metrics"][name], rel=1e-9) for name in told}
    assert {f"test/{TASKS[task].decision_scores[0]}", "test/auroc_low", "test/brier"} <= set(told)


def test_all_subjects_of_other_data_can_be_tested_on(stage, tmp_path, caplog):
    own, other = tmp_path / "own", tmp_path / "other"
    for place, first in ((own, 100), (other, 200)):
        fields = [{"Murmur": murmur, "Outcome": "Normal"} for murmur in ("Present", "Unknown", "Absent")] * 4
        write_circor(place, {str(first + n): each for n, each in enumerate(fields)})
    shares = {"val_ratio": 0.3, "test_ratio": 0.3}

    def experiment(place: Path):
        return stage("finetune", "external", {"task": "circor_murmur", "data": {"circor": str(place), **shares}})

    train(experiment(own))
    found = evaluate(experiment(other), None, {"workload.data.tests_all": True})
    rows = read_rows(found["predictions"])
    assert len({row["patient"] for row in rows}) == 12 and {row["split"] for row in rows} == {"test"}
    assert not any(name.startswith("val/") for name in found["metrics"])
    assert "of the training of" not in caplog.text
    again = evaluate(experiment(own), None, {"workload.data.tests_all": True})
    assert (found["learnt_subjects"], again["learnt_subjects"]) == (0, 5)
    assert re.search(r"5 of the 12 test subjects, such as circor:10\d, are of the training of", caplog.text)
    with pytest.raises(ValueError, match="leave no rows to train on"):
        train(stage("finetune", "none", {"task": "circor_murmur", "data": {"circor": str(own), "tests_all": True}}))


def test_a_table_of_own_labels_is_trained_on_and_predicted(stage, tmp_path):
    rows = [f"{n}.wav,s{n // 2},{('well', 'ill')[n // 2 % 2]}" for n in range(24)]
    for n in range(24):
        write_wav(tmp_path / "sounds" / f"{n}.wav", seed=n)
    (tmp_path / "labels.csv").write_text("\n".join(["file,subject,label", *rows]))
    places = {"folder": str(tmp_path / "sounds"), "labels": str(tmp_path / "labels.csv"), "classes": ["well", "ill"]}
    result = train(stage("finetune", "own", {"task": "labelled", "data": {**places, "val_ratio": 0.3}}))
    assert {"val/f1_macro", "test/auroc", "decision/ill"} <= set(result.final["metrics"])
    answer = load_model(str(result.folder), device="cpu").predict([tmp_path / "sounds/0.wav"])[0]
    assert set(answer.probabilities) == {"well", "ill"}


def test_another_metric_can_choose_the_best_model(stage):
    goal = {"metric": "val/loss", "mode": "min"}
    result = train(stage("finetune", "chosen", {"selection": goal}, epochs=3))
    losses = [row["val/loss"] for row in rows_of(result.folder) if "val/loss" in row]
    assert result.final["best_metrics"]["val/loss"] == min(losses)


def test_a_model_is_not_scored_on_data_made_otherwise(stage):
    experiment = stage("finetune", "rates", {})
    train(experiment)
    check_table(evaluate(experiment, None, {}))
    other = experiment.override({"workload.data.sample_rate": 4000})
    with pytest.raises(ValueError, match=r"(?s)made with other settings.*sample_rate: \d+ there, 4000 here"):
        evaluate(other, None, {})
