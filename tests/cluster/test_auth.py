"""A token lies on this machine: clusters that ask for one, and clusters that do not, are both worked on."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ray_jobs.cluster.local_cluster import PREFIX, free_ports
from ray_jobs.cluster.loopback import VARIABLES
from ray_jobs.cluster.ray_token import find_ray
from ray_jobs.cluster.session_folder import short_folder
from tests.cluster.nodes import ROOT

DRIVER = """
from ray_jobs.cluster.connection import connect

connect()
import ray


@ray.remote
def make():
    yield 1000000


print(ray.get(next(make.remote())))  # as Ray Data's tasks do, it reports to the driver
"""
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_a_driver_with_a_token_works_on_any_cluster(mode: str, tmp_path: Path):
    home = tmp_path / ".ray"
    home.mkdir()
    (home / "auth_token").write_text("0" * 64)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {**VARIABLES, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    port, client, agent, metrics = free_ports(4)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=short_folder())
    start = [
        *(sys.executable, find_ray(), "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=1"),
        *(f"--port={port}", f"--temp-dir={folder}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"),
        *(f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"),
        f"--metrics-export-port={metrics}",
    ]
    log = tmp_path / "head.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(start, env={**environment, "RAY_AUTH_MODE": mode}, stdout=output, stderr=output) as head,
    ):
        try:
            while "Ray runtime started" not in log.read_text(errors="replace") and head.poll() is None:
                time.sleep(0.2)
            environment["RAY_ADDRESS"] = f"127.0.0.1:{port}"
            command = [sys.executable, "-c", DRIVER]
            driver = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert driver.stdout == "1000000\n", driver.stderr + log.read_text(errors="replace")
        finally:
            head.terminate()
