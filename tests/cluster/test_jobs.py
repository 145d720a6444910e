"""Jobs on a cluster that is started like any other, with a token: submitted, followed, left, seen again, stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_pipelines.storage.folder import Folder
from ray_jobs.cluster.local_cluster import LocalCluster
from ray_jobs.cluster.ray_job_client import JobClient
from ray_jobs.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from tests.cluster.nodes import (
    allow_further_nodes,
    assert_same,
    count_rows,
    end,
    started_node,
    train_by_processes,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]
LINE = (
    '    "toy": Workload("tests.toy_workload.config:ToyConfig", "tests.toy_workload.pipeline:ToyPipeline", '
    '"tests.toy_workload.task:ToyTask"),\n'
)
EXPERIMENT = """
workload: {name: toy, num_rows: 64}
training: {epochs: 3, batch_size: 8, log_every_steps: 3, optimizer: {learning_rate: 1e-2}}
scaling: {num_workers: 0, threads_per_worker: 1}
"""
ENDLESS = ["--set", "training.epochs=1000000", "--set", "tracking.run_name=endless"]
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """What a user's checkout is: the packages, a workload of the user's own, an experiment, and things not to send."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ray_jobs", "trainables", "data_pipelines", "examples", "tests/toy_workload"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
    (folder / "tests/__init__.py").touch()
    register = folder / "trainables/workloads/__init__.py"
    register.write_text(
        register.read_text().replace(
            "WORKLOADS: dict[str, Workload] = {\n", "WORKLOADS: dict[str, Workload] = {\n" + LINE
        )
    )
    (folder / "toy.yaml").write_text(EXPERIMENT)
    return folder


