"""Ray cluster of one machine on loopback, for the length of a `with` block: own ports, own token, own folder."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from ray_jobs.cluster.connection import SETTINGS
from ray_jobs.cluster.home_folder import provide_home
from ray_jobs.cluster.loopback import VARIABLES, bypass_proxy
from ray_jobs.cluster.ray_job_client import JobClient
from ray_jobs.cluster.ray_token import find_ray
from ray_jobs.cluster.session_folder import short_folder
from ray_jobs.cluster.submit_job import send
from ray_jobs.cluster.working_dir_package import list_package

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
OBJECT_STORE_BYTES = 500 * 2**20
PREFIX = "quintet-ray-"


class LocalCluster:
    """Cluster by `ray start --head`.

    The end of the cluster ends exactly the processes that it started, also when this process is killed.
    """

    def __init__(self, *, num_cpus: int | None = None):
        """Prepare a cluster, which the `with` block starts; `num_cpus` defaults to the machine's, but at least two."""
        self._num_cpus = max(os.cpu_count() or 1, 2) if num_cpus is None else num_cpus

    def __enter__(self) -> Self:
        base = short_folder()
        _remove_stale_folders(base)
        bypass_proxy()
        provide_home()
        self._folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base)
        self._ports = free_ports(5)
        self.address = f"http://127.0.0.1:{self._ports[1]}"
        self.gcs_address = f"127.0.0.1:{self._ports[0]}"
        self.token = secrets.token_hex(32)
        self.environment = {
            **VARIABLES,
            **os.environ,
            **SETTINGS,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # else its end waits up to 30 s for what still runs
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        self.environment.pop("RAY_ADDRESS", None)
        self._log = Path(self._folder, "start.log")
        with self._log.open("wb") as log:
            self._head = subprocess.Popen(
                self._start_command(),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_command(self) -> list[str]:
        gcs, dashboard, client, agent, metrics = self._ports
        return [
            *(sys.executable, find_ray(), "start", "--head", "--block", "--disable-usage-stats"),
            *("--node-ip-address=127.0.0.1", f"--port={gcs}", f"--temp-dir={self._folder}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
            *(f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"),
            *(f"--num-cpus={self._num_cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}"),
        ]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._head.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.address}/api/version", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers, and asks for the token
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"the Ray cluster did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def submit(self, command: Sequence[str], *, working_dir: Path) -> int:
        """Run `python -m ray_jobs COMMAND` as a job, followed to its end; returns its exit code."""
        client = JobClient(self.address, self.token)
        return client.follow(send(client, command, working_dir, list_package(working_dir)))

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the head, which on any but SIGKILL ends what it has started; then kill what is left."""
        processes = _family(self._head.pid)
        for process in processes if number == signal.SIGKILL else processes[-1:]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, alive = psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=STOP_TIMEOUT_S)
        self._head.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [*head.children(recursive=True), head]
    except psutil.NoSuchProcess:
        return []


def _remove_stale_folders(base: str) -> None:
    """Remove the folders of clusters whose process was killed; its id is in the folder's name."""
    for folder in Path(base).glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _die_with_parent() -> None:
    """Make the head end when this process does, however it ends; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
