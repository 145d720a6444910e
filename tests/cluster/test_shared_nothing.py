"""Two Ray nodes that share nothing but a bucket: all lies there, and on their disks there are caches alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_pipelines.prepared.manifest import read_manifest
from data_pipelines.storage.folder import Folder
from ray_jobs.cluster.local_cluster import LocalCluster
from tests.cluster.nodes import ROOT, allow_further_nodes, started_node
from tests.s3_server import S3Server, set_credentials, started_s3_server

RATE = "training.optimizer.learning_rate"
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.filterwarnings("default")]


def disk_of(machine: Path) -> dict[str, str]:
    """Variables of a machine with a home and temporary files of its own."""
    variables = {"HOME": str(machine / "home"), "TMPDIR": str(machine / "tmp")}
    for folder in variables.values():
        os.makedirs(folder)
    return variables


def run_on(cluster: LocalCluster, *arguments: str, variables: dict[str, str]) -> dict[str, Any]:
    """A command by a process of its own; returns what it answers."""
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.gcs_address, **variables}
    command = [sys.executable, "-m", "tests.toy_workload", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def write_files(toy: Callable[..., Any], server: S3Server, tmp_path: Path) -> tuple[str, str]:
    """The file of a training over both nodes, and that of a search with a trial on each."""
    shared = {
        "training": {"epochs": 2, "feed": "stream", "checkpoint_every_steps": None},
        "storage": {"path": server.uri("storage"), "cache_gib": 1},
    }
    scaling = {"use_gpu": False, "threads_per_worker": 1, "read_tasks": 0}
    train = toy(**shared, scaling={**scaling, "num_workers": 2}, tracking={"run_name": "mine"})
    search = {"space": {RATE: [1e-2, 3e-2]}}
    sweep = toy(**shared, scaling={**scaling, "num_workers": 1}, tracking={"run_name": "found"}, search=search)
    files = []
    for name, experiment in (("train", train), ("sweep", sweep)):
        files.append(str(tmp_path / f"{name}.yaml"))
        Path(files[-1]).write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    return files[0], files[1]


def test_nodes_that_share_only_a_bucket_need_nothing_else(toy, tmp_path, monkeypatch):
    machines = {name: tmp_path / name for name in ("head", "one", "two")}
    disks = {name: disk_of(machine) for name, machine in machines.items()}
    set_credentials(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, value in disks["head"].items():
        monkeypatch.setenv(name, value)
    allow_further_nodes(monkeypatch)
    with started_s3_server() as server, LocalCluster(num_cpus=0) as head:
        storage = Folder(server.uri("storage"))
        train, sweep = write_files(toy, server, tmp_path)
        with started_node(head, variables=disks["one"]), started_node(head, variables=disks["two"]):
            prepared = run_on(head, "prepare", train, variables=disks["head"])
            final = run_on(head, "train", train, variables=disks["head"])
            again = run_on(head, "evaluate", train, "--checkpoint", "mine", variables=disks["head"])
            found = run_on(head, "sweep", sweep, variables=disks["head"])
            at = f"storage.path={server.uri('storage')}"
            pages = run_on(head, "report", "mine", "found", "--set", at, variables=disks["head"])
        assert prepared["folder"].startswith("s3://bucket/storage/data/toy-") and prepared["rows"]["train"] == 64
        assert storage.names() == ["data", "runs", "searches"]
        assert storage.names("runs") == ["found-0000", "found-0001", "mine"] and found["finished"] == 2
        assert final and again and len(pages["reports"]) == 2
        assert storage.exists("runs/mine/report.html") and storage.exists("searches/found/report.html")
        manifest = read_manifest(Folder(prepared["folder"]))
        stored = {Path(name).name for name in storage.find("", "")}
    assert manifest is not None and {"train.log", "metrics.jsonl", "model.safetensors", "leaderboard.csv"} <= stored
    shards = {shard.sha256 for shards in manifest.splits.values() for shard in shards}
    for machine in machines.values():
        files = [path for path in machine.rglob("*") if path.is_file()]
        assert not stored & {path.name for path in files}, files
        assert not any(path.suffix == ".parquet" for path in files)
    for name in ("one", "two"):
        cached = {path.name for path in machines[name].glob("tmp/quintet-cache-*/*") if path.name != ".lock"}
        assert cached and cached <= shards, name
