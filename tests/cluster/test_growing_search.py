"""A search on a cluster that gets another machine while it runs."""

import os
import subprocess
import sys

import pytest
import yaml

from ray_jobs.cluster.local_cluster import LocalCluster
from ray_jobs.search.sweep_plan import build_sweep_plan
from ray_jobs.search.trials import Trials
from tests.cluster.nodes import ROOT, allow_further_nodes, started_node, wait_until
from tests.ray_jobs.search.conftest import RATE

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.filterwarnings("default")]


def test_a_search_takes_the_room_of_a_machine_that_comes(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    allow_further_nodes(monkeypatch)
    experiment = toy(
        training={"epochs": 400, "max_failures": 0},
        scaling={"num_workers": 1, "use_gpu": False},
        search={"space": {RATE: [1e-3, 2e-3, 3e-3, 4e-3]}},
        tracking={"run_name": "growing"},
    )
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    setup = build_sweep_plan(experiment, "search")

    def running() -> int:
        return sum(trial.state == "running" for trial in Trials(setup.folder)) if setup.folder.exists() else 0

    with LocalCluster(num_cpus=0) as head, started_node(head):
        command = [sys.executable, "-m", "tests.toy_workload", "sweep", str(tmp_path / "search.yaml")]
        environment = {**os.environ, **head.environment, "RAY_ADDRESS": head.gcs_address}
        with (tmp_path / "driver.log").open("w") as log:
            driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: running() == 1, driver)
            with started_node(head):
                wait_until(lambda: running() >= 2, driver)
                driver.wait(timeout=500)
        finally:
            driver.kill()
            driver.wait()
    assert driver.returncode == 0, (tmp_path / "driver.log").read_text()
    assert "room for 2 trials at a time now, before 1" in setup.folder.read("search.log").decode()
    assert [trial.state for trial in Trials(setup.folder)] == ["finished"] * 4
