"""Many runs in one process: each has its own rows, pictures and models, and none is harmed by another's fault."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from ray_jobs.run_folder.identity import load_identity
from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.wandb_session import GRACE_S
from tests.ray_jobs.tracking.conftest import ROOT, assert_same_rows, rows_of, run_of, segments_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
HANGING = """
import os, time, wandb
real = wandb.init
def hang(*arguments, **options):
    time.sleep(3600)
def init(**options):
    if options["id"] != "ID" or options["mode"] == "offline":
        return real(**options)
    if "CALL" == "init":
        hang()
    run = real(**options)
    run.finish = hang
    return run
wandb.init = init
"""


@pytest.fixture
def recorded(tracked):
    """Trains runs of which W&B knows nothing yet; no two have the same losses."""

    def build(count: int, **tracking):
        made = [tracked({"seed": seed}, wandb=False, run_name=f"run-{seed}", **tracking) for seed in range(count)]
        for experiment in made:
            train(experiment)
        assert len({str(rows_of(experiment)) for experiment in made}) == count
        return made

    return build


@pytest.fixture
def mirrored(tracker):
    """Opens a handle for each experiment, all of one tracker; what each logs is in `said`."""
    said: dict[str, list[str]] = {}

    def open_all(experiments, mode):
        def log_of(experiment):
            lines = said.setdefault(experiment.run_id, [])
            return lambda text, level="INFO": lines.append(f"{level} {text}")

        return [MirrorHandle(tracker, one.folder, one.tracking, log_of(one), mode=mode) for one in experiments]

    return open_all, said


def warnings_in(said) -> list[str]:
    return [line for lines in said.values() for line in lines if line.startswith("WARNING")]


@pytest.mark.parametrize("mode", ["online", pytest.param("offline", marks=pytest.mark.faults)])
def test_eight_runs_are_recorded_by_one_process(server, recorded, mirrored, tracker, mode):
    (open_all, said), experiments = mirrored, recorded(8, finish_timeout_s=60.0, init_timeout_s=30.0)
    mirrors = open_all(experiments, mode)
    for mirror in mirrors:
        mirror.notify()
    assert len({mirror.process.pid for mirror in mirrors}) == 1 and len(tracker._processes) == 1
    assert [mirror.finish() for mirror in mirrors] == [0] * 8
    assert warnings_in(said) == [] and len(said) == 8
    for experiment, mirror in zip(experiments, mirrors, strict=True):
        assert mirror.sent == {"rows": 24, "panels": 6, "models": 1}
        check = check_online if mode == "online" else check_offline
        check(server, experiment)
    assert len(server.runs) == (8 if mode == "online" else 0)


def check_online(server, experiment) -> None:
    run = run_of(server, experiment)
    assert_same_rows(run.history, rows_of(experiment))
    drawn = [row["eval/pictures"] for row in run.history if "eval/pictures" in row]
    assert len(drawn) == 3 and all(name in run.files for value in drawn for name in value["filenames"])
    [best] = server.artifacts["team", "project", f"{experiment.run_id}-{run.run_id}"]
    assert best.files["model.safetensors"] == weights_of(experiment) and {"best", "latest"} <= set(best.aliases)


def check_offline(server, experiment) -> None:
    [segment] = segments_of(experiment)
    assert segment.run_id == load_identity(experiment.folder).wandb_id and segment.exit_code == 0
    assert_same_rows(segment.rows, rows_of(experiment))
    drawn = [row["eval/pictures"] for row in segment.rows if "eval/pictures" in row]
    assert len(drawn) == 3 and all(name in segment.files for value in drawn for name in value["filenames"])
    [model] = [artifact for artifact in segment.artifacts if artifact.type == "model"]
    with open(model.local_files["model.safetensors"], "rb") as file:
        assert file.read() == weights_of(experiment)


def weights_of(experiment) -> bytes:
    return experiment.folder.read("models/step_000000024/model.safetensors")


@pytest.mark.parametrize("call", ["init", pytest.param("finish", marks=pytest.mark.faults)])
def test_a_run_that_hangs_leaves_the_others_unharmed(server, recorded, mirrored, tmp_path, monkeypatch, call):
    """W&B's own timeouts do not help here: the call never comes back."""
    (open_all, said), experiments = mirrored, recorded(3, init_timeout_s=20.0, finish_timeout_s=25.0)
    (tmp_path / "site").mkdir()
    hanging = HANGING.replace("ID", load_identity(experiments[0].folder).wandb_id).replace("CALL", call)
    (tmp_path / "site/sitecustomize.py").write_text(hanging)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    began = time.monotonic()
    hung, *others = open_all(experiments, "online")
    assert [mirror.finish() for mirror in others] == [0, 0]
    assert time.monotonic() - began < 20.0 + GRACE_S, "not even the one's timeout had passed"
    code = hung.finish()
    for experiment in experiments[1:]:
        check_online(server, experiment)
        assert "WARNING" not in str(said[experiment.run_id])
    [warning] = warnings_in(said)
    if call == "init":
        assert code == 0 and "W&B was lost (start: TimeoutError: no answer in 30 s)" in warning
        assert "goes on offline" in warning
        check_offline(server, experiments[0])
    else:
        assert code == 1 and "W&B did not take all of the run (finish: TimeoutError: no answer in 35 s)" in warning


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_process_killed_midway_leaves_each_row_once(server, recorded, mirrored, mode):
    (open_all, said), experiments = mirrored, recorded(3, finish_timeout_s=60.0, init_timeout_s=30.0)
    whole = [[one.folder.read(name) for name in ("metrics.jsonl", "events.jsonl")] for one in experiments]
    for experiment, (rows, events) in zip(experiments, whole, strict=True):
        experiment.folder.write("metrics.jsonl", b"".join(rows.splitlines(True)[:16]))
        experiment.folder.write("events.jsonl", b"".join(events.splitlines(True)[:8]))
    mirrors = open_all(experiments, mode)
    if mode == "online":
        wait_until(lambda: len(server.runs) == 3 and all(run.history for run in server.runs.values()))
        assert all(len(run.history) < 24 for run in server.runs.values())
    else:
        wait_until(lambda: all(any(part.rows for part in segments_of(one)) for one in experiments))
    os.kill(mirrors[0].process.pid, signal.SIGKILL)
    for experiment, (rows, events) in zip(experiments, whole, strict=True):
        experiment.folder.write("metrics.jsonl", rows)
        experiment.folder.write("events.jsonl", events)
    assert [mirror.finish() for mirror in mirrors] == [0, 0, 0]
    for experiment in experiments:
        (check_online if mode == "online" else check_offline)(server, experiment)
        [warning] = [line for line in said[experiment.run_id] if line.startswith("WARNING")]
        assert f"W&B was lost (its process was killed (signal 9)); the run goes on {mode} there" in warning


