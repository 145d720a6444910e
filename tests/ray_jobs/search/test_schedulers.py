"""Tune's schedulers from settings, and what they are told of an interrupted search."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import MedianStoppingRule
from ray.tune.search import Searcher, SearchGenerator

from ray_jobs.search.schedulers import MedianRule, build_scheduler, clip, replay_results
from ray_jobs.search.trials import Trials
from ray_jobs.settings.search_dimension import Dimension
from tests.ray_jobs.search.conftest import RATE
from trainables.ray_train.search_trial import OBJECTIVE

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
            write(setup.run(trial), rows)
            trials.put(trial.change(state="finished"))
        return setup, trials

    return build


def write(run, rows):
    run.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    run.write("events.jsonl", b'{"step": 0, "steps_per_epoch": 8}\n')


def test_population_based_training_takes_trials_of_our_searcher(search):
    setup = search(
        space={RATE: {"uniform": [0.1, 1.0]}},
        num_points=2,
        scheduler={"name": "pbt", "perturb_every": "2 epochs", "mutates": [RATE]},
    )
    scheduler = build_scheduler(setup.search, 0, number_of)
    checkpoints = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=4))
    trial: Any = Live("0000")
    trial.config, trial.experiment_tag = {RATE: 0.5}, ""
    trial.run_metadata = SimpleNamespace(checkpoint_manager=checkpoints)
    controller: Any = SimpleNamespace(search_alg=SearchGenerator(Searcher()))
    scheduler.on_trial_add(controller, trial)
    assert trial.config == {RATE: 0.5}


class Live:
    """A trial as far as schedulers look at it."""

    def __init__(self, trial_id):
        self.trial_id = trial_id


def number_of(trial):
    return int(trial.trial_id)


def decide(scheduler, epochs, value, trial_id="0009"):
    """What happens to a trial with this error at each of these epochs."""
    controller = SimpleNamespace(get_live_trials=list)
    trial = Live(trial_id)
    scheduler.on_trial_add(controller, trial)
    return [scheduler.on_trial_result(controller, trial, {"epoch": e, OBJECTIVE: -value}) for e in epochs]


@pytest.mark.parametrize(
    "scheduler",
    [{"name": "asha", "grace": "2 epochs", "reduction_factor": 2}, {"name": "median", "grace": "2 epochs"}],
    ids=lambda settings: settings["name"],
)
def test_a_restarted_scheduler_stops_the_same_trials(interrupted, scheduler):
    setup, trials = interrupted(scheduler)
    fresh = build_scheduler(setup.search, 0, number_of)
    assert decide(fresh, (1, 2), 9.0) == ["CONTINUE", "CONTINUE"]
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (1, 2), 9.0) == ["CONTINUE", "STOP"]
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (1, 2), 0.5) == ["CONTINUE", "CONTINUE"]


def test_the_median_rule_decides_as_that_of_ray():
    """All trials one report after the other, in random order of their values."""
    random = np.random.default_rng(0)
    settings = {"time_attr": "epoch", "grace_period": 2}
    mine = MedianRule(number_of, min_trials=3, **settings)
    rays = MedianStoppingRule(metric=OBJECTIVE, mode="max", min_samples_required=3, min_time_slice=10**9, **settings)
    controller: Any = SimpleNamespace(get_live_trials=list)
    alive: list[Any] = [Live(f"{number:04d}") for number in range(12)]
    decisions: list[Any] = []
    for trial in alive:
        rays.on_trial_add(controller, trial)
    for epoch in range(1, 8):
        for trial in list(alive):
            result = {"epoch": epoch, OBJECTIVE: float(random.normal())}
            decisions.append(
                (mine.on_trial_result(controller, trial, dict(result)), rays.on_trial_result(controller, trial, result))
            )
            if decisions[-1][1] == "STOP":
                alive.remove(trial)
    assert all(one == other for one, other in decisions) and {one for one, _ in decisions} == {"CONTINUE", "STOP"}


MEDIAN = {"name": "median", "grace": "2 epochs", "min_trials": 3}


def test_the_median_rule_replays_a_trial_that_it_would_stop_now(interrupted):
    """Its results came when there were too few others."""
    setup, trials = interrupted(MEDIAN)
    (trial,) = setup.expand(3, 3, {RATE: 0.4})
    write(setup.run(trial), [{"step": 8 * e, "epoch": e, "test/mse": 9.0} for e in range(1, 5)])
    trials.put(trial.change(state="finished"))
    (invalid,) = setup.expand(4, 4, {RATE: -1.0})
    trials.put(invalid.change(state="failed"))
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (1, 2), 9.5) == ["CONTINUE", "STOP"]


def test_a_resumed_trial_keeps_its_best_and_is_not_its_own_peer(interrupted):
    setup, trials = interrupted(MEDIAN)
    trials.put(trials[2].change(state="running"))
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (3, 4), 9.0, trial_id="0002") == ["CONTINUE", "CONTINUE"]
    setup, trials = interrupted({**MEDIAN, "min_trials": 2})
    trials.put(trials[0].change(state="running"))
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (3, 4), 9.0, trial_id="0000") == ["CONTINUE", "CONTINUE"]


def test_replayed_results_count_completed_epochs_like_live_ones(interrupted):
    """Evaluations in the middle of an epoch; an interrupted trial had passed one when its row says the second."""
    setup, trials = interrupted(MEDIAN)
    for trial in trials:
        write(setup.run(trial), [{"step": step, "epoch": 2, "test/mse": 1.0} for step in (12, 15)])
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (2,), 9.0) == ["CONTINUE"]
    for trial in trials:
        write(setup.run(trial), [{"step": step, "epoch": 2, "test/mse": 1.0} for step in (12, 16)])
    told = build_scheduler(setup.search, 0, number_of)
    replay_results(told, setup, trials)
    assert decide(told, (2,), 9.0) == ["STOP"]


def test_changed_values_stay_in_their_range():
    assert clip(Dimension(uniform=(0.1, 1.0)), 1.2) == 1.0
    assert clip(Dimension(integer=(2, 9), step=3), 6.9) == 8
    assert clip(Dimension(integer=(2, 9), step=3), 40) == 8
    assert clip(Dimension(choice=("a",)), "a") == "a"
