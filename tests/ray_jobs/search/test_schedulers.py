"""Tune's schedulers from settings, and what they are told of an interrupted search."""

import json
from types import SimpleNamespace

import pytest

from ray_jobs.search.dimension import Dimension
from ray_jobs.search.schedulers import build_scheduler, clip, tell_earlier_results
from ray_jobs.search.trials import Trials
from tests.ray_jobs.search.conftest import RATE
from trainables.search_trial import OBJECTIVE

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def interrupted(search):
    """A search with three trials behind it, whose errors fell to 1, 2 and 3."""

    def build(scheduler):
        setup = search(space={RATE: {"uniform": [0.1, 1.0]}}, num_points=8, scheduler=scheduler)
        setup.folder.make()
        trials = Trials(setup.folder)
        for number in range(3):
            (trial,) = setup.expand(number, number, {RATE: 0.1 * (number + 1)})
            rows = [{"step": 8 * e, "epoch": e, "test/mse": number + 1 + 1 / e} for e in range(1, 5)]
            setup.build(trial).folder.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
            trials.put(trial.change(state="finished"))
        return setup, trials

    return build


class Newcomer:
    """A trial as far as schedulers look at it."""

    trial_id = "0009"


def decide(scheduler, epochs, value):
    """What happens to a new trial with this error at each of these epochs."""
    controller = SimpleNamespace(get_live_trials=list)
    trial = Newcomer()
    scheduler.on_trial_add(controller, trial)
    return [scheduler.on_trial_result(controller, trial, {"epoch": e, OBJECTIVE: -value}) for e in epochs]


@pytest.mark.parametrize(
    "scheduler",
    [{"name": "asha", "grace": "2 epochs", "reduction_factor": 2}, {"name": "median", "grace": "2 epochs"}],
    ids=lambda settings: settings["name"],
)
def test_a_restarted_scheduler_stops_what_the_interrupted_one_would_have_stopped(interrupted, scheduler):
    setup, trials = interrupted(scheduler)
    fresh = build_scheduler(setup.search, 0)
    assert decide(fresh, (1, 2), 9.0) == ["CONTINUE", "CONTINUE"]
    told = build_scheduler(setup.search, 0)
    tell_earlier_results(told, setup, trials)
    assert decide(told, (1, 2), 9.0) == ["CONTINUE", "STOP"]
    told = build_scheduler(setup.search, 0)
    tell_earlier_results(told, setup, trials)
    assert decide(told, (1, 2), 0.5) == ["CONTINUE", "CONTINUE"]


def test_changed_values_stay_in_their_range():
    assert clip(Dimension(uniform=(0.1, 1.0)), 1.2) == 1.0
    assert clip(Dimension(integer=(2, 9), step=3), 6.9) == 8
    assert clip(Dimension(integer=(2, 9), step=3), 40) == 8
    assert clip(Dimension(choice=("a",)), "a") == "a"
