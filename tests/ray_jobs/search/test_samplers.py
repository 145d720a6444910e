"""Who chooses the points."""

import math

import pytest

from ray_jobs.search.samplers import OptunaSampler, build_sampler
from tests.ray_jobs.search.conftest import RATE
from trainables.contract.workload_config import SelectionMetric

GOALS = (SelectionMetric(metric="test/mse", mode="min"),)


def all_points(search, count=100):
    sampler = build_sampler(search, GOALS, 0)
    points = []
    while len(points) < count and (point := sampler.choose(len(points))) is not None:
        points.append(point)
    return points


def test_a_grid_holds_every_combination_and_derived_values(search):
    space = {RATE: [0.1, 0.2], "workload.width": [4, 8], "training.batch_size": {"of": "workload.width", "times": 2}}
    points = all_points(search(space=space).search)
    assert [tuple(point.values()) for point in points] == [(0.1, 4, 8), (0.1, 8, 16), (0.2, 4, 8), (0.2, 8, 16)]
    assert list(points[0]) == list(space)


def test_random_points_are_distinct_and_equal_in_every_start(search):
    settings = search(space={RATE: {"loguniform": [1e-4, 1e-1]}}, num_points=8).search
    first, second = all_points(settings, 8), all_points(settings, 8)
    assert first == second
    assert len({point[RATE] for point in first}) == 8


@pytest.mark.parametrize(("method", "count"), [("tpe", 40), ("gp", 20)])
def test_points_come_near_to_the_minimum(search, method, count):
    space = {RATE: {"loguniform": [1e-4, 1.0]}, "workload.width": [4, 8]}
    settings = search(space=space, searcher=method, num_points=count).search
    sampler = build_sampler(settings, GOALS, 0)
    distances = []
    for number in range(count):
        point = sampler.choose(number)
        assert point is not None
        distances.append(abs(math.log10(point[RATE]) + 2))
        sampler.tell(point, [distances[-1] + 0.2 * (point["workload.width"] == 8)])
    assert sum(distances[-10:]) < 0.6 * sum(distances[:10])


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_a_replayed_sampler_continues_as_before(search, method):
    settings = search(space={RATE: {"loguniform": [1e-4, 1.0]}}, searcher=method, num_points=20).search
    steady, chosen = OptunaSampler(settings, GOALS, 0), []
    for number in range(15):
        point = steady.choose(number)
        assert point is not None
        chosen.append(point)
        steady.tell(point, None if number == 3 else [abs(math.log10(point[RATE]) + 2)])
    restarted = OptunaSampler(settings, GOALS, 0)
    for number, point in enumerate(chosen[:14]):
        restarted.tell(point, None if number == 3 else [abs(math.log10(point[RATE]) + 2)])
    assert restarted.choose(14) == chosen[14]


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_several_objectives_go_to_the_sampler(search, method):
    goals = (SelectionMetric(metric="a", mode="min"), SelectionMetric(metric="b", mode="max"))
    settings = search(space={RATE: {"uniform": [0.1, 1.0]}}, searcher=method, num_points=5).search
    sampler = build_sampler(settings, goals, 0)
    for number in range(12):
        point = sampler.choose(number)
        assert point is not None
        sampler.tell(point, [point[RATE], point[RATE]])


def test_lists_and_words_may_be_choices(search):
    space = {"training.optimizer.betas": [[0.9, 0.99], [0.8, 0.9]], "training.optimizer.name": ["adam", "sgd"]}
    settings = search(space=space, searcher="tpe", num_points=4).search
    sampler = build_sampler(settings, GOALS, 0)
    for number in range(4):
        point = sampler.choose(number)
        assert point is not None
        assert point["training.optimizer.betas"] in space["training.optimizer.betas"]
        sampler.tell(point, [0.0])


@pytest.mark.parametrize("method", ["random", "tpe", "gp"])
def test_points_have_the_types_of_their_settings(search, method):
    space = {"workload.width": {"integer": [2, 8], "step": 2}, RATE: {"loguniform": [1e-3, 1e-1]}}
    points = all_points(search(space=space, searcher=method, num_points=6).search, 6)
    assert all(type(point["workload.width"]) is int and point["workload.width"] % 2 == 0 for point in points)
    assert all(type(point[RATE]) is float for point in points)
