"""A run that is killed with SIGKILL and started again by the same command ends like one that was not."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ray_jobs.launch import train

ROOT = Path(__file__).resolve().parents[3]
STEPS = sorted(random.Random(20).sample(range(1, 24), 5))


def run_command(file: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
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
