"""What a person reads while a run goes on."""

from typing import Any

import pytest

from ray_jobs.console import (
    Console,
    LogOnly,
    describe_plainly,
    format_counts,
    format_duration,
    format_progress,
    format_value,
    progress_snapshot,
)
from trainables.contract.workload_config import SelectionMetric


def make_report(row: dict[str, Any], **changes: Any) -> Any:
    speed = {"samples_per_s": 409.6, "step_s": 0.5, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0}
    report = {"rows": [row], "metrics": {}, "step": 120, "num_steps": 1600, "num_epochs": 40, "speed": speed}
    return {**report, **changes}


ROW = {"step": 120, "epoch": 3, "train/epoch": 3, "train/learning_rate": 0.1, "train/loss": 0.12345, "eval/fid": 12.34}


SHOWN = {"train/loss": 0.12345, "eval/fid": 12.34}


def test_a_progress_line_has_position_loss_goal_speed_and_eta():
    report = make_report(ROW, metrics={"baseline/eval/fid": 80.0})
    words = "epoch 3/40  step 120/1600  train/loss 0.1235  eval/fid 12.34 (baseline 80)  410 samples/s"
    assert format_progress(report, SHOWN) == f"{words}  eta 12m 20s"
    assert format_progress(report, SHOWN, evaluation_s=0.5) == f"{words}  eta 24m 40s"


def test_a_line_without_a_measured_speed_leaves_it_out():
    speed = {"samples_per_s": 0.0, "step_s": 0.0, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0}
    line = format_progress(make_report(ROW, speed=speed), SHOWN)
    assert "samples/s" not in line and "eta" not in line


def test_the_last_line_has_no_time_left():
    line = format_progress(make_report(ROW, num_steps=120), SHOWN)
    assert line.endswith("410 samples/s")


def test_a_step_without_a_loss_is_still_a_line():
    assert describe_plainly(make_report({"step": 120, "epoch": 3}))[0].startswith("epoch 3/40  step 120/1600  410")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (45.4, "45s"),
        (59.6, "1m 00s"),
        (80, "1m 20s"),
        (3599.4, "59m 59s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (360000, "100h 00m"),
    ],
)
def test_a_duration_is_rounded_to_what_is_readable(seconds, words):
    assert format_duration(seconds) == words


def make_whole_report(row: dict[str, Any] | None = ROW, **changes: Any) -> Any:
    """At step 120 of a run of 50 steps per epoch, batches of 8 out of 403 samples."""
    speed = {"computing_s": 1.5, "waiting_s": 0.5, "evaluation_s": 2.0}
    report = {
        **make_report(row or {}),
        "rows": [row] if row else [],
        "epoch": 3,
        "step_in_epoch": 20,
        "steps_per_epoch": 50,
        "samples_per_epoch": 403,
        "learning_rate": 2e-4,
        "epoch_means": {"train/loss": 0.25},
        "is_finished": False,
    }
    report["speed"] = report["speed"] | speed
    return {**report, **changes}


def test_a_snapshot_gives_the_position_in_the_epoch():
    moment = progress_snapshot(make_whole_report(), batch_size=8)
    assert (moment.epoch, moment.samples_done, moment.samples_per_epoch) == (3, 160, 403)
    assert (moment.computing_s, moment.waiting_s, moment.evaluation_s) == (1.5, 0.5, 2.0)
    assert moment.row == ROW and moment.epoch_means == {"train/loss": 0.25} and not moment.starts_epoch


def test_a_snapshot_at_the_end_of_an_epoch_begins_the_next():
    last_step = {**ROW, "step": 150}
    moment = progress_snapshot(make_whole_report(last_step, step_in_epoch=0, epoch=4), batch_size=8)
    assert moment.starts_epoch and (moment.epoch, moment.samples_done) == (4, 400)
    finished = make_whole_report(last_step, step_in_epoch=50, is_finished=True, resumed_from=None)
    assert not progress_snapshot(finished, batch_size=8).starts_epoch


def test_a_snapshot_at_the_start_has_no_row_and_begins_its_epoch():
    moment = progress_snapshot(make_whole_report(None, resumed_from="checkpoints/step_120"), batch_size=8)
    assert moment.row is None and moment.starts_epoch and moment.samples_done == 0


class Silent:
    """A workload without lines of its own."""

    name = "silent"
    selection_metric = SelectionMetric(metric="eval/fid", mode="min")
    metric_names: dict[str, str] = {}


class Renamed(Silent):
    metric_names = {"train/loss": "loss"}


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    """The workload of these tests has no lines of its own, unless a test gives it some."""
    monkeypatch.setattr("ray_jobs.console.console_lines", lambda workload, moment: None)


