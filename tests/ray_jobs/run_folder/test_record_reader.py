"""What is told of a record: every step once and in order, whatever happened to the run in between."""

import json
from typing import Any

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_reader import RecordTailer, Update
from ray_jobs.run_folder.run_recorder import EVENTS, METRICS


class Recorded:
    """A record written by hand."""

    def __init__(self, folder: Folder):
        self.folder, self.events, self.rows = folder, b"", b""

    def report(self, step: int, *steps: int, **event: Any) -> None:
        """Rows of `steps`, then the event of `step`."""
        self.rows += b"".join(line({"step": s, "epoch": 1, "train/loss": s / 10}) for s in steps)
        told = {"time": 100.0 + step, "step": step, "epoch": 1, "steps_per_epoch": 4, "panels": [], "system": {}}
        self.events += line({**told, **event})
        self.write()

    def write(self) -> None:
        self.folder.write(METRICS, self.rows)
        self.folder.write(EVENTS, self.events)

    def restart(self, checkpoint: int, panels: list[str]) -> None:
        """As the record does on a resume: only the checkpoint's rows are left."""
        kept = [row for row in self.rows.splitlines(True) if json.loads(row)["step"] <= checkpoint]
        self.rows = b"".join(kept)
        self.report(checkpoint, resumed_from=f"checkpoints/step_{checkpoint:09d}", panels=panels)


def line(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def picture(step: int) -> str:
    return f"pictures/eval/x/step_{step:09d}.json"


@pytest.fixture(params=["local", "remote"])
def record(request, tmp_path) -> Recorded:
    folder = Folder(str(tmp_path))
    folder.is_local = request.param == "local"
    return Recorded(folder)


def steps(updates: list[Update]) -> list[int]:
    return [update.step for update in updates]


def test_no_updates_come_before_there_is_a_record(tmp_path):
    assert list(RecordTailer(Folder(str(tmp_path)), sent=0).updates()) == []


def test_every_row_comes_once_with_the_time_of_its_report(record):
    tailer = RecordTailer(record.folder, sent=0)
    record.report(0)
    assert list(tailer.updates()) == []
    record.report(2, 1, 2)
    first = list(tailer.updates())
    assert steps(first) == [1, 2] and [update.time for update in first] == [102.0, 102.0]
    assert first[0].values == {"step": 1, "epoch": 1, "train/loss": 0.1}
    assert list(tailer.updates()) == []
    record.report(5, 3, 4, 5)
    second = list(tailer.updates())
    assert steps(second) == [3, 4, 5] and tailer.sent == 5
    assert [update.step for update in (*first, *second) if update.ends_epoch] == [4]


def test_a_reader_that_resumes_gets_only_the_rest(record):
    record.report(3, 1, 2, 3)
    record.report(5, 4, 5)
    assert steps(list(RecordTailer(record.folder, sent=4).updates())) == [5]


def test_rows_whose_report_is_not_there_yet_wait_for_it(record):
    tailer = RecordTailer(record.folder, sent=0)
    record.report(2, 1, 2)
    record.rows += line({"step": 3, "epoch": 1})
    record.write()
    assert steps(list(tailer.updates())) == [1, 2]
    record.report(4, 4)
    assert steps(list(tailer.updates())) == [3, 4]


def test_a_half_written_line_waits_until_it_is_whole(record):
    tailer = RecordTailer(record.folder, sent=0)
    record.report(1, 1)
    whole, record.events = record.events, record.events[:-10]
    record.write()
    assert list(tailer.updates()) == []
    record.events = whole
    record.write()
    assert steps(list(tailer.updates())) == [1]


@pytest.mark.parametrize("is_seen", [True, False])
def test_steps_that_a_restart_repeats_come_once(record, is_seen):
    tailer = RecordTailer(record.folder, sent=0)
    record.report(3, 1, 2, 3)
    record.report(5, 4, 5)
    told = steps(list(tailer.updates())) if is_seen else []
    record.restart(3, [])
    record.report(5, 4, 5)
    record.report(7, 6, 7)
    assert told + steps(list(tailer.updates())) == [1, 2, 3, 4, 5, 6, 7]


def test_a_restart_brings_the_pictures_whose_report_was_lost(record):
    tailer = RecordTailer(record.folder, sent=0)
    record.report(2, 1, 2, panels=[picture(2)])
    assert [update.panels for update in tailer.updates()] == [[], [picture(2)]]
    record.rows += line({"step": 3, "epoch": 1})  # the report of step 3, with its picture, never came
    record.restart(3, [picture(2), picture(3)])
    assert [(update.step, update.panels) for update in tailer.updates()] == [(3, [picture(3)])]


def test_a_picture_goes_with_the_row_of_its_step(record):
    record.report(4, 1, 2, 3, 4, panels=[picture(2), picture(4)])
    told = {update.step: update.panels for update in RecordTailer(record.folder, sent=0).updates()}
    assert told == {1: [], 2: [picture(2)], 3: [], 4: [picture(4)]}


def test_system_metrics_go_with_the_last_row_of_a_report(record):
    record.report(2, 1, 2, system={"system/rank_0/process_cpu_percent": 90.0})
    first, second = RecordTailer(record.folder, sent=0).updates()
    assert "system/rank_0/process_cpu_percent" not in first.values
    assert second.values["system/rank_0/process_cpu_percent"] == 90.0


def test_system_metrics_of_a_start_go_with_its_first_row(record):
    """The first report of a start has no row of its own."""
    record.report(2, 1, 2, system={"system/rank_0/x": 1.0, "system/rank_1/x": 2.0})
    tailer = RecordTailer(record.folder, sent=2)
    record.restart(2, [])
    record.report(2, system={"system/rank_0/x": 5.0})
    record.report(4, 3, 4)
    assert [update.values.get("system/rank_0/x") for update in tailer.updates()] == [None, 5.0]
    record.report(5, 5)
    [last] = tailer.updates()
    assert not any(name.startswith("system/") for name in last.values)


def test_system_metrics_of_lost_workers_are_not_sent_again(record):
    record.report(2, 1, 2, system={"system/rank_0/x": 1.0, "system/rank_1/x": 2.0})
    record.restart(2, [])
    record.report(4, 3, 4, system={"system/rank_0/x": 3.0})
    [_, last] = RecordTailer(record.folder, sent=2).updates()
    assert {name: last.values[name] for name in last.values if name.startswith("system/")} == {"system/rank_0/x": 3.0}
