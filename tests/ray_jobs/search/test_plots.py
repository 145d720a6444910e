"""The picture of two objectives."""

import pytest
import torch

from ray_jobs.search.plots import draw_objectives
from ray_jobs.search.ranking import rank, varying_keys
from ray_jobs.search.trials import Trials
from tests.ray_jobs.search.conftest import RATE

pytestmark = pytest.mark.filterwarnings("default")

OPTIMIZER = "training.optimizer.name"
REACHED = {("sgd", 0.1): (1.0, 5.0), ("adam", 0.1): (2.0, 9.0), ("sgd", 0.2): (3.0, 4.0), ("adam", 0.2): (4.0, 1.0)}


def test_objectives_have_a_line_for_each_word(search, monkeypatch):
    drawn = []

    def draw(title, x_label, y_label, lines):
        drawn.append((x_label, y_label, {line.label: line.points for line in lines}))
        return torch.zeros(3, 4, 4, dtype=torch.uint8)

    monkeypatch.setattr("trainables.pictures.line_charts.draw_chart", draw)
    two = [{"metric": "test/mse", "mode": "min"}, {"metric": "speed", "mode": "max"}]
    setup = search(space={RATE: [0.1, 0.2], OPTIMIZER: ["sgd", "adam"]}, objectives=two)
    setup.folder.make()
    trials = Trials(setup.folder)
    for point, ((name, rate), objectives) in enumerate(REACHED.items()):
        (trial,) = setup.expand(len(trials), point, {RATE: rate, OPTIMIZER: name})
        trials.put(trial.change(state="finished", objectives=objectives, metrics={}))
    picture = draw_objectives(setup, rank(setup, trials), varying_keys(trials))
    assert picture is not None and picture.shape == (4, 4, 3)
    expected = {"adam": [(1.0, 4.0), (9.0, 2.0)], "sgd": [(4.0, 3.0), (5.0, 1.0)]}
    assert drawn == [("speed", "test/mse", expected)]


def test_one_objective_has_no_picture_of_two(search):
    setup = search(space={RATE: [0.1, 0.2]})
    setup.folder.make()
    trials = Trials(setup.folder)
    (trial,) = setup.expand(0, 0, {RATE: 0.1})
    trials.put(trial.change(state="finished", objectives=(1.0,), metrics={}))
    assert draw_objectives(setup, rank(setup, trials), varying_keys(trials)) is None
