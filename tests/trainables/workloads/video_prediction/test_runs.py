"""Whole runs: what they record, and that a killed one ends like one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment, check_settings
from tests.trainables.workloads.video_prediction.conftest import DATA, NETWORK
from trainables.engine.files.checkpoints import load_checkpoint

ROOT = Path(__file__).resolve().parents[4]


def build(tmp_path: Path, name: str, **training: object) -> Experiment:
    """Clips that are cut, mirrored and brightened at random, and predicted by noisy sampling."""
    settings = {
        "workload": {
            "name": "video_prediction",
            "data": {**DATA, "horizontal_flip": True, "brightness": 0.2},
            "network": {"name": "dit", **NETWORK},
            "diffusion": {"num_timesteps": 20},
            "evaluation": {"sampling": {"method": "ddpm", "num_steps": 3}},
        },
        "training": {
            "epochs": 3,
            "passes_per_epoch": 10,
            "batch_size": 2,
            "log_every_steps": 3,
            "checkpoint_every": "7 steps",
            "keep_checkpoints": 1,
            "schedule": {"name": "cosine", "warmup_steps": 4},
            "ema": {"has_warmup": True},
            **training,
        },
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(tmp_path)},
        "tracking": {"run_name": name},
    }
    return check_settings(settings, origin="test")


@pytest.mark.slow
def test_a_run_killed_in_an_epoch_resumes_bit_for_bit(tmp_path):
    reference, killed = (build(tmp_path, name) for name in ("reference", "killed"))
    train(reference)
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(killed.model_dump(mode="json")))
    command = [sys.executable, "-m", "ray_jobs", "train", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
    rows, deadline = Path(killed.folder.full("metrics.jsonl")), time.monotonic() + 120
    enough = random.Random(7).randrange(22, 38)  # in the second of three epochs
    while not rows.exists() or rows.read_bytes().count(b"\n") < enough:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.folder.exists("final_metrics.json")
    assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120).returncode == 0
    assert b"resumed from" in killed.folder.read("train.log")
    assert killed.folder.read("metrics.jsonl") == reference.folder.read("metrics.jsonl")
    first, second = (load_checkpoint(each.folder, "checkpoints/step_000000060") for each in (reference, killed))
    for kind in ("model", "ema", "state"):  # the state: optimiser, schedule, meters, all random states
        assert_same(getattr(first, kind), getattr(second, kind))


def assert_same(first: Any, second: Any) -> None:
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        first, second = list(first.values()), list(second.values())
    if isinstance(first, list | tuple):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_same(*pair)
    else:
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second
