"""A cluster that lacks machines now: refused at once, or asked for and waited for."""

import itertools
import re

import pytest
import ray

from ray_jobs.cluster import resources
from ray_jobs.cluster.resources import Machine, check_resources, count_rooms, has_labels, refuse_without_room_beside
from ray_jobs.settings.experiment import check_settings
from trainables.run import Scaling

pytestmark = pytest.mark.slow


def nodes(*machines: dict[str, float], **labels: str) -> list[dict]:
    """Machines as Ray lists them, one of which is lost."""
    alive = [{"Alive": True, "Resources": machine, "Labels": labels} for machine in machines]
    return [*alive, {"Alive": False, "Resources": {"CPU": 1000.0, "GPU": 1000.0}, "Labels": {}}]


@pytest.fixture
def growing(monkeypatch):
    """A cluster of two CPUs that gets two GPU machines after some looks, if it is asked; returns what it was asked."""
    asked: list[list[dict]] = []

    looks = itertools.count(1)

    def look() -> list[dict]:
        is_grown = next(looks) > 5 and asked and asked[0]
        return nodes({"CPU": 2.0}, *([{"CPU": 8.0, "GPU": 1.0}] * 2 if is_grown else []))

    monkeypatch.setattr(ray, "nodes", look)
    monkeypatch.setattr(resources, "_ask_for", lambda bundles, labels: asked.append(bundles))
    monkeypatch.setattr(resources, "POLL_S", 0.0)
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
    monkeypatch.setattr(ray, "nodes", lambda: nodes({"CPU": 2.0}))
    scaling = Scaling(num_workers=2, use_gpu=True, wait_for_nodes_s=wait_s)
    with pytest.raises(ValueError, match=r"2 GPU are needed and the cluster has 0; .*scaling.wait_for_nodes_s"):
        check_resources(scaling)


def test_fewer_machines_do_where_fewer_workers_are_allowed(growing, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: nodes({"CPU": 2.0}))
    settings = {"num_workers": 4, "use_gpu": False, "wait_for_nodes_s": 1}
    assert not check_resources(Scaling(min_workers=2, **settings))
    assert growing == [[{"CPU": 1.0}] * 4, []]  # they were waited for
    with pytest.raises(ValueError, match=r"scaling.min_workers=3: 3 CPU are needed and the cluster has 2; lower"):
        check_resources(Scaling(min_workers=3, **settings))


def test_room_for_an_evaluation_beside_is_awaited(growing):
    scaling = Scaling(num_workers=1, use_gpu=True, cpus_per_worker=4, wait_for_nodes_s=60)
    refuse_without_room_beside(scaling, uses_gpu=True)
    assert growing == [[{"CPU": 4.0, "GPU": 1.0}] * 2, []]


def test_a_changing_number_of_workers_leaves_no_room(monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: nodes({"CPU": 100.0}))
    with pytest.raises(ValueError, match=r"leave scaling.min_workers out, or give evaluate=inline"):
        refuse_without_room_beside(Scaling(num_workers=2, min_workers=1), uses_gpu=False)


def test_gpus_of_machines_without_the_labels_do_not_count(monkeypatch):
    machines = [*nodes({"CPU": 4.0, "GPU": 1.0}, zone="gpu"), *nodes({"CPU": 4.0}, zone="cpu")]
    monkeypatch.setattr(ray, "nodes", lambda: machines)
    assert not check_resources(Scaling(num_workers=2, labels={"zone": "cpu"}))
    assert check_resources(Scaling(num_workers=1, labels={"zone": "gpu"}))


def test_who_waits_must_say_for_what():
    settings = {"workload": {"name": "toy"}, "training": {"epochs": 1}, "scaling": {"wait_for_nodes_s": 5}}
    with pytest.raises(ValueError, match="scaling: wait_for_nodes_s needs use_gpu=true or false"):
        check_settings(settings, origin="test")


A100 = {"CPU": 8.0, "GPU": 4.0, "memory": 64 * 2**30, "accelerator_type:A100": 1.0}
SMALL = {"CPU": 4.0, "memory": 8 * 2**30}


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"memory_per_worker": 80.0}, "80 GiB of memory are needed and the cluster has 72"),
        ({"memory_per_worker": 70.0}, "1 workers are to be placed, and the machines have room for 0, 0 on the largest"),
        ({"accelerator_type": "H100"}, "scaling.accelerator_type is H100, and the machines have A100"),
        ({"labels": {"zone": "b"}}, "scaling.labels asks for machines with zone=b, and there is none"),
        ({"cpus_per_worker": 10.0}, "1 workers are to be placed, and the machines have room for 0"),
        (
            {"num_workers": 9, "placement_strategy": "STRICT_PACK"},
            "9 workers are to be placed on one machine, and the machines have room for 12, 8 on the largest",
        ),
        (
            {"num_workers": 3, "placement_strategy": "STRICT_SPREAD"},
            "3 workers are to be placed on machines of their own, and the machines have room for 12",
        ),
    ],
)
def test_what_the_cluster_can_never_give_is_refused_early(monkeypatch, settings, words):
    monkeypatch.setattr(ray, "nodes", lambda: nodes(A100, SMALL, zone="a"))
    with pytest.raises(ValueError, match=re.escape(words)):
        check_resources(Scaling(use_gpu=False, **settings))


@pytest.mark.parametrize(
    "settings, rooms",
    [
        ({}, 12),
        ({"memory_per_worker": 16.0}, 4),
        ({"accelerator_type": "A100"}, 8),
        ({"labels": {"zone": "in(a, c)"}, "num_workers": 5}, 2),
        ({"labels": {"zone": "!a"}}, 1),
        ({"num_workers": 3, "placement_strategy": "STRICT_PACK"}, 3),
        ({"num_workers": 2, "placement_strategy": "STRICT_SPREAD"}, 4),
    ],
)
def test_rooms_are_those_of_machines_that_fit(monkeypatch, settings, rooms):
    monkeypatch.setattr(ray, "nodes", lambda: nodes(A100, SMALL, zone="a"))
    assert count_rooms(Scaling(use_gpu=False, **settings), uses_gpu=False) == rooms


@pytest.mark.parametrize(
    "wanted, fits", [("a", True), ("b", False), ("!a", False), ("!b", True), ("in(a,b)", True), ("!in(b, c)", True)]
)
def test_labels_are_compared_as_ray_does(wanted, fits):
    assert has_labels(Machine({}, {"zone": "a"}), {"zone": wanted}) == fits
