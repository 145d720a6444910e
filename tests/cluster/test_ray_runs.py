"""Training on a real Ray cluster: the same result as without Ray, through lost workers and a lost driver."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ray_jobs.commands.evaluate import evaluate
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from tests.distributed.launch import start_processes
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, segments_of
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.ray_train.worker_main import RunError

ROOT = Path(__file__).resolve().parents[2]
NUM_STEPS = 24
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


def outcome(experiment) -> tuple[dict, list[dict]]:
    name, _ = find_checkpoint(experiment.folder)
    assert name is not None
    content = gzip.decompress(experiment.folder.read(f"{name}/history.jsonl.gz"))
    return load_file(experiment.folder.full(f"{name}/model.safetensors")), [
        json.loads(row) for row in content.splitlines()
    ]


def assert_same(experiment, reference) -> None:
    (weights, rows), (expected_weights, expected_rows) = outcome(experiment), outcome(reference)
    assert rows == expected_rows
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)
    written = [json.loads(row) for row in experiment.folder.read("metrics.jsonl").splitlines()]
    assert written == expected_rows
    assert [row["step"] for row in written] == list(range(1, NUM_STEPS + 1))


@pytest.fixture
def two_workers(toy, tmp_path, ray_cluster):
    """Builds toy experiments for two workers that can be killed at a step."""

    def build(name: str, **tracking):
        return toy(
            workload={"kill_file": str(tmp_path / "kill")},
            scaling={"num_workers": 2},
            tracking={"run_name": name, **tracking},
        )

    return build


@pytest.fixture
def reference(two_workers, tmp_path):
    """The same run by two plain processes, without Ray."""
    experiment = two_workers("reference")
    experiment.folder.make()
    assert start_processes(build_plan(experiment), tmp_path) == [0, 0]
    return experiment


def test_two_ray_workers_survive_a_killed_worker_and_driver(two_workers, reference, tmp_path):
    """One worker is killed at a random step, later the driver; the same command then ends as if nothing was."""
    import ray

    first, second = sorted(random.Random(22).sample(range(2, NUM_STEPS), 2))
    experiment = two_workers("killed", wandb=True, mode="offline")
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    (tmp_path / "kill").write_text(str(first))
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.toy_workload", "train", str(file)]
    driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for_step(experiment, second, driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    assert not (tmp_path / "kill").exists()
    assert "was lost; restarting" in experiment.folder.read("train.log").decode()
    train(experiment)
    assert_same(experiment, reference)
    wait_until_free()
    assert_tracked(experiment)


@pytest.mark.faults
def test_a_killed_trial_restarts_and_its_reservation_is_freed(two_workers, reference, monkeypatch):
    """Its workers hold all CPUs of the cluster, which Ray by itself would not give back before the job's end."""
    from ray_jobs.runs import tune_run

    killed, apply = [], tune_run._Recorder.on_trial_result

    def apply_and_kill(self, iteration, trials, trial, result, **info):
        pid = result["pid"]
        apply(self, iteration, trials, trial, result, **info)
        if not killed and (self.record.last or {}).get("rows"):
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(tune_run._Recorder, "on_trial_result", apply_and_kill)
    experiment = two_workers("trial_killed")
    train(experiment)
    assert killed and "resumed from" in experiment.folder.read("train.log").decode()
    assert_same(experiment, reference)
    wait_until_free()
    assert placement_groups() == []


@pytest.mark.faults
def test_a_worker_that_hangs_is_found_and_all_are_started_again(two_workers, reference, tmp_path):
    experiment = two_workers("hanging")
    (tmp_path / "kill").write_text("10 SIGSTOP")
    train(experiment)
    assert "was lost; restarting" in experiment.folder.read("train.log").decode()
    assert_same(experiment, reference)
    wait_until_free()