def build_command(cluster: LocalCluster, project: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """What a user does in a terminal there: the words, and where."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    settings = {
        "RAY_API_SERVER_ADDRESS": cluster.address,
        "RAY_AUTH_TOKEN": cluster.token,
        "RAY_AUTH_MODE": "token",
    }
    return {
        "args": [sys.executable, "-m", *words],
        "cwd": project,
        "env": {**environment, **settings, "PYTHONPATH": str(project)},
        "text": True,
    }


@pytest.fixture
def command(cluster, project):
    """Builds one on the cluster of these tests."""
    return lambda *words: build_command(cluster, project, words)


@pytest.fixture
def run(command):
    """Runs one to its end."""
    return lambda *words: subprocess.run(**command("ray_jobs", *words), capture_output=True, timeout=240)


def storage(path: Path) -> list[str]:
    return ["--set", f"storage.path={path}"]


def test_a_submitted_job_outlives_its_client_and_can_be_attached(run, tmp_path):
    """Standard output is the job's, and ends with its line of JSON."""
    words = ["toy.yaml", *storage(tmp_path), "--set", "tracking.run_name=mine", "--json"]
    sent = run("submit", *words, "--detach")
    assert sent.returncode == DONE, sent.stderr
    job = json.loads(sent.stdout)["job"]
    assert job.startswith("train_toy_") and f"--attach {job}`" in sent.stderr
    seen = run("submit", "--attach", job)
    assert seen.returncode == DONE and "epoch 3/3" in seen.stdout
    summary = json.loads(seen.stdout.splitlines()[-1])
    assert summary["run_id"] == "mine" and Folder(summary["folder"]).read_json("final_metrics.json")["step"] == 24


@pytest.mark.faults
def test_what_only_the_cluster_sees_ends_with_its_exit_code(run, tmp_path):
    there = run("submit", "evaluate", "toy.yaml", *storage(tmp_path))
    assert there.returncode == BAD_INPUT, there.stderr
    assert "holds no model yet" in there.stdout and "ended with exit code 2" in there.stderr
    failed = run("submit", "toy.yaml", *storage(tmp_path), "--set", "workload.nan_at_row=3")
    assert failed.returncode == FAILED and "train/loss is not finite" in failed.stdout


@pytest.mark.faults
def test_a_job_outlives_its_terminal_and_stops_with_a_checkpoint(command, run, cluster, tmp_path):
    terminal = subprocess.Popen(
        **command("ray_jobs", "submit", "toy.yaml", *storage(tmp_path), *ENDLESS), stderr=subprocess.PIPE
    )
    folder = Folder(str(tmp_path)) / "runs/endless"
    wait_for(lambda: folder.exists("metrics.jsonl"))
    terminal.send_signal(signal.SIGINT)
    _, words = terminal.communicate(timeout=60)
    job = words.split()[1]
    assert terminal.returncode == INTERRUPTED and f"--attach {job}`" in words and f"--stop {job}`" in words
    length = len(folder.read("metrics.jsonl"))
    wait_for(lambda: len(folder.read("metrics.jsonl")) > length)
    assert JobClient(cluster.address, cluster.token).find(job).status == "RUNNING"
    second = run("train", "toy.yaml", *storage(tmp_path), *ENDLESS)
    assert second.returncode == BAD_INPUT and f"{folder} is in use by process " in second.stderr
    stopped = run("submit", "--stop", job, "--json")
    assert stopped.returncode == DONE, stopped.stderr
    assert "stopped by SIGTERM after step" in stopped.stdout
    assert json.loads(stopped.stdout.splitlines()[-1]) == {"job": job, "status": "STOPPED"}
    last = folder.read("metrics.jsonl").splitlines()[-1]
    assert folder.names("checkpoints")[-1] == f"step_{json.loads(last)['step']:09d}" and not folder.exists(".lock")


@pytest.mark.faults
def test_ray_workers_stop_with_a_checkpoint_and_submit_resumes(run, tmp_path):
    words = ["toy.yaml", *storage(tmp_path), "--set", "scaling.num_workers=2", *ENDLESS]
    folder = Folder(str(tmp_path)) / "runs/endless"
    starts = []
    for _ in range(2):
        job = json.loads(run("submit", *words, "--detach", "--json").stdout)["job"]
        steps = len(folder.names("checkpoints")) and int(folder.names("checkpoints")[-1].removeprefix("step_"))
        wait_for(lambda: folder.exists("metrics.jsonl") and steps_of(folder)[-1:] > [steps])  # noqa: B023
        stopped = run("submit", "--stop", job)
        assert stopped.returncode == DONE and "stopped by SIGTERM after step" in stopped.stdout, stopped.stderr
        starts.append(steps)
        rows = steps_of(folder)
        assert rows == list(range(1, len(rows) + 1))
        assert folder.names("checkpoints")[-1] == f"step_{rows[-1]:09d}"
    assert starts[0] == 0 < starts[1]


def steps_of(folder: Folder) -> list[int]:
    return [json.loads(row)["step"] for row in folder.read("metrics.jsonl").splitlines()]


@pytest.mark.faults
def test_plain_ray_job_submit_trains_and_stop_keeps_checkpoints(command, cluster, project, tmp_path):
    """Two workers on Ray; the client is killed with SIGKILL, the job goes on."""
    settings = [*storage(tmp_path), "--set", "scaling.num_workers=2"]
    words = ["--working-dir", ".", "--submission-id", "plain", "--", "python", "-m", "ray_jobs", "train", "toy.yaml"]
    client = subprocess.Popen(**command("ray.scripts.scripts", "job", "submit", *words, *settings, *ENDLESS))
    folder = Folder(str(tmp_path)) / "runs/endless"
    wait_for(lambda: folder.names("checkpoints"))
    client.kill()
    client.wait()
    length = len(folder.read("metrics.jsonl"))
    wait_for(lambda: len(folder.read("metrics.jsonl")) > length)
    subprocess.run(**command("ray.scripts.scripts", "job", "stop", "plain"), check=True, timeout=120)
    rows = steps_of(folder)
    assert rows == list(range(1, len(rows) + 1))
    wait_for(lambda: JobClient(cluster.address, cluster.token).find("plain").status != "RUNNING")


@pytest.mark.faults
def test_a_job_that_loses_a_node_ends_with_the_same_result(project, toy, tmp_path, monkeypatch):
    """Three raylets: a head without CPUs, on which the job's driver runs, and a node for each worker."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    allow_further_nodes(monkeypatch)
    training = {"epochs": 40, "max_failures": 5}
    scaling = {"num_workers": 2, "use_gpu": False, "wait_for_nodes_s": 240}
    experiment = toy(training=training, scaling=scaling, tracking={"run_name": "submitted"})
    (project / "nodes.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    with LocalCluster(num_cpus=0) as head, started_node(head), started_node(head) as second:
        words = ("ray_jobs", "submit", "nodes.yaml", "--json")
        client = subprocess.Popen(**build_command(head, project, words), stdout=subprocess.PIPE)
        wait_until(lambda: count_rows(experiment) >= 60, client)
        end(second, signal.SIGKILL)
        with started_node(head):
            said, _ = client.communicate(timeout=500)
        assert client.returncode == DONE and "restarting all workers from the last checkpoint" in said, said
        assert json.loads(said.splitlines()[-1])["run_id"] == "submitted"
    assert_same(experiment, train_by_processes(experiment, toy, tmp_path))


def wait_for(condition, timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
