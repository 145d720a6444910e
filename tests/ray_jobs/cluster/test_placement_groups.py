"""The group of a lost trial is removed, once, and that of any other trial is left alone."""

from types import SimpleNamespace

import pytest

from ray_jobs.cluster import placement_groups
from ray_jobs.cluster.placement_groups import GroupRemover

FIRST, SECOND = SimpleNamespace(trial_id="a"), SimpleNamespace(trial_id="b")


@pytest.fixture
def removed(monkeypatch):
    """What was removed."""
    groups: list[str] = []
    monkeypatch.setattr(placement_groups, "remove_placement_group", groups.append)
    return groups


def started() -> GroupRemover:
    remover = GroupRemover()
    for trial in (FIRST, SECOND):
        result = {"placement_group": f"group of {trial.trial_id}", "loss": 1.0}
        remover.on_trial_result(1, [], trial, result)
        assert result == {"loss": 1.0}  # the trackers after it get plain values
    return remover


@pytest.mark.parametrize("hook", ["on_trial_recover", "on_trial_error"])
def test_the_group_of_a_lost_trial_is_removed_once(removed, hook):
    remover = started()
    for _ in range(2):
        getattr(remover, hook)(1, [], FIRST)
    assert removed == ["group of a"]


def test_the_group_of_a_trial_that_ended_is_its_own_matter(removed):
    remover = started()
    remover.on_trial_complete(1, [], FIRST)
    remover.on_trial_error(1, [], FIRST)
    assert removed == []


def test_the_latest_group_of_a_trial_counts(removed):
    remover = started()
    remover.on_trial_result(2, [], FIRST, {"placement_group": "another"})
    remover.on_trial_error(2, [], FIRST)
    assert removed == ["another"]
