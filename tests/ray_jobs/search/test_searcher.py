"""What Tune is given of a search: names that travel, trials in their order, an end."""

from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from ray_jobs.search.searcher import ResumableSearcher, TrialNames
from ray_jobs.search.trials import Trials
from tests.ray_jobs.search.conftest import RATE

pytestmark = pytest.mark.filterwarnings("default")


def test_a_copy_of_the_names_knows_the_newest_trial_and_stays_small():
    names = TrialNames()
    for number in range(5000):
        names.add(f"id{number}", f"run-{number:04d}")
    copy = cloudpickle.loads(cloudpickle.dumps(names))
    newest: Any = SimpleNamespace(trial_id="id4999")
    assert copy(newest) == names(newest) == "run-4999"
    assert len(cloudpickle.dumps(names)) < 1000


class Runs(dict):
    """Open runs that need no data."""

    numbers: dict[str, int]

    def final_metrics(self, trial):
        return None

    def open(self, trial):
        self[trial.number] = SimpleNamespace(plan=f"plan {trial.number}")


def test_trials_come_in_order_when_there_is_room_and_then_end(search):
    setup = search(space={RATE: [0.1, 0.2, 0.3]})
    setup.folder.make()
    runs, rows = Runs(), SimpleNamespace(find=lambda plan: None)
    runs.numbers = {}
    points = [{RATE: 0.1}, {RATE: 0.2}, {RATE: 0.3}]
    sampler = SimpleNamespace(choose=lambda number: points[number], tell=lambda point, values: None)
    made: Any = (setup, Trials(setup.folder), runs, rows, sampler)
    searcher = ResumableSearcher(*made, num_points=3, limit=lambda: 2, say=print)
    first: Any = searcher.suggest("a")
    assert first[RATE] == 0.1 and first["plan"] == "plan 0"
    assert searcher.suggest("b")[RATE] == 0.2  # pyright: ignore
    assert searcher.suggest("c") is None and runs.numbers == {"a": 0, "b": 1}
    runs.pop(0)
    assert searcher.suggest("d")[RATE] == 0.3  # pyright: ignore
    trial: Any = SimpleNamespace(trial_id="d")
    assert searcher.names(trial) == setup.run_name(Trials(setup.folder)[2])
    runs.clear()
    assert searcher.suggest("e") == searcher.FINISHED == searcher.suggest("f")
