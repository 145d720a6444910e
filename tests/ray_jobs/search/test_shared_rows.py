"""Rows that the trials of a search share: those of equal data, whatever else differs."""

import pytest

from ray_jobs.runs.planning import plan_rows
from ray_jobs.search import searcher
from ray_jobs.search.searcher import SharedRows

RATE = {"optimizer": {"name": "adamw", "learning_rate": 0.5}}


@pytest.fixture
def decoded(monkeypatch):
    """Plans whose rows were decoded."""
    plans = []
    monkeypatch.setattr(searcher, "build_datasets", lambda plan: plans.append(plan) or {"train": len(plans)})
    return plans


def test_trials_of_equal_data_share_and_others_do_not(toy, decoded):
    plan = plan_rows(toy())
    rows = SharedRows([plan, plan_rows(toy(training=RATE)), plan_rows(toy(workload={"num_rows": 40}))])
    assert [each.manifest.num_samples("train") for each in decoded] == [64, 40]
    key = rows.find(plan_rows(toy(training=RATE, seed=3)))
    assert key is not None and rows.datasets[key] == {"train": 1}
    assert rows.find(plan_rows(toy(workload={"num_rows": 48}))) is None


def test_streamed_trials_share_nothing(toy, decoded):
    streamed = {"feed": "stream"}
    rows = SharedRows([plan_rows(toy(training=streamed))])
    assert not decoded and rows.find(plan_rows(toy(training=streamed))) is None


def test_a_plan_of_rows_leaves_no_folder_of_a_run(toy):
    experiment = toy()
    plan_rows(experiment)
    assert not experiment.folder.exists()
