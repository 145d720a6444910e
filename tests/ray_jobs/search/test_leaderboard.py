"""The ranking of a search."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.search.leaderboard import (
    LeaderboardFiles,
    save_leaderboard,
    summarise_states,
    tabulate_leaderboard,
)
from ray_jobs.search.ranking import best_trial, rank
from ray_jobs.search.searcher import ResumableSearcher
from ray_jobs.search.trials import Trial, Trials
from tests.ray_jobs.search.conftest import RATE

pytestmark = pytest.mark.filterwarnings("default")

TWO = [{"metric": "test/mse", "mode": "min"}, {"metric": "speed", "mode": "max"}]


def format_leaderboard(setup, trials):
    return "\n".join(map(str, tabulate_leaderboard(setup, trials)))


def fill(setup, reached):
    """Trials of as many points as `reached` has lists, one value (or tuple, or None) for each seed."""
    setup.folder.make()
    trials = Trials(setup.folder)
    for point, values in enumerate(reached):
        for trial, value in zip(setup.expand(len(trials), point, {RATE: 0.1 * (point + 1)}), values, strict=True):
            objectives = () if value is None else value if isinstance(value, tuple) else (value,)
            metrics = dict(zip(("test/mse", "speed"), objectives, strict=False))
            state = "failed" if value is None else "finished"
            trials.put(trial.change(state=state, objectives=objectives, metrics=metrics, seconds=10.0))
    return trials


def test_points_are_ranked_by_mean_over_seeds_failures_last(search):
    setup = search(space={RATE: [0.1, 0.2, 0.3, 0.4]}, seeds=[0, 1])
    trials = fill(setup, [(4.0, 2.0), (None, None), (1.0, 3.0), (None, 2.5)])
    entries = rank(setup, trials)
    assert [entry.trials[0].point for entry in entries] == [2, 3, 0, 1]
    assert entries[0].means == (2.0,) and entries[0].deviations == pytest.approx((2**0.5,))
    assert entries[1].means == (2.5,) and entries[1].deviations == (0.0,)
    assert best_trial(entries[0], setup.goals(entries[0].trials[0])[0]).objectives == (1.0,)


def test_what_a_failed_trial_reached_counts_nowhere(search):
    setup = search(space={RATE: {"uniform": [0.1, 0.5]}}, searcher="tpe", num_points=3, seeds=[0, 1])
    trials = fill(setup, [(4.0, 1.0), (0.5, 0.6)])
    for number in (1, 2, 3):
        trials.put(trials[number].change(state="failed"))
    first, second = rank(setup, trials)
    assert first.means == (4.0,) and second.means == ()
    assert best_trial(first, setup.goals(trials[0])[0]) == trials[0]
    told = []
    sampler = SimpleNamespace(tell=lambda point, values: told.append(values), choose=lambda number: None)
    searcher = ResumableSearcher(setup, trials, [], None, sampler, num_points=3, limit=lambda: 1, say=print)  # pyright: ignore
    assert searcher.suggest("any") == searcher.FINISHED and told == [[4.0], None]


def test_invalid_points_are_listed_without_a_value(search):
    space = {"training.batch_size": {"integer": [4, 12]}, "training.accumulate": {"integer": [4, 6]}}
    setup = search(space=space, searcher="tpe", num_points=2, training={"batch_size": 24})
    setup.folder.make()
    trials = Trials(setup.folder)
    for point, values in enumerate(({"training.batch_size": 4, "training.accumulate": 6}, {})):
        (trial,) = setup.expand(point, point, values)
        trials.put(trial.change(state="failed", words="no valid experiment"))
    with pytest.raises(ValueError, match="accumulate"):
        setup.build(trials[0])
    assert "failed" in format_leaderboard(setup, trials)
    trials.put(trials[1].change(state="finished", objectives=(1.0,), metrics={"test/mse": 1.0}))
    save_leaderboard(setup, trials)
    rows = list(csv.DictReader(setup.folder.read("leaderboard.csv").decode().splitlines()))
    assert [(row["rank"], row["trial"], row["words"]) for row in rows] == [
        ("1", "1", trials[1].words),
        ("2", "0", trials[0].words),
    ]


def test_with_two_objectives_the_pareto_front_is_marked(search):
    setup = search(space={RATE: [0.1, 0.2, 0.3]}, objectives=TWO)
    trials = fill(setup, [((1.0, 5.0),), ((2.0, 9.0),), ((2.5, 4.0),)])
    assert [entry.is_efficient for entry in rank(setup, trials)] == [True, True, False]
    assert "1*" in format_leaderboard(setup, trials) and "3*" not in format_leaderboard(setup, trials)


def test_the_front_of_any_points_is_that_of_all_pairs(search):
    setup = search(space={RATE: {"uniform": [0.1, 0.5]}}, num_points=60, searcher="random", objectives=TWO)
    draws = np.random.default_rng(0).integers(0, 6, (60, 2)).astype(float)
    trials = fill(setup, [(tuple(each),) for each in draws.tolist()])
    for entry in rank(setup, trials):
        mse, speed = entry.means
        others = [tuple(each) for each in draws.tolist() if tuple(each) != (mse, speed)]
        assert entry.is_efficient != any(other[0] <= mse and other[1] >= speed for other in others)


def test_the_files_take_a_share_of_the_searchs_time(search, monkeypatch):
    setup = search(space={RATE: [0.1, 0.2]})
    trials = fill(setup, [(2.0,), (1.0,)])
    now, saved, asked = [0.0], [], []

    def save(*arguments: object) -> None:
        saved.append(now[0])
        now[0] += 1.0

    def model(setup: object, trial: Trial) -> str:
        asked.append(trial.number)
        return ""

    monkeypatch.setattr("ray_jobs.search.leaderboard.save_leaderboard", save)
    monkeypatch.setattr("ray_jobs.search.leaderboard._model", model)
    files = LeaderboardFiles(setup, trials, clock=lambda: now[0])
    for _ in range(100):
        files.save_when_due()
        now[0] += 0.5
    assert saved == [0.0, 21.0, 42.0] and asked == [0, 1]


def test_files_list_every_trial_and_best_settings_can_be_trained(search, tmp_path):
    setup = search(space={RATE: [0.1, 0.2]}, workload={"width": 4})
    trials = fill(setup, [(2.0,), (1.0,)])
    save_leaderboard(setup, trials)
    rows = list(csv.DictReader(setup.folder.read("leaderboard.csv").decode().splitlines()))
    assert [(row["rank"], row["trial"], row[RATE], row["test/mse"]) for row in rows] == [
        ("1", "1", "0.2", "1.0"),
        ("2", "0", "0.1", "2.0"),
    ]
    best = load_experiment(tmp_path / "searches" / setup.name / "best.yaml")
    assert best == setup.build(trials[1])


def test_the_table_shows_what_differs_and_how_far_the_search_is(search):
    setup = search(space={RATE: [0.1, 0.2], "workload.width": [4]})
    trials = fill(setup, [(2.0,), (1.0,)])
    table = format_leaderboard(setup, trials)
    assert table.splitlines()[0].split() == ["rank", "trial", "learning_rate", "test/mse", "epoch", "state"]
    assert table.splitlines()[1].split()[:4] == ["1", "1", "0.2", "1"]
    trials.put(trials[1].change(state="running", epoch=0, num_epochs=6))
    assert format_leaderboard(setup, trials).splitlines()[1].split() == ["1", "1", "0.2", "1", "0/6", "running"]
    trials.put(trials[1].change(state="finished"))
    assert summarise_states(trials, 4, 2) == "2 of 4 trials over: 2 finished; about 10s to go"
