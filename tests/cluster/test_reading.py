"""Ray reads the data: its tasks are killed, its memory and its disk are full, and no row is lost or comes twice."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ray_jobs.cluster import local_cluster
from ray_jobs.cluster.local_cluster import LocalCluster
from ray_jobs.exit_codes import DONE, FAILED
from ray_jobs.runs.planning import prepare_data
from ray_jobs.runs.training import train
from tests.cluster.nodes import ROOT, started_driver
from tests.cluster.test_ray_runs import assert_same, wait_until_free
from trainables.ray_train.worker_main import RunError

PADDED = {"num_rows": 128, "padding_bytes": 2 * 2**20}
"""256 MiB when they are decoded, in eight shards."""
STORE_BYTES = 80 * 2**20
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.faults, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("feed", ["stream", "resident"])
def test_a_task_that_is_killed_while_it_reads_is_started_again(toy, ray_cluster, tmp_path, feed):
    settings = {"workload": {"reader_kill_file": str(tmp_path / "kill")}, "training": {"feed": feed}}
    local = toy(**settings, tracking={"run_name": "local"})
    train(local)
    on_ray = toy(**settings, scaling={"num_workers": 1}, tracking={"run_name": "on_ray"})
    (tmp_path / "kill").write_text("2")
    train(on_ray)
    assert (tmp_path / "kill").read_text() == "0"
    assert_same(on_ray, local)
    wait_until_free()


@pytest.mark.parametrize("feed", ["stream", "resident"])
def test_a_task_that_is_killed_whenever_it_reads_ends_the_run(toy, ray_cluster, tmp_path, feed):
    experiment = toy(
        workload={"reader_kill_file": str(tmp_path / "kill")},
        training={"feed": feed},
        scaling={"num_workers": 1},
    )
    prepare_data(experiment)
    (tmp_path / "kill").write_text("1000")
    with pytest.raises(RunError, match="a process that read the data was killed"):
        train(experiment)
    wait_until_free()


@pytest.fixture
def small_cluster(monkeypatch, tmp_path) -> Iterator[Callable[[int], LocalCluster]]:
    """Starts clusters with Ray's smallest object store, and a disk of so many MiB to spill to."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def build(disk_mib: int) -> LocalCluster:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m", "tmpfs", disk], capture_output=True)
        if made.returncode:
            pytest.skip("a small disk cannot be mounted here")
        spilling = {"type": "filesystem", "params": {"directory_path": str(disk)}}
        monkeypatch.setenv("RAY_object_spilling_config", json.dumps(spilling))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setattr(local_cluster, "OBJECT_STORE_BYTES", STORE_BYTES)
        return LocalCluster(num_cpus=2)

    yield build
    if os.path.ismount(disk):
        subprocess.run(["umount", "-l", disk], check=True)


def run_on(cluster: LocalCluster, experiment, folder: Path) -> tuple[int, str]:
    """Exit code and words of the experiment's training by a driver of its own."""
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    with cluster, started_driver(cluster, folder) as driver:
        driver.wait(timeout=400)
    return driver.returncode, (folder / "driver.log").read_text()


def test_streamed_data_larger_than_the_object_store_come_whole(toy, small_cluster, tmp_path):
    settings = {"workload": PADDED, "training": {"epochs": 2, "feed": "stream"}}
    local = toy(**settings, tracking={"run_name": "local"})
    train(local)
    streamed = toy(**settings, scaling={"num_workers": 1}, tracking={"run_name": "streamed"})
    code, words = run_on(small_cluster(1000), streamed, tmp_path)
    assert code == DONE, words
    assert streamed.folder.read("metrics.jsonl") == local.folder.read("metrics.jsonl")


@pytest.mark.parametrize("feed", ["stream", "resident"])
def test_an_object_store_and_disk_both_too_small_end_the_run(toy, small_cluster, tmp_path, feed):
    experiment = toy(workload=PADDED, training={"feed": feed}, scaling={"num_workers": 1})
    code, words = run_on(small_cluster(20), experiment, tmp_path)
    assert code == FAILED and "Ray's object store is full, and so is the disk that it spills to" in words, words
    assert not experiment.folder.exists("final_metrics.json")
