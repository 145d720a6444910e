"""Mirrors that are forked from one process are mirrors like any other."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from ray_jobs.tracking import mirror_run
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.mirror_launcher import ForkServer
from tests.ray_jobs.tracking.conftest import (
    ROOT,
    assert_same_rows,
    killing_one_mirror,
    rows_of,
    run_of,
    segments_of,
    warnings_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def fork_server(home, monkeypatch) -> Iterator[ForkServer]:
    """A fork_server that all mirrors of the test come from."""
    fork_server = ForkServer()

    def start_mirror(experiment: Experiment, record: RunRecorder) -> MirrorHandle:
        return MirrorHandle(record.folder, experiment.tracking, record.log, start=fork_server.start)

    monkeypatch.setattr(mirror_run, "start_mirror", start_mirror)
    yield fork_server
    fork_server.close()


def forked_by(fork_server: ForkServer) -> list[psutil.Process]:
    assert fork_server._process is not None
    return psutil.Process(fork_server._process.pid).children(recursive=True)


def test_every_mirror_writes_its_own_run_and_ends_cleanly(home, fork_server, tracked):
    experiments = [tracked(mode="offline", run_name=name) for name in ("one", "two")]
    for experiment in experiments:
        train(experiment)
        [segment] = segments_of(experiment)
        assert_same_rows(segment.rows, rows_of(experiment))
        assert segment.is_complete and segment.exit_code == 0
        assert warnings_of(experiment) == []
    assert forked_by(fork_server) == []
    assert [file for file in home.rglob("*") if file.is_file()] == []


def test_a_server_that_is_lost_is_lost_to_one_mirror(server, fork_server, tracked):
    lost, found = tracked(run_name="lost"), tracked(run_name="found")
    server.refuse()
    train(lost)
    server.heal()
    train(found)
    assert ["goes on offline" in warning for warning in warnings_of(lost)] == [True]
    assert_same_rows(segments_of(lost)[-1].rows, rows_of(lost))
    assert_same_rows(run_of(server, found).history, rows_of(found))


def test_a_mirror_that_is_killed_is_forked_again(fork_server, tracked, monkeypatch):
    experiment = tracked({"training": {"epochs": 40}}, mode="offline")
    killed = killing_one_mirror(monkeypatch, experiment)
    train(experiment)
    segments = segments_of(experiment)
    assert killed and len(segments) == 2
    assert_same_rows([row for segment in segments for row in segment.rows], rows_of(experiment))
    assert any("was killed (signal 9)" in warning for warning in warnings_of(experiment))


def test_a_killed_fork_server_is_replaced_and_its_mirrors_live(fork_server, tracked, monkeypatch):
    first, second = tracked(mode="offline", run_name="first"), tracked(mode="offline", run_name="second")
    killed = []
    notify = MirrorHandle.notify

    def kill_fork_server(self):
        if not killed:
            killed.append(fork_server._process)
            fork_server._process.kill()
            fork_server._process.wait()
        notify(self)

    monkeypatch.setattr(MirrorHandle, "notify", kill_fork_server)
    for experiment in (first, second):
        train(experiment)
        [segment] = segments_of(experiment)
        assert_same_rows(segment.rows, rows_of(experiment))
        assert segment.is_complete and warnings_of(experiment) == []
    assert killed[0].returncode == -signal.SIGKILL and fork_server._process is not killed[0]


def test_it_ends_with_a_driver_that_is_killed(home):
    source = "from ray_jobs.tracking.mirror_launcher import ForkServer; print(ForkServer()._process.pid, flush=True); "
    source += "input()"
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        fork_server = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    fork_server.wait(timeout=20.0)


def test_one_that_cannot_be_started_is_said_by_each_run(home, tracked, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    fork_server, experiment = ForkServer(), tracked(mode="offline")
    said: list[str] = []

    def log(text: str, **_: object) -> None:
        said.append(text)

    mirror = MirrorHandle(experiment.folder, experiment.tracking, log, start=fork_server.start)
    mirror.notify()
    assert mirror.finish() == 1
    fork_server.close()
    [warning] = said
    assert "its process cannot be started" in warning and "/nowhere/python" in warning
