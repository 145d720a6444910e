"""Heartbeats: few writes, however many reports, and a silent run is told."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder import heartbeat
from ray_jobs.run_folder.heartbeat import HEARTBEAT, Heartbeat, find_silence
from ray_jobs.run_folder.run_recorder import RunRecorder
from tests.ray_jobs.run_folder.test_run_recorder import make_report


def test_a_beat_is_written_at_most_every_few_seconds(tmp_path, monkeypatch):
    folder, clock = Folder(str(tmp_path)), SimpleNamespace(now=50.0)
    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: clock.now))
    beats, seen = Heartbeat(folder), []
    for step in range(1, 40):
        clock.now += 1.0
        beats.beat(step, "running")
        seen.append(folder.read_json(HEARTBEAT)["step"])
    assert sorted(set(seen)) == [1, 16, 31]
    beats.beat(40, "finished")
    assert folder.read_json(HEARTBEAT) == {**folder.read_json(HEARTBEAT), "step": 40, "state": "finished"}


@pytest.mark.parametrize(
    "changes, state", [({}, "ended"), ({"stopped_by": "SIGTERM"}, "stopped"), ({"is_finished": True}, "finished")]
)
def test_the_last_beat_tells_how_the_run_was_left(tmp_path, changes, state):
    folder = Folder(str(tmp_path))
    record = RunRecorder(folder, prints=False)
    record.apply(make_report(1))
    assert folder.read_json(HEARTBEAT)["state"] == "running"
    record.apply(make_report(2, **changes))
    record.close()
    assert {**folder.read_json(HEARTBEAT), "time": ""} == {"time": "", "step": 2, "state": state}


@pytest.mark.parametrize(
    "minutes, state, words",
    [(11, "running", "no report for 11m 00s, since step 1,200"), (9, "running", None), (11, "stopped", None)],
)
def test_a_run_is_silent_after_ten_minutes(tmp_path, minutes, state, words):
    folder = Folder(str(tmp_path))
    assert find_silence(folder) is None
    time = datetime.now(UTC) - timedelta(minutes=minutes)
    folder.write_json(HEARTBEAT, {"time": time.isoformat(), "step": 1200, "state": state})
    assert find_silence(folder) == words


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"time": "x", "step": 1, "state": "running"}'])
def test_a_damaged_heartbeat_is_no_silence(tmp_path, content):
    folder = Folder(str(tmp_path))
    folder.write(HEARTBEAT, content)
    assert find_silence(folder) is None
