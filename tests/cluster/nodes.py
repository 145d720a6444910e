"""Further Ray nodes on this machine, and a driver of its own: what the tests of lost machines are made of."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ray_jobs.cluster.local_cluster import PREFIX, LocalCluster, free_ports
from ray_jobs.cluster.loopback import VARIABLES
from ray_jobs.cluster.session_folder import short_folder
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment
from tests.cluster.test_ray_runs import outcome
from tests.distributed.launch import start_processes
from trainables.run import Scaling

ROOT = Path(__file__).resolve().parents[2]
DRAIN = """
import sys, time
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
gcs = GcsClient(address=sys.argv[1])
[node] = [info for info in gcs.get_all_node_info().values() if info.node_name == sys.argv[2]]
deadline_ms = int(1000 * (time.time() + float(sys.argv[3])))
reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
assert gcs.drain_node(node.node_id.hex(), reason, "", deadline_ms)[0]
"""


def allow_further_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of clusters begun afterwards: Ray lets no node join one that listens on loopback alone."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")


@contextmanager
def started_node(
    cluster: LocalCluster, *, name: str = "", drain_s: int = 0, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen]:
    """A further node with one CPU; up on entry, as two that start at once may take each other's sockets.

    After a SIGTERM it announces its end to the cluster, and comes to it after `drain_s`. Its folder is its own, as on
    a machine of its own: nodes that share one take each other's copies of a job's package away. `variables` are added
    to its environment.
    """
    agent, metrics = free_ports(2)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=short_folder())
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={cluster.gcs_address}"),
        *("--node-ip-address=127.0.0.1", "--num-cpus=1", f"--object-store-memory={200 * 2**20}"),
        *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
        *(f"--temp-dir={folder}", *([f"--node-name={name}"] if name else [])),
    ]
    environment = {
        **cluster.environment,
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(drain_s),
        **(variables or {}),
    }
    node = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert node.stdout
    try:
        assert any("Ray runtime started" in line for line in node.stdout)
        yield node
    finally:
        end(node)
        node.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def family_of(node: subprocess.Popen) -> list[psutil.Process]:
    """A node's own processes, raylet and workers included."""
    try:
        return [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(node: subprocess.Popen, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to all that a node consists of, and see to it that nothing of it is left."""
    family = family_of(node)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=20)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait()


def has_training_worker(node: subprocess.Popen) -> bool:
    """Whether Ray Train has started a worker there."""
    for process in family_of(node):
        with suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                return True
    return False


def drain(cluster: LocalCluster, name: str, *, deadline_s: float) -> None:
    """Announce the end of a node, as a cloud does, for `deadline_s` from now (less than 0: it was before now)."""
    command = [sys.executable, "-c", DRAIN, cluster.gcs_address, name, str(deadline_s)]
    subprocess.run(command, env=cluster.environment, check=True, timeout=60)


@contextmanager
def started_driver(cluster: LocalCluster, folder: Path) -> Iterator[subprocess.Popen]:
    """`train` of the experiment in the folder, as a process of its own."""
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(folder / "experiment.yaml")]
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.gcs_address}
    with (folder / "driver.log").open("w") as log:
        driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()


def wait_until(condition: Callable[[], object], driver: subprocess.Popen, timeout_s: float = 300) -> None:
    """Until the condition holds, while the driver runs."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def count_rows(experiment: Experiment) -> int:
    """Rows in the record."""
    rows = Path(experiment.folder.full("metrics.jsonl"))
    return rows.read_bytes().count(b"\n") if rows.exists() else 0


def words_of(experiment: Experiment) -> str:
    """The run's log."""
    return experiment.folder.read("train.log").decode() if experiment.folder.exists("train.log") else ""


def rows_of(experiment: Experiment) -> list[dict]:
    """The record's rows."""
    return [json.loads(row) for row in experiment.folder.read("metrics.jsonl").splitlines()]


def train_by_processes(experiment: Experiment, toy: Callable[..., Experiment], folder: Path) -> Experiment:
    """The same run by two plain processes, without Ray."""
    local = toy(training=experiment.training.model_dump(mode="json"), tracking={"run_name": "reference"})
    local.folder.make()
    plan = replace(build_plan(local), scaling=Scaling(num_workers=2))
    assert start_processes(plan, folder) == [0, 0]
    return local


def assert_same(experiment: Experiment, reference: Experiment) -> None:
    """Every step once, and the same weights to the last bit."""
    (weights, rows), (expected_weights, expected_rows) = outcome(experiment), outcome(reference)
    assert rows == expected_rows and [row["step"] for row in rows] == list(range(1, len(expected_rows) + 1))
    assert rows_of(experiment) == rows
    assert all(bool((weights[name] == expected_weights[name]).all()) for name in expected_weights)
