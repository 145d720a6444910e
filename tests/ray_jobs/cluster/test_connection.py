"""A cluster that lacks machines now: refused at once, or asked for and waited for."""

import itertools

import pytest
import ray

from ray_jobs.cluster import connection
from ray_jobs.cluster.connection import check_resources
from ray_jobs.settings.experiment import check_settings
from trainables.run import Scaling

pytestmark = pytest.mark.slow


@pytest.fixture
def growing(monkeypatch):
    """A cluster of two CPUs that gets two GPU machines after some looks, if it is asked; returns what it was asked."""
    asked: list[list[dict]] = []

    looks = itertools.count(1)

    def look() -> dict[str, float]:
        is_grown = next(looks) > 5 and asked and asked[0]
        return {"CPU": 18.0, "GPU": 2.0} if is_grown else {"CPU": 2.0}

    monkeypatch.setattr(ray, "cluster_resources", look)
    monkeypatch.setattr(connection, "_ask_for", asked.append)
    monkeypatch.setattr(connection, "POLL_S", 0.0)
    return asked


def test_requested_machines_are_awaited_then_left_to_workers(growing, capsys):
    assert check_resources(Scaling(num_workers=2, use_gpu=True, cpus_per_worker=4, wait_for_nodes_s=60))
    assert growing == [[{"CPU": 4.0, "GPU": 1.0}] * 2, []]
    assert capsys.readouterr().out == (
        "waiting for machines: 8 CPU are needed and the cluster has 2; 2 GPU are needed and the cluster has 0\n"
    )


def test_what_fits_is_not_asked_for(growing):
    assert not check_resources(Scaling(num_workers=2, use_gpu=False, wait_for_nodes_s=60))
    assert growing == []


@pytest.mark.parametrize("wait_s", [0, 1])
def test_machines_that_do_not_come_in_time_are_an_error(growing, monkeypatch, wait_s):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    scaling = Scaling(num_workers=2, use_gpu=True, wait_for_nodes_s=wait_s)
    with pytest.raises(ValueError, match=r"2 GPU are needed and the cluster has 0; .*scaling.wait_for_nodes_s"):
        check_resources(scaling)


def test_fewer_machines_do_where_fewer_workers_are_allowed(growing, monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    settings = {"num_workers": 4, "use_gpu": False, "wait_for_nodes_s": 1}
    assert not check_resources(Scaling(min_workers=2, **settings))
    assert growing == [[{"CPU": 1.0}] * 4, []]  # they were waited for
    with pytest.raises(ValueError, match=r"scaling.min_workers=3: 3 CPU are needed and the cluster has 2; lower"):
        check_resources(Scaling(min_workers=3, **settings))


def test_who_waits_must_say_for_what():
    settings = {"workload": {"name": "toy"}, "training": {"epochs": 1}, "scaling": {"wait_for_nodes_s": 5}}
    with pytest.raises(ValueError, match="scaling: wait_for_nodes_s needs use_gpu=true or false"):
        check_settings(settings, origin="test")
