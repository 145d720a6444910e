"""A network in parts on two Ray workers: killed and resumed, it learns what one process learns."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment, check_settings
from trainables.engine.files.messages import WorkerReport

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]

DEMO = Path(__file__).resolve().parents[2] / "ray_jobs/experiments/demo/flow_matching.yaml"
SMALL = {
    "workload.network.base_channels": 8,
    "workload.evaluation.num_samples": 20,
    "workload.evaluation.sampling.nfe": 2,
    "workload.pictures.num_per_class": 1,
    "workload.pictures.comparisons": [],
    "training.epochs": None,
    "training.max_steps": 12,
    "training.log_every_steps": 2,
    "training.checkpoint_every_steps": 4,
    "scaling.threads_per_worker": 1,
}


def build(folder: Path, name: str, **scaling) -> Experiment:
    settings = load_experiment(DEMO).override(SMALL).model_dump(mode="json")
    settings["scaling"] |= scaling
    settings |= {"storage": {"path": str(folder)}, "tracking": {"run_name": name}}
    return check_settings(settings, "here")


def workers() -> list[int]:
    """Training processes of this session's cluster."""
    below = psutil.Process().children(recursive=True)
    return [process.pid for process in below if "RayTrainWorker" in " ".join(process.cmdline())]


def outcome(experiment: Experiment) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """Rows, and the weights of the last saved model."""
    rows = [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]
    model = experiment.folder.read_json("models/aliases.json")["latest"]
    return rows, load_file(experiment.folder.full(f"models/{model}/model.safetensors"))


def test_a_killed_run_in_parts_learns_what_one_process_does(tmp_path, ray_cluster):
    killed: list[int] = []

    def kill(report: WorkerReport) -> None:
        if report["step"] >= 4 and not killed:
            killed.append(workers()[-1])
            os.kill(killed[0], signal.SIGKILL)

    one, parts = build(tmp_path, "one", num_workers=0), build(tmp_path, "parts", num_workers=2, parallel="fsdp")
    train(parts, on_report=kill)
    train(one)
    log = parts.folder.read("train.log").decode()
    assert killed and "was lost; restarting" in log and f"resumed from {parts.folder}/checkpoints/step_" in log
    (rows, weights), (expected, expected_weights) = outcome(parts), outcome(one)
    assert [row["step"] for row in rows] == [row["step"] for row in expected] == list(range(1, 13))
    for row, other in zip(rows, expected, strict=True):
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-5)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-4, atol=1e-5)
    assert rows[-1]["eval/fid_local"] == pytest.approx(expected[-1]["eval/fid_local"], rel=0.01)
    assert parts.folder.names("pictures") == one.folder.names("pictures")