def say(workload: Any, *reports: Any, **options: Any) -> list[list[str]]:
    console = Console(workload, batch_size=8, **options)
    return [list(console(report)) for report in reports]


def test_a_workload_may_say_its_own_lines(monkeypatch):
    monkeypatch.setattr("ray_jobs.console.console_lines", lambda workload, moment: [f"epoch {moment.epoch}", "more"])
    assert say(Silent(), make_whole_report()) == [["epoch 3", "more"]]


def test_the_terminal_shows_loss_and_goal_the_log_all_metrics():
    row = {**ROW, "eval/is": 3.0, "baseline/eval/fid": 80.0}
    [[line, details]] = say(Silent(), make_whole_report(row, metrics={"baseline/eval/fid": 80.0}))
    assert line.split("  ")[2:4] == ["train/loss 0.1235", "eval/fid 12.34 (baseline 80)"]
    assert "eval/is" not in line and not isinstance(line, LogOnly)
    assert isinstance(details, LogOnly) and "eval/is 3  baseline/eval/fid 80" in details


def test_between_evaluations_a_value_is_marked_with_its_epoch():
    rows = [{"step": 150, "epoch": 3, "loss": 0.5, "eval/fid": 12.34}, {"step": 160, "epoch": 4, "loss": 0.4}]
    reports = [make_whole_report(row, metrics={"loss": 9.0, "eval/fid": 12.34}) for row in rows]
    [[fresh, _], [stale]] = say(Renamed(), *reports)
    assert fresh.split("  ")[2:4] == ["loss 0.5", "eval/fid 12.34"]
    assert stale.split("  ")[2:4] == ["loss 0.4", "eval/fid 12.34 (epoch 3)"]


def test_a_value_of_the_same_epoch_is_marked_with_its_step():
    rows = [{"step": 110, "epoch": 3, "eval/fid": 2.0}, {"step": 120, "epoch": 3}]
    [_, [stale]] = say(Silent(), *(make_whole_report(row, metrics={"baseline/eval/fid": 80.0}) for row in rows))
    assert "eval/fid 2 (step 110, baseline 80)" in stale


def test_before_the_first_evaluation_no_value_is_shown():
    assert "eval/fid" not in say(Silent(), make_whole_report({"step": 1, "epoch": 1}, metrics={"eval/fid": 9.0}))[0][0]


def test_after_a_resume_the_value_is_that_of_the_record():
    """Also of a worker that was lost: its later evaluations are gone, and trained again."""
    reports = [
        make_whole_report({"step": 200, "epoch": 4, "eval/fid": 3.0}),
        make_whole_report(None, resumed_from="checkpoints/step_000000100"),
        make_whole_report({"step": 101, "epoch": 3}, metrics={"eval/fid": 7.0}),
    ]
    found = say(Silent(), *reports, find_row=lambda metric: {"step": 100, "epoch": 2, metric: 7.0})
    assert "eval/fid 7 (epoch 2)" in found[2][0]


def test_a_fresh_start_forgets_earlier_evaluations():
    row = {"step": 1, "epoch": 1}
    reports = [make_whole_report({**row, "eval/fid": 3.0}), make_whole_report(row, resumed_from=None)]
    assert "eval/fid" not in say(Silent(), *reports)[1][0]


def test_the_time_left_holds_evaluations_by_what_they_have_taken():
    speed = {**make_whole_report()["speed"], "evaluation_s": 0.0}
    before = make_whole_report({"step": 119, "epoch": 3}, speed=speed)
    [_, [line, _]] = say(Silent(), before, make_whole_report())
    left = 1600 - 120
    assert line.endswith(f"eta {format_duration(left * (0.5 + 2.0 / 2))}")


def test_a_report_without_a_row_prints_no_line():
    assert say(Silent(), make_whole_report(None)) == [[]] and describe_plainly(make_whole_report(None)) == []
    [line] = describe_plainly(make_whole_report({**ROW, "eval/is": 3.0, "baseline/eval/is": 1.0}))
    assert "eval/fid 12.34  eval/is 3  410 samples/s" in line


def test_counts_are_tabulated_by_split_and_group():
    counts = {"train": {"ill": {"cycles": 120, "cycles_kept": 7}}, "val": {"healthy": {"cycles": 3}}}
    assert format_counts(counts) == [
        "                cycles  cycles kept",
        "train  ill         120            7",
        "val    healthy       3",
    ]
    assert format_counts({}) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (195974, "195,974"),
        (29.868825, "29.87"),
        ("model.onnx", "model.onnx"),
        ({"a": 1000, "b": 0.5}, "a 1,000, b 0.5"),
    ],
)
def test_what_an_export_tells_is_readable(value, text):
    assert format_value(value) == text
