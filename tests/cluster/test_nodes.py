"""Several Ray nodes on this machine: a training over two of them, of which one is lost, and then the head with all."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from ray_jobs.experiment import Experiment
from ray_jobs.local_cluster import LocalCluster, free_ports
from ray_jobs.planning import build_plan
from tests.cluster.test_ray_runs import outcome
from tests.distributed.launch import start_processes
from trainables.run import Scaling

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 320
TRAINING = {"epochs": 40, "max_failures": 5}
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.filterwarnings("default")]


@contextmanager
def started_node(cluster: LocalCluster) -> Iterator[subprocess.Popen]:
    """A further node with one CPU; up on entry, as two that start at once may take each other's sockets."""
    agent, metrics = free_ports(2)
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={cluster.gcs_address}"),
        *("--node-ip-address=127.0.0.1", "--num-cpus=1", f"--object-store-memory={200 * 2**20}"),
        *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
    ]
    node = subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert node.stdout
    try:
        assert any("Ray runtime started" in line for line in node.stdout)
        yield node
    finally:
        end(node)
        node.stdout.close()


def end(node: subprocess.Popen, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to a node's own processes, raylet included, and see to it that nothing of it is left."""
    try:
        family = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=20)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait()


@pytest.fixture
def cluster(monkeypatch) -> Callable[[], LocalCluster]:
    """Starts clusters whose head has no CPU of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return lambda: LocalCluster(num_cpus=0)


@pytest.fixture
def experiment(toy, tmp_path) -> Experiment:
    waiting = {"num_workers": 2, "use_gpu": False, "wait_for_nodes_s": 240}
    experiment = toy(training=TRAINING, scaling=waiting, tracking={"run_name": "nodes"})
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    return experiment


@pytest.fixture
def reference(toy, tmp_path) -> Experiment:
    """The same run by two plain processes, without Ray."""
    local = toy(training=TRAINING, tracking={"run_name": "reference"})
    local.folder.make()
    plan = replace(build_plan(local), scaling=Scaling(num_workers=2))
    assert start_processes(plan, tmp_path) == [0, 0]
    return local


@contextmanager
def started_driver(cluster: LocalCluster, folder: Path) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(folder / "experiment.yaml")]
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.gcs_address}
    driver = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()
        if driver.stdout:
            driver.stdout.close()


def wait_for_rows(experiment: Experiment, count: int, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    rows = Path(experiment.folder.full("metrics.jsonl"))
    while not rows.exists() or rows.read_bytes().count(b"\n") < count:
        assert driver.poll() is None and time.monotonic() < deadline, driver.communicate()[0]
        time.sleep(0.05)


def assert_same(experiment: Experiment, reference: Experiment) -> None:
    """Every step once, and the same weights to the last bit."""
    (weights, rows), (expected_weights, expected_rows) = outcome(experiment), outcome(reference)
    assert rows == expected_rows and [row["step"] for row in rows] == list(range(1, NUM_STEPS + 1))
    assert [json.loads(row) for row in experiment.folder.read("metrics.jsonl").splitlines()] == rows
    assert all(bool((weights[name] == expected_weights[name]).all()) for name in expected_weights)


def test_a_node_that_is_killed_and_comes_back_costs_nothing_but_time(cluster, experiment, reference, tmp_path):
    with cluster() as head, started_node(head), started_node(head) as second, started_driver(head, tmp_path) as driver:
        wait_for_rows(experiment, 60, driver)
        end(second, signal.SIGKILL)
        with started_node(head):
            words, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, words
    assert "restarting all workers from the last checkpoint" in words and "resumed from" in words
    assert_same(experiment, reference)


def test_a_cluster_that_is_lost_with_its_head_is_replaced_by_another(cluster, experiment, reference, tmp_path):
    with cluster() as first, started_node(first), started_node(first), started_driver(first, tmp_path) as driver:
        wait_for_rows(experiment, 60, driver)
        first.end(signal.SIGKILL)
        driver.wait(timeout=300)
    assert driver.returncode != 0 and not experiment.folder.exists("final_metrics.json")
    with cluster() as second, started_node(second), started_node(second), started_driver(second, tmp_path) as driver:
        words, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0 and "resumed from" in words, words
    assert_same(experiment, reference)
