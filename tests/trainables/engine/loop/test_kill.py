"""A run that is killed with SIGKILL and started again by the same command ends like one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment, check_settings

ROOT = Path(__file__).resolve().parents[4]
STEPS = random.Random(20).sample(range(1, 24), 20)


def run_command(file: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("step", [STEPS[0], *(pytest.param(step, marks=pytest.mark.faults) for step in STEPS[1:])])
def test_a_killed_local_run_ends_with_the_same_weights_and_rows(toy, tmp_path, step):
    kill_file = tmp_path / "kill"
    settings = {"workload": {"kill_file": str(kill_file)}, "training": {"checkpoint_every_steps": 5}}
    reference = toy(**settings, tracking={"run_name": "reference"})
    train(reference)
    killed = toy(**settings, tracking={"run_name": "killed"})
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(killed.model_dump(mode="json")))
    kill_file.write_text(str(step))
    assert run_command(file).returncode == -signal.SIGKILL
    assert not kill_file.exists()
    again = run_command(file)
    assert again.returncode == 0, again.stderr
    for name in ("metrics.jsonl", "final_metrics.json", "checkpoints/step_000000024/model.safetensors"):
        expected = reference.folder.read(name).replace(b"reference", b"killed")
        assert killed.folder.read(name) == expected, name
    assert killed.folder.read("checkpoints/step_000000024/ema.safetensors") == reference.folder.read(
        "checkpoints/step_000000024/ema.safetensors"
    )
    assert not list(Path(killed.folder.path).rglob(".tmp-*"))


FLOW = {
    "name": "flow_matching",
    "network": {"base_channels": 8, "channel_multipliers": [1, 2], "num_groups": 4, "dropout": 0.1},
    "pictures": {"num_per_class": 1, "sampling": {"nfe": 2}, "comparisons": []},
    "evaluation": {"num_samples": 50, "sampling": {"nfe": 2, "guidance": 1.0}},
}


@pytest.mark.faults
def test_flow_matching_killed_at_random_resumes_bit_for_bit(tmp_path):
    """All of it: dropout, label drop, EMA, the feature network and the statistics that were made at the start."""
    experiments = []
    for name in ("reference", "killed"):
        settings = {
            "workload": FLOW,
            "training": {"epochs": 3, "batch_size": 128, "log_every_steps": 4, "checkpoint_every_steps": 5, "ema": {}},
            "scaling": {"num_workers": 0, "threads_per_worker": 1},
            "storage": {"path": str(tmp_path)},
            "tracking": {"run_name": name},
        }
        experiments.append(check_settings(settings, origin="test"))
    reference, killed = experiments
    train(reference)
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(killed.model_dump(mode="json")))
    step = random.Random(23).randrange(6, 30)
    kill_when_rows(killed, file, count=step)
    assert not killed.folder.exists("final_metrics.json")
    assert run_command(file).returncode == 0
    assert "resumed from" in killed.folder.read("train.log").decode()
    last = reference.folder.names("checkpoints")[-1]
    for name in ("metrics.jsonl", f"checkpoints/{last}/model.safetensors", f"checkpoints/{last}/ema.safetensors"):
        assert killed.folder.read(name) == reference.folder.read(name), name


def kill_when_rows(experiment: Experiment, file: Path, count: int) -> None:
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    rows = Path(experiment.folder.full("metrics.jsonl"))
    while not rows.exists() or rows.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()