def test_variables_of_another_run_join_no_two_runs(server, recorded, mirrored, monkeypatch):
    (open_all, said), experiments = mirrored, recorded(2, finish_timeout_s=60.0)
    for name, value in {
        "WANDB_RUN_ID": "shared123",
        "WANDB_RESUME": "must",
        "WANDB_SWEEP_ID": "sweep1",
        "WANDB_LAUNCH": "true",
        "WANDB_SERVICE": "3-1-unix-/nowhere",
        "TRAINING_JOB_NAME": "sagemaker1",
    }.items():
        monkeypatch.setenv(name, value)
    assert [mirror.finish() for mirror in open_all(experiments, "online")] == [0, 0]
    ids = {load_identity(experiment.folder).wandb_id for experiment in experiments}
    assert {run.run_id for run in server.runs.values()} == ids and len(ids) == 2
    for experiment in experiments:
        check_online(server, experiment)
    first, second = warnings_in(said)
    assert first == second and "WANDB_RUN_ID, WANDB_SWEEP_ID" in first and "shared123" not in first


def test_the_process_ends_with_a_driver_that_is_killed(home):
    source = "from ray_jobs.tracking.tracking_process import Tracker\n"
    source += "print(Tracker().process('offline').pid, flush=True); input()"
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        process = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    process.wait(timeout=20.0)


def test_a_server_lost_to_one_run_is_found_by_the_next(server, tracked):
    lost, found = tracked(run_name="lost"), tracked(run_name="found")
    server.refuse()
    train(lost)
    server.heal()
    train(found)
    assert_same_rows(segments_of(lost)[-1].rows, rows_of(lost))
    assert_same_rows(run_of(server, found).history, rows_of(found))


def test_runs_leave_nothing_in_the_home_folder(home, recorded, mirrored, tracker):
    (open_all, _), experiments = mirrored, recorded(2)
    before = psutil.Process().children(recursive=True)
    with closing(tracker):
        assert [mirror.finish() for mirror in open_all(experiments, "offline")] == [0, 0]
    assert [file for file in home.rglob("*") if file.is_file()] == []
    assert not set(psutil.Process().children(recursive=True)) - set(before)
