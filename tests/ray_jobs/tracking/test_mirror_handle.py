"""The driver's hold on a run whose process dies, is lost, is silent or does not read."""

import math
import queue
from types import SimpleNamespace
from typing import Any

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking import tracking_process
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.tracking_process import CORE_LOST, Tracker


class Process:
    """A process that does nothing, and says what the test says."""

    def __init__(self, mode: str):
        self.mode, self.sent, self.asked = mode, [], []
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def open(self, run: int, messages: queue.SimpleQueue[Any], request: dict[str, Any]) -> None:
        self.messages = messages
        self.asked.append(request)

    def send(self, run: int, **message: Any) -> None:
        self.sent.append(message)

    def say(self, **message: Any) -> None:
        self.messages.put((self, message))

    def close(self) -> None:
        pass


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A handle, the processes that were started for it, and the lines that it has logged."""
    processes: list[Process] = []
    said: list[str] = []

    def start(mode: str) -> Process:
        processes.append(Process(mode))
        return processes[-1]

    monkeypatch.setattr(tracking_process, "TrackingProcess", start)
    handle = MirrorHandle(
        Tracker(), Folder(str(tmp_path)), Tracking(), lambda text, **_: said.append(text), mode="online"
    )
    return SimpleNamespace(handle=handle, processes=processes, said=said)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "its process was killed (signal 9)"),
        (CORE_LOST, "its background process ended"),
        (1, "its process ended (exit code 1)"),
    ],
)
def test_a_process_that_dies_is_started_again_once(driver, code, words):
    driver.processes[0].say(gone=code)
    driver.handle.notify()
    _, second = driver.processes
    assert second.mode == "online" and second.asked[0]["lost"] == words and second.sent == [{"wake": True}]
    assert driver.said == []  # the second one says it, once it has begun
    second.say(gone=code)
    driver.handle.notify()
    driver.handle.notify()
    assert len(driver.processes) == 2 and driver.handle.finish() == 1
    [line] = driver.said
    assert line.startswith(f"W&B is off: {words}") and "quintet sync" in line


def test_a_process_that_dies_at_the_end_is_started_again(driver):
    driver.handle.close()
    driver.processes[0].say(gone=-9)
    driver.handle.notify()
    second = driver.processes[1]
    assert second.sent == [{"close": True}]
    second.say(sent={"rows": 3})
    second.say(ended=0)
    assert driver.handle.finish() == 0 and driver.handle.sent == {"rows": 3}


def test_a_run_that_is_lost_goes_on_in_an_offline_process(driver):
    driver.processes[0].say(lost="start: no answer")
    driver.handle.notify()
    online, offline = driver.processes
    assert offline.mode == "offline" and offline.asked[0]["lost"] == "start: no answer"
    online.messages.put((online, {"gone": -9}))  # the process of other runs; this one has left it
    driver.handle.notify()
    assert len(driver.processes) == 2
    offline.say(ended=0)
    assert driver.handle.finish() == 0 and driver.said == []


def test_a_silent_process_is_left_at_the_deadline(driver, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("ray_jobs.tracking.mirror_handle.time.monotonic", lambda: clock.now)
    driver.handle.close()
    clock.now = math.nextafter(driver.handle._deadline, math.inf)
    assert driver.handle.finish() == 1
    assert len(driver.said) == 1 and "W&B did not end in time and is left" in driver.said[0]


def test_what_a_process_says_last_is_its_only_warning(driver):
    driver.processes[0].say(warning="W&B did not take all of the run", ended=1)
    driver.processes[0].say(gone=-9)
    assert driver.handle.finish() == 1
    assert driver.said == ["W&B did not take all of the run"] and len(driver.processes) == 1
