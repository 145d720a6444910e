"""What a person reads while a run goes on."""

from typing import Any

import pytest

from ray_jobs.progress import format_duration, format_metrics, format_progress


def make_report(row: dict[str, Any], **changes: Any) -> Any:
    speed = {"samples_per_s": 409.6, "step_s": 0.5, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0}
    return {"rows": [row], "step": 120, "num_steps": 1600, "num_epochs": 40, "speed": speed, **changes}


ROW = {"step": 120, "epoch": 3, "train/epoch": 3, "train/learning_rate": 0.1, "train/loss": 0.12345, "eval/fid": 12.34}


def test_a_line_of_progress_holds_position_loss_evaluation_speed_and_time_left():
    assert format_progress(make_report(ROW)) == (
        "epoch 3/40  step 120/1600  train/loss 0.1235  eval/fid 12.34  410 samples/s  eta 12m 20s"
    )


def test_a_line_without_a_measured_speed_leaves_it_out():
    speed = {"samples_per_s": 0.0, "step_s": 0.0, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0}
    line = format_progress(make_report(ROW, speed=speed))
    assert "samples/s" not in line and "eta" not in line


def test_the_last_line_has_no_time_left():
    line = format_progress(make_report(ROW, num_steps=120))
    assert line.endswith("410 samples/s")


def test_a_step_without_a_loss_is_still_a_line():
    assert format_progress(make_report({"step": 120, "epoch": 3})).startswith("epoch 3/40  step 120/1600  410")


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


def test_metrics_stand_sorted_and_beside_their_baselines():
    text = format_metrics({"test/mse": 0.25, "baseline/test/mse": 1.0, "a": 2.0})
    assert [line.split() for line in text.splitlines()] == [["a", "2"], ["test/mse", "0.25", "(baseline", "1)"]]


def test_no_metrics_are_no_lines():
    assert format_metrics({}) == ""
