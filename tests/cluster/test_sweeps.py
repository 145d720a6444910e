"""Searches on a real Ray cluster: trials stopped early, changed while they run, failing, and interrupted by a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ray_jobs.search.sweep import sweep
from ray_jobs.search.sweep_plan import build_sweep_plan
from ray_jobs.search.trials import Trials
from tests.cluster.test_ray_runs import wait_until_free
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, segments_of
from trainables.ray_train.worker_main import RunError

ROOT = Path(__file__).resolve().parents[2]
RATE = "training.optimizer.learning_rate"
TRAINING = {"epochs": 6, "log_every_steps": 8, "checkpoint_every_steps": None, "ema": None, "pictures_every": None}
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture
def search(toy, ray_cluster):
    """Builds a search whose trials train in their own processes."""

    def build(*, training=None, workload=None, scaling=None, tracking=None, **settings):
        experiment = toy(
            workload={"has_noise": False, **(workload or {})},
            training={**TRAINING, **(training or {})},
            scaling=scaling or {"num_workers": 1},
            tracking=tracking or {},
            search=settings,
        )
        return build_sweep_plan(experiment, "toy")

    return build


def trials_of(setup) -> list:
    return list(Trials(setup.folder))


def test_asha_stops_bad_trials_and_the_best_settings_are_found(search):
    """Two good rates come first; whatever is hopeless beside them ends at the first rung."""
    setup = search(
        space={RATE: [1e-2, 3e-2, 1e-7, 2e-7, 3e-7]},
        scheduler={"name": "asha", "grace": "2 epochs", "reduction_factor": 2},
    )
    result = sweep(setup)
    trials = trials_of(setup)
    assert all(trial.is_over for trial in trials) and len(trials) == 5
    stopped = [trial for trial in trials if trial.state == "stopped"]
    assert {trial.number for trial in stopped} >= {3, 4} and all(trial.epoch < 6 for trial in stopped)
    assert all(len(rows_of(setup.build(trial))) < 48 for trial in stopped)
    assert result["best"]["toy"]["values"][RATE] in (1e-2, 3e-2)
    *_, last = setup.folder.read("search.log").decode().splitlines()
    assert f"next:   quintet report {setup.folder} makes its page; best.yaml in it" in last and setup.folder.exists(
        "best.yaml"
    )
    best = setup.build(next(trial for trial in trials if trial.values[RATE] == result["best"]["toy"]["values"][RATE]))
    assert min(row["test/mse"] for row in rows_of(best) if "test/mse" in row) == result["best"]["toy"]["objectives"][0]
    wait_until_free()


@pytest.mark.faults
def test_population_based_training_changes_a_running_trial(search):
    """A trial with a hopeless rate goes on from the good one's weights, with another rate, to the last step."""
    setup = search(
        space={RATE: {"loguniform": [1e-9, 1e-1]}},
        num_points=2,
        scheduler={
            "name": "pbt",
            "perturb_every": "2 epochs",
            "mutates": [RATE],
            "quantile": 0.5,
            "resample_ratio": 0.0,
        },
    )
    sweep(setup)
    trials = trials_of(setup)
    runs = [setup.build(trial).folder for trial in trials]
    changed = [run for run in runs if "goes on from another trial's checkpoint" in run.read("train.log").decode()]
    assert changed
    rates = {row["train/learning_rate"] for row in rows_of(setup.build(trials[runs.index(changed[0])]))}
    assert len(rates) > 1
    for run in runs:
        steps = [json.loads(line)["step"] for line in run.read("metrics.jsonl").splitlines()]
        assert steps == list(range(1, 49))


@pytest.mark.faults
def test_a_search_killed_and_run_again_ends_with_the_same_trials(search, tmp_path):
    """Finished trials are not trained again, the open one goes on from its checkpoint, and W&B has each row once.

    Nor are they when the search is extended.
    """
    import ray

    tracking = {"wandb": True, "mode": "offline", "run_name": "killed"}
    setup = search(
        space={RATE: {"loguniform": [1e-4, 1e-1]}},
        num_points=3,
        searcher="tpe",
        max_concurrent=1,
        training={"epochs": 40, "checkpoint_every": "1 epochs"},
        tracking=tracking,
    )
    file = tmp_path / "search.yaml"
    file.write_text(yaml.safe_dump(setup.experiment.model_dump(mode="json")))
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.toy_workload", "sweep", str(file)]
    driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_trial(setup, driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = trials_of(setup)
    finished = [trial for trial in before if trial.state == "finished"]
    assert finished and any(not trial.is_over for trial in before)
    weights = [setup.build(trial).folder.read("final_metrics.json") for trial in finished]
    sweep(setup)
    after = trials_of(setup)
    assert [trial.state for trial in after] == ["finished"] * 3
    assert after[: len(finished)] == finished
    assert [setup.build(trial).folder.read("final_metrics.json") for trial in finished] == weights
    second = setup.build(after[1])
    assert "resumed from" in second.folder.read("train.log").decode()
    for trial in after:
        experiment = setup.build(trial)
        assert [row["step"] for row in rows_of(experiment)] == list(range(1, 321))
        rows = [row for segment in segments_of(experiment) for row in segment.rows]
        assert_same_rows(rows, rows_of(experiment))
    assert sweep(setup, extension=1)["finished"] == 4
    extended = trials_of(setup)
    assert extended[:3] == after and extended[3].values not in [trial.values for trial in after]


def wait_for_trial(setup, driver) -> None:
    """Until the second trial has saved a checkpoint."""
    second = setup.folder.path.replace("searches/killed", "runs/killed-0001/checkpoints")
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and driver.poll() is None:
        if Path(second).is_dir() and len(list(Path(second).glob("step_*"))) >= 2:
            return
        time.sleep(0.05)
    raise AssertionError(f"the search ended too early or too late (exit code {driver.poll()})")


@pytest.mark.faults
def test_a_failing_trial_is_retried_then_marked_failed(search):
    setup = search(space={"workload.nan_at_row": [3, None]}, training={"epochs": 1}, retries=1)
    result = sweep(setup)
    first, second = trials_of(setup)
    assert (first.state, first.failures, second.state) == ("failed", 2, "finished")
    assert "step" in first.words and result["failed"] == 1
    assert result["best"]["toy"]["values"] == {"workload.nan_at_row": None}


def test_a_metric_that_no_evaluation_gives_is_named(search):
    setup = search(
        space={RATE: [1e-2]}, training={"epochs": 1}, retries=0, objectives=[{"metric": "test/accuracy", "mode": "max"}]
    )
    with pytest.raises(RunError, match="has given a value"):
        sweep(setup)
    (trial,) = trials_of(setup)
    assert trial.state == "failed" and "'test/accuracy'" in trial.words and "test/mse" in trial.words


@pytest.mark.faults
def test_a_trial_with_a_group_of_workers_is_stopped_cleanly(search):
    """Two workers fill the cluster, so the second trial starts only because the first one's are gone."""
    setup = search(
        space={RATE: [1e-2, 1e-8]},
        scaling={"num_workers": 2, "threads_per_worker": 1},
        training={"epochs": 3},
        scheduler={"name": "asha", "grace": "1 epochs", "reduction_factor": 2},
    )
    sweep(setup)
    assert [trial.state for trial in trials_of(setup)] == ["finished", "stopped"]
    wait_until_free()


def test_more_than_the_cluster_has_is_refused_with_both_numbers(search):
    setup = search(space={RATE: [1e-2]}, scaling={"num_workers": 3})
    with pytest.raises(ValueError, match="3 CPU are needed and the cluster has 2"):
        sweep(setup)
