"""Whether the holder of a lease is alive, as far as its own machine can tell."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from data_pipelines.storage import lease_holder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells processes apart for certain")


def here(**changes: Any) -> lease_holder.Holder:
    return lease_holder.Holder(**{**lease_holder.this_process().__dict__, **changes})


def test_a_process_that_runs_is_alive():
    assert here().is_alive() is True


def test_a_process_id_given_to_another_is_no_holder():
    assert here(created=0.0).is_alive() is False
    assert here(pid=2**22 + 1).is_alive() is False


def test_a_killed_process_that_nobody_waited_for_is_gone():
    process = subprocess.Popen(["sleep", "60"])
    created = lease_holder._created(lease_holder._find_stat(process.pid) or [])
    assert here(pid=process.pid, created=created).is_alive() is True
    process.kill()
    end = time.monotonic() + 20
    while here(pid=process.pid, created=created).is_alive() is not False:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.wait()


def test_a_process_hidden_from_this_user_is_alive(monkeypatch):
    monkeypatch.setattr(lease_holder, "_find_stat", lambda pid: None)
    assert here(pid=os.getppid()).is_alive() is True
    assert here(pid=2**22 + 1).is_alive() is False


def test_after_a_restart_of_the_machine_nothing_is_known(monkeypatch):
    before = here()
    monkeypatch.setattr(lease_holder, "_find_machine", lambda: "boot-2 pid:[1]")
    assert before.is_alive() is None
    monkeypatch.setattr(lease_holder, "_find_machine", lambda: "")
    assert here().is_alive() is None


def test_a_lock_of_before_heartbeats_is_judged_as_then():
    old = {"machine": "", "token": ""}
    assert here(**old).is_alive() is True and here(**old, host="pod-one").is_alive() is True
    assert here(**old, pid=2**22 + 1).is_alive() is False
