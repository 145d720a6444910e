"""Clusters of one machine: nothing of them is reached from another one."""

import ipaddress
import os
import subprocess
import sys

import psutil
import pytest

from ray_jobs.cluster.local_cluster import LocalCluster
from tests.cluster.nodes import ROOT

TRAINING = """
import sys
import time
from ray_jobs.cluster.loopback import stay_on_loopback

assert "ray" not in sys.modules and stay_on_loopback() is None  # as the command line does first
import ray
from ray_jobs.cluster.connection import connect

connect()
ray.get(ray.remote(lambda: None).remote())
print("up", flush=True)
time.sleep(600)
"""
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


def reachable(process: psutil.Process) -> dict[str, str]:
    """Addresses beyond loopback on which it or what it started listens, and who does."""
    found = {}
    for member in [process, *process.children(recursive=True)]:
        for connection in member.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                address = ipaddress.ip_address(connection.laddr.ip)
                loopback = getattr(address, "ipv4_mapped", None) or address
                found[f"{address}:{connection.laddr.port}"] = member.name() if not loopback.is_loopback else ""
    assert found, "nothing listens at all"
    return {address: name for address, name in found.items() if name}


def test_a_training_s_own_cluster_listens_on_loopback_alone():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", TRAINING]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and any(line == "up\n" for line in process.stdout)
            assert not reachable(psutil.Process(process.pid))
        finally:
            process.terminate()


@pytest.mark.faults
def test_the_demonstration_s_cluster_does_too():
    with LocalCluster():
        own = [child for child in psutil.Process().children() if "start --head" in " ".join(child.cmdline())]
        assert len(own) == 1 and not reachable(own[0])
