"""The record on disk: rows exactly as often as they were trained, after any interruption."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.console import LogOnly
from ray_jobs.run_folder import append_file
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.record_file import read_record
from ray_jobs.run_folder.run_recorder import EVENTS, FINAL, LOG, METRICS, RunRecorder
from trainables.engine.files.history import History, to_lines
from trainables.engine.files.messages import WorkerReport


def make_rows(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "epoch": 1, "train/loss": 1 / step} for step in steps]


def make_report(*steps: int, **changes: Any) -> WorkerReport:
    report: Any = {
        "rows": make_rows(*steps),
        "panels": [],
        "messages": [],
        "metrics": {"train/loss": 0.5},
        "epoch": 1,
        "step": steps[-1] if steps else 0,
        "num_epochs": 2,
        "num_steps": 20,
        "speed": {"samples_per_s": 10.0, "step_s": 0.1, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0},
        "is_finished": False,
        "system": {},
        **changes,
    }
    return report


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path / "some-run"))
    folder.make()
    folder.is_local = request.param == "local"
    return folder


@pytest.fixture
def record(folder: Folder) -> RunRecorder:
    return RunRecorder(folder, prints=False)


def rows_in(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_record(folder, METRICS).splitlines()]


def save_history(folder: Folder, name: str, *steps: int) -> None:
    history = History()
    for step in steps:
        history.append(make_rows(step))
    folder.write(f"{name}/history.jsonl.gz", history.content)


def test_a_fresh_start_drops_rows_of_a_run_without_checkpoint(folder):
    folder.write(METRICS, to_lines(make_rows(1, 2, 3)))
    record = RunRecorder(folder, prints=False)
    record.apply(make_report(resumed_from=None))
    assert read_record(folder, METRICS) == b""
    record.apply(make_report(1, 2))
    record.apply(make_report(3))
    record.flush()
    assert rows_in(folder) == make_rows(1, 2, 3)


def test_a_resume_keeps_rows_up_to_its_checkpoint_and_adds_later(folder):
    save_history(folder, "checkpoints/step_000000003", 1, 2, 3)
    folder.write(METRICS, to_lines(make_rows(1, 2, 3, 4, 5)))
    record = RunRecorder(folder, prints=False)
    record.apply(make_report(resumed_from="checkpoints/step_000000003"))
    assert rows_in(folder) == make_rows(1, 2, 3)
    record.apply(make_report(4, 5))
    assert rows_in(folder) == make_rows(1, 2, 3, 4, 5)
    assert "resumed from" in read_record(folder, LOG).decode()


def test_rows_of_a_dropped_checkpoint_come_from_a_later_one(folder):
    folder.write("checkpoints/step_000000004/history.jsonl.gz", b"damaged")
    save_history(folder, "checkpoints/step_000000006", 1, 2, 3, 4, 5, 6)
    record = RunRecorder(folder, prints=False)
    record.apply(make_report(resumed_from="checkpoints/step_000000003"))
    assert rows_in(folder) == make_rows(1, 2, 3)


def test_a_resume_without_any_rows_is_an_error(folder, record):
    save_history(folder, "checkpoints/step_000000002", 1, 2)
    with pytest.raises(RuntimeError, match="holds no rows up to step 3"):
        record.apply(make_report(resumed_from="checkpoints/step_000000003"))


def test_a_restart_inside_one_record_goes_back_to_the_checkpoint(folder, record):
    record.apply(make_report(resumed_from=None))
    record.apply(make_report(1, 2, 3, 4))
    save_history(folder, "checkpoints/step_000000002", 1, 2)
    record.apply(make_report(resumed_from="checkpoints/step_000000002"))
    record.apply(make_report(3, 4, 5))
    record.flush()
    assert rows_in(folder) == make_rows(1, 2, 3, 4, 5)


def test_a_line_torn_by_a_kill_is_healed_by_the_resume(folder):
    save_history(folder, "checkpoints/step_000000002", 1, 2)
    folder.write(METRICS, to_lines(make_rows(1, 2, 3))[:-9])
    record = RunRecorder(folder, prints=False)
    record.apply(make_report(resumed_from="checkpoints/step_000000002"))
    record.apply(make_report(3))
    assert rows_in(folder) == make_rows(1, 2, 3)


def test_a_checkpoint_before_the_first_row_resumes_without_rows(folder, record):
    save_history(folder, "checkpoints/step_000000000")
    record.apply(make_report(resumed_from="checkpoints/step_000000000"))
    assert read_record(folder, METRICS) == b""


def test_rows_are_written_bit_for_bit(folder, record):
    row = {"step": 1, "epoch": 1, "train/loss": 0.1 + 0.2, "train/grad_norm": 5e-324, "train/x": -0.0}
    record.apply(make_report(1, rows=[row]))
    [read] = rows_in(folder)
    assert read == row and str(read["train/x"]) == "-0.0"


def test_messages_and_checkpoints_are_logged(folder, record):
    record.log("begins")
    record.apply(make_report(1, messages=["look out"], checkpoint="checkpoints/step_000000001"))
    lines = read_record(folder, LOG).decode().splitlines()
    assert [line.split(" ", 2)[2] for line in lines[:2]] == ["INFO begins", "WARNING look out"]
    assert "epoch 1/2  step 1/20  train/loss 1  10 samples/s" in lines[2]
    assert lines[3].endswith("INFO saved checkpoints/step_000000001")


def test_a_log_is_appended_after_a_restart(folder):
    for words in ("first", "second"):
        RunRecorder(folder, prints=False).log(words)
    assert [line.split()[-1] for line in read_record(folder, LOG).decode().splitlines()] == ["first", "second"]


def test_only_a_record_that_prints_prints(folder, capsys):
    for prints in (False, True):
        record = RunRecorder(folder, prints=prints)
        record.log("shown")
        record.log("hidden", prints=False)
        assert capsys.readouterr().out == ("shown\n" if prints else "")


def test_final_metrics_tell_the_last_values_and_the_best_model(folder, record):
    folder.write_json("models/aliases.json", {"latest": "step_000000009", "best": "step_000000004", "kept": []})
    folder.write_json("models/step_000000004/metadata.json", {"metrics": {"test/mse": 0.25}})
    record.apply(make_report(9, epoch=2, is_finished=True, metrics={"test/mse": 0.5}))
    expected = {
        "run_id": "some-run",
        "epoch": 2,
        "step": 9,
        "metrics": {"test/mse": 0.5},
        "best_model": "models/step_000000004",
        "best_metrics": {"test/mse": 0.25},
    }
    assert folder.read_json(FINAL) == expected


def test_final_metrics_without_a_best_model_say_so(folder, record):
    record.apply(make_report(9, is_finished=True))
    final = folder.read_json(FINAL)
    assert final["best_model"] is None and final["best_metrics"] == {}


def test_ray_output_and_long_lines_are_in_the_log_alone(folder, capsys):
    record = RunRecorder(folder, describe=lambda report: ["short", LogOnly("long")])
    record.append_log("from\nray")
    record.apply(make_report(1))
    record.flush()
    lines = [line.split(" ", 2)[2] for line in read_record(folder, LOG).decode().splitlines()]
    assert lines == ["RAY from", "RAY ray", "INFO short", "INFO long"]
    assert capsys.readouterr().out == "short\n"


def test_a_growing_file_holds_all_that_was_added(folder):
    file = AppendFile(folder, "file")
    file.append(b"a\n")
    file.append(b"b\n")
    again = AppendFile(folder, "file")
    again.append(b"c\n")
    assert read_record(folder, "file") == b"a\nb\nc\n"
    again.replace(b"x\n")
    again.append(b"y\n")
    assert read_record(folder, "file") == b"x\ny\n"


def test_object_store_rows_wait_for_a_checkpoint_pause_or_end(folder, monkeypatch):
    folder.is_local = False
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(append_file, "time", SimpleNamespace(monotonic=lambda: clock.now, time_ns=time.time_ns))
    record, stored = RunRecorder(folder, prints=False), []

    def apply(step: int, after_s: float, **report: Any) -> None:
        clock.now += after_s
        record.apply(make_report(step, **report))
        found = [read_record(folder, name).splitlines() for name in (METRICS, EVENTS)]
        assert len(found[1]) == len(found[0])
        stored.append(len(found[0]))

    apply(1, 0.0)
    apply(2, 1.0)
    apply(3, 1.0)
    apply(4, append_file.PAUSE_S)
    apply(5, 1.0)
    apply(6, 1.0, checkpoint="checkpoints/step_000000006")
    apply(7, 1.0)
    assert stored == [1, 1, 1, 4, 4, 6, 6]
    record.flush()
    assert len(read_record(folder, METRICS).splitlines()) == 7


@pytest.mark.parametrize("before, whole", [(b"a\nb\n{tor", b"a\nb\n"), (b"{tor", b""), (b"a\n", b"a\n")])
def test_a_line_that_a_kill_has_torn_is_not_joined_to_the_next(folder, before, whole):
    folder.write("file", before)
    file = AppendFile(folder, "file")
    assert read_record(folder, "file") == before  # whoever only looks changes nothing
    file.append(b"c\n")
    file.append(b"d\n")
    assert read_record(folder, "file") == whole + b"c\nd\n"


def test_the_log_holds_the_lines_that_the_description_makes(folder):
    record = RunRecorder(folder, prints=False, describe=lambda report: [f"now at {report['step']}", "second line"])
    record.apply(make_report(1, 2))
    record.flush()
    lines = read_record(folder, LOG).decode().splitlines()
    assert [line.split(" INFO ")[1] for line in lines] == ["now at 2", "second line"]
