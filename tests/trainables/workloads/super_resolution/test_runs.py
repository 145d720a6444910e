"""Whole runs: what they record and print, and that a killed one ends like one that was not."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ray_jobs.commands.evaluate import evaluate
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment, check_settings
from tests.image_fixtures import save_noise
from tests.trainables.workloads.super_resolution.conftest import SYMUNET

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """40 images of as many sizes in two classes: 18 for training, 2 for validation, 20 for testing."""
    for number in range(40):
        save_noise(
            tmp_path / f"raw/Images/{'ab'[number % 2]}/{number:02d}.png", 50 + number % 7, 55 - number % 5, number
        )
    return tmp_path / "raw"


def build(tmp_path: Path, raw: Path, name: str, **training: object) -> Experiment:
    settings = {
        "workload": {
            "name": "super_resolution",
            "data": {"source": "uc_merced", "path": str(raw), "scales": [2, 3], "lr_patch_size": 8},
            "network": {**SYMUNET, "upsampling": "post"},
            "loss": "1*L1+0.01*FFT",
            "pictures": {"num_images": 1, "side": 48},
        },
        "training": {
            "epochs": 3,
            "batch_size": 4,
            "log_every_steps": 3,
            "checkpoint_every_steps": 5,
            "passes_per_epoch": 2,
            "ema": {},
            **training,
        },
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(tmp_path)},
        "tracking": {"run_name": name},
    }
    return check_settings(settings, origin="test")


def rows_of(experiment: Experiment) -> list[dict]:
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


def test_a_run_evaluates_once_per_epoch_and_prints_known_lines(tmp_path, raw, capsys):
    experiment = build(tmp_path, raw, "mine")
    train(experiment)
    rows = rows_of(experiment)
    assert len(rows) == 24
    evaluated = [row for row in rows if "val/psnr" in row]
    assert [row["step"] for row in evaluated] == [8, 16, 24] and [row["val/epoch"] for row in evaluated] == [1, 2, 3]
    names = {"val/ssim", "val/best_psnr", "val/best_epoch", "val/x3/psnr", "val/x3/ssim", "baseline/val/x3/ssim"}
    assert all(names <= row.keys() for row in evaluated)
    assert all({"train/l1", "train/fft", "train/loss"} <= row.keys() for row in rows)
    epoch = [row["train/l1"] for row in rows[:8]]
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    heads = [line[0] for line in printed]
    expected = []
    for number in (1, 2, 3):
        expected += [f"[Epoch {number}]", "[12/36]", "[20/36]", "[24/36]", "[32/36]", "[UCMerced x2]", "[UCMerced x3]"]
    assert heads == expected
    assert printed[4][1].startswith(f"[L1: {sum(epoch) / 8:.4f}][FFT: ")
    assert experiment.folder.exists("pictures/val/comparison/step_000000024.png")


def command(file: Path) -> list[str]:
    return [sys.executable, "-m", "ray_jobs", "train", str(file)]


@pytest.mark.faults
def test_a_multi_scale_run_killed_in_an_epoch_ends_the_same(tmp_path, raw):
    reference, killed = (build(tmp_path, raw, name) for name in ("reference", "killed"))
    train(reference)
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(killed.model_dump(mode="json")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command(file), cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
    rows, deadline = Path(killed.folder.full("metrics.jsonl")), time.monotonic() + 120
    while not rows.exists() or rows.read_bytes().count(b"\n") < random.Random(4).randrange(6, 15):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.folder.exists("final_metrics.json")
    assert subprocess.run(command(file), cwd=ROOT, env=environment, capture_output=True, timeout=120).returncode == 0
    assert b"resumed from" in killed.folder.read("train.log")
    for name in (
        "metrics.jsonl",
        "checkpoints/step_000000024/model.safetensors",
        "checkpoints/step_000000024/ema.safetensors",
    ):
        assert killed.folder.read(name) == reference.folder.read(name), name
    logs = [experiment.folder.read("train.log").decode().splitlines() for experiment in (reference, killed)]
    last = [[line.split(" INFO ")[1].rsplit("\t", 1)[0] for line in log if "/36]" in line][-3:] for log in logs]
    assert last[0] == last[1]  # the epoch's running means go on, too


def test_a_saved_model_is_evaluated_with_other_settings(tmp_path, raw):
    experiment = build(tmp_path, raw, "mine", epochs=1, passes_per_epoch=1)
    train(experiment)
    changes = {"workload.evaluation.split": "test", "workload.evaluation.inference.has_self_ensemble": True}
    summary = evaluate(experiment, None, changes)
    assert {"test/psnr", "baseline/test/psnr", "test/x3/ssim"} <= summary["metrics"].keys()
    assert "test/best_psnr" not in summary["metrics"]
    assert [Path(path).parts[-3:-1] for path in summary["pictures"]] == [("test", "comparison")]
    with Path(summary["predictions"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sample"]) for row in rows] == list(range(20)) and {row["split"] for row in rows} == {"test"}
    assert [row["image"] for row in rows[:2]] == ["Images/a/02.png", "Images/a/06.png"]
    for name in ("psnr", "baseline/psnr", "x3/ssim", "baseline/x3/ssim"):
        mean = sum(float(row[name]) for row in rows) / len(rows)
        full = name.replace("baseline/", "baseline/test/") if "baseline" in name else f"test/{name}"
        assert mean == pytest.approx(summary["metrics"][full], rel=1e-12)
