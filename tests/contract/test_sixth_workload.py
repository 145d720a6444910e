"""A sixth workload costs its own files and one line in the register; then the command line trains and resumes it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE = (
    '    "toy": Workload("tests.toy_workload.config:ToyConfig", "tests.toy_workload.pipeline:ToyPipeline", '
    '"tests.toy_workload.task:ToyTask"),\n'
)
EXPERIMENT = """
workload: {name: toy, kill_file: KILL}
training: {epochs: 2, batch_size: 8, checkpoint_every_steps: 3, optimizer: {learning_rate: 1e-2}}
scaling: {num_workers: 0}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with one more line in the register."""
    copy = tmp_path / "project"
    for name in ("ray_jobs", "trainables", "data_pipelines", "tests/toy_workload"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests/__init__.py").touch()
    register = copy / "trainables/workloads/__init__.py"
    before = register.read_text()
    register.write_text(
        before.replace("WORKLOADS: dict[str, Workload] = {\n", "WORKLOADS: dict[str, Workload] = {\n" + LINE)
    )
    assert len(register.read_text().splitlines()) == len(before.splitlines()) + 1
    (copy / "toy.yaml").write_text(EXPERIMENT.replace("KILL", str(tmp_path / "kill")))
    return copy


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ray_jobs", *arguments, "--set", f"storage.path={project}/out", "--json"]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_workload_added_by_one_line_trains_and_resumes(project, tmp_path):
    shown = json.loads(run(project, "show", "toy.yaml").stdout.splitlines()[-1])
    assert shown["parameters"] == 8 * 8 + 8 + 2 * 8 + 8 + 1
    (tmp_path / "kill").write_text("11")
    assert run(project, "train", "toy.yaml").returncode == -9
    trained = run(project, "train", "toy.yaml")
    assert "resumed from" in trained.stdout
    summary = json.loads(trained.stdout.splitlines()[-1])
    rows = [json.loads(line) for line in Path(summary["folder"], "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 17))
    scores = json.loads(run(project, "evaluate", "toy.yaml").stdout.splitlines()[-1])["metrics"]
    assert scores["test/mse"] < scores["baseline/test/mse"]