@pytest.mark.faults
def test_the_failing_workers_error_wins_over_the_waiting_workers(two_workers, tmp_path):
    experiment = two_workers("failing")
    (tmp_path / "kill").write_text("10 ERROR")
    with pytest.raises(RunError, match=r"^one worker fails alone$"):
        train(experiment)
    assert "restarting" not in experiment.folder.read("train.log").decode()
    wait_until_free()


def placement_groups() -> list[str]:
    """Those that hold anything."""
    from ray.util import placement_group_table

    return [key for key, group in placement_group_table().items() if group["state"] != "REMOVED"]


def assert_tracked(experiment) -> None:
    """W&B's files of both drivers make one run, without hole or double, with what both ranks' machines did."""
    segments = segments_of(experiment)
    assert len(segments) == 2 and len({segment.run_id for segment in segments}) == 1
    rows = [row for segment in segments for row in segment.rows]
    assert_same_rows(rows, rows_of(experiment))
    seen = {name for row in rows for name in row if name.startswith("system/")}
    assert {f"system/rank_{rank}/process_memory_mib" for rank in (0, 1)} <= seen


def wait_until_free() -> None:
    """No worker and no placement group holds a CPU five seconds after the end."""
    import ray

    deadline = time.monotonic() + 5
    while ray.available_resources().get("CPU") != 2.0:
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.1)


def wait_for_step(experiment, step: int, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        has_log = experiment.folder.exists("train.log")
        if has_log and "was lost" in experiment.folder.read("train.log").decode():
            lines = experiment.folder.read("metrics.jsonl").splitlines()
            if len(lines) >= step:
                return
        if driver.poll() is not None:
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


@pytest.mark.faults
def test_one_streaming_ray_worker_gives_the_rows_of_a_local_one(toy, ray_cluster):
    """And a model can be evaluated on Ray with the metrics of its training."""
    settings = {"training": {"feed": "stream"}, "workload": {"num_rows": 64}}
    local = toy(**settings, tracking={"run_name": "local"})
    train(local)
    on_ray = toy(**settings, scaling={"num_workers": 1}, tracking={"run_name": "on_ray"})
    result = train(on_ray)
    assert_same(on_ray, local)
    scores = evaluate(on_ray, None, {})["metrics"]
    assert scores["test/mse"] == pytest.approx(result.final["best_metrics"]["test/mse"], rel=1e-6)


@pytest.mark.faults
def test_an_error_no_restart_cures_ends_the_run_at_once(toy, ray_cluster):
    experiment = toy(workload={"nan_at_row": 3}, scaling={"num_workers": 1})
    with pytest.raises(RunError, match=r"train/loss is not finite at step \d+"):
        train(experiment)
    assert "restarting" not in experiment.folder.read("train.log").decode()
    wait_until_free()


def test_a_run_is_among_the_metrics_that_ray_exports(toy, ray_cluster):
    import ray

    train(toy(scaling={"num_workers": 1}, tracking={"run_name": "exported"}))
    page = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    deadline = time.monotonic() + 120
    while read_step(page, "exported") != NUM_STEPS:
        assert time.monotonic() < deadline
        time.sleep(1)


def read_step(page: str, run: str) -> float | None:
    with urllib.request.urlopen(page, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    steps = [line for line in lines if line.startswith("ray_quintet_step{") and f'run="{run}"' in line]
    return float(steps[0].split()[-1]) if steps else None


def test_a_damaged_shard_is_named(toy, ray_cluster, tmp_path):
    experiment = toy(scaling={"num_workers": 1})
    experiment.folder.make()
    plan = build_plan(experiment)
    shard = Path(plan.prepared.full(plan.manifest.splits["train"][0].name))
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises((RunError, ValueError), match=r"train-00000\.parquet"):
        train(experiment)


def test_more_workers_than_the_cluster_has_are_refused_at_once(toy, ray_cluster):
    with pytest.raises(ValueError, match=r"scaling.num_workers=8: 8 CPU are needed and the cluster has 2"):
        train(toy(scaling={"num_workers": 8}))
