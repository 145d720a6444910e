"""Lines of a log in two formats, which say the same."""

import json
from datetime import UTC, datetime

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.report.record.run_status import find_failure, warnings_in
from ray_jobs.run_folder.log_lines import to_text
from ray_jobs.run_folder.run_recorder import LOG, RunRecorder


def write(place, log_format) -> str:
    record = RunRecorder(Folder(str(place)), prints=False, log_format=log_format)
    record.log("run x in y")
    record.log("look out \N{SNOWMAN}", level="WARNING")
    record.append_log("from\nray")
    record.log("it failed;\nlower it", level="ERROR")
    return (place / LOG).read_text()


def test_json_lines_have_time_level_and_message(tmp_path):
    entries = [json.loads(line) for line in write(tmp_path, "json").splitlines()]
    assert [entry["level"] for entry in entries] == ["INFO", "WARNING", "RAY", "RAY", "ERROR"]
    assert entries[-1]["message"] == "it failed;\nlower it"
    age = datetime.now(UTC) - datetime.fromisoformat(entries[0]["time"])
    assert 0 <= age.total_seconds() < 60


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_warnings_and_failures_are_found_in_both_formats(tmp_path, log_format):
    log = to_text(write(tmp_path, log_format))
    assert [line[20:] for line in warnings_in(log)] == ["WARNING look out \N{SNOWMAN}", "ERROR it failed;"]
    assert find_failure(log) == "it failed;\nlower it"


def test_text_is_left_as_it_is():
    text = '2026-11-21 13:20:50 INFO a\n{"time": 1}\n{"time": torn\nplain'
    assert to_text(text) == text
