"""The driver's hold on a mirror process that dies."""

import io
import os
from types import SimpleNamespace

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking import mirror_handle as module
from ray_jobs.tracking.mirror_handle import MirrorHandle


class Process:
    """A mirror that says nothing, and is told by `die` how it ends."""

    pid = 0

    def __init__(self, *_):
        self._listening, writing = os.pipe()
        self.stdin, self.stdout = os.fdopen(writing, "wb", 0), io.BytesIO()
        self._code = 0

    def die(self, code: int) -> None:
        self._code = code
        os.close(self._listening)

    def end(self) -> int:
        return self._code


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A handle, the processes that it has started, and the time that it sees."""
    clock, processes = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def start(arguments):
        processes.append(Process())
        return processes[-1]

    yield MirrorHandle(Folder(str(tmp_path)), Tracking(), lambda *_, **__: None, start=start), processes, clock
    for process in processes:
        process.stdin.close()


def test_a_mirror_killed_soon_after_its_start_restarts_later(mirror):
    handle, processes, clock = mirror
    clock.now = 1.0
    processes[0].die(-9)
    handle.notify()
    handle.notify()
    assert len(processes) == 1
    clock.now = module.PAUSE_S + 1.0
    handle.notify()
    handle.notify()
    assert len(processes) == 2


@pytest.mark.parametrize("has_ended", [True, False])
def test_one_that_ends_by_itself_or_with_the_run_is_not(mirror, has_ended):
    handle, processes, clock = mirror
    clock.now = module.PAUSE_S + 1.0
    if has_ended:
        handle.close()
    else:
        processes[0].die(1)
    handle.notify()
    handle.notify()
    assert len(processes) == 1
