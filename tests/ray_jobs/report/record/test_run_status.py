"""Whether a run is finished, running, stopped or broken."""

import pytest

from ray_jobs.report.record.run_record import gather_run
from ray_jobs.report.record.run_status import State, find_failure, warnings_in
from ray_jobs.run_folder.run_lock import locked
from tests.ray_jobs.report.conftest import make_event

STAMP = "2026-11-21 13:20:50"
FAILED = (
    f"{STAMP} INFO run x in y\n{STAMP} WARNING look out\n{STAMP} ERROR train/loss is not finite at step 3;\nlower it\n"
    f'{STAMP} ERROR Traceback (most recent call last):\n  File "x"\nValueError: no\n'
)


def test_a_run_with_final_metrics_is_finished(write_run):
    folder = write_run()
    folder.write_json("final_metrics.json", {"epoch": 3, "metrics": {}})
    assert gather_run(folder).state == State("finished")
    folder.write_json("final_metrics.json", {"epoch": 2, "metrics": {}})
    assert gather_run(folder).state == State("finished", "early, after epoch 2 of 3")


def test_a_run_whose_folder_is_held_is_running(write_run):
    folder = write_run()
    with locked(folder):
        state = gather_run(folder).state
    assert state.kind == "running" and "by process" in state.words
    assert gather_run(folder).state.kind == "unfinished"


def test_a_run_that_was_asked_to_stop_says_by_whom(write_run):
    folder = write_run(events=[make_event(0, resumed_from=None), make_event(10, stopped_by="SIGTERM")])
    assert gather_run(folder).state == State("stopped", "by SIGTERM; the same command goes on with it")


def test_a_failed_run_says_the_cause_until_it_is_started_again(write_run):
    assert gather_run(write_run(log=FAILED)).state == State("failed", "train/loss is not finite at step 3;\nlower it")
    assert gather_run(write_run(log=f"{FAILED}{STAMP} INFO run x in y\n")).state.kind == "unfinished"
    assert find_failure("") == "" and find_failure("torn li") == ""


def test_warnings_are_shown_without_tracebacks():
    assert warnings_in(FAILED) == [f"{STAMP} WARNING look out", f"{STAMP} ERROR train/loss is not finite at step 3;"]


@pytest.mark.parametrize(("state", "kind"), [("stopped", "stopped"), ("failed", "failed"), ("running", "unfinished")])
def test_a_trial_is_what_its_search_says(write_run, tmp_path, state, kind):
    folder = write_run("s-0001", identity={"job_type": "sweep", "group": "s"})
    line = '{"number": 1, "point": 1, "base": 0, "label": "l", "seed": 0, "values": {}, "objectives": [], '
    (tmp_path / "searches/s").mkdir(parents=True)
    (tmp_path / "searches/s/trials.jsonl").write_text(f'{line}"state": "{state}", "words": "because"}}\n')
    found = gather_run(folder).state
    assert found.kind == kind and (found.words == "because" or kind == "unfinished")


def test_steps_that_were_gone_through_twice_count_once(write_run):
    again = make_event(10, resumed_from="checkpoints/step_000000010", time=5000.0)
    events = [make_event(0, resumed_from=None), make_event(10), make_event(20), again, make_event(20, time=5010.0)]
    run = gather_run(write_run(events=events))
    assert [event["step"] for event in run.events] == [0, 10, 10, 20]
    assert run.speed["samples/s"][-1] == (20, 100.0)
