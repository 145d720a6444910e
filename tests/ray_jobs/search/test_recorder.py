"""What the record keeps of a trial: the evaluation that counts, and its time over all starts."""

from types import SimpleNamespace
from typing import ClassVar

import pytest

from ray_jobs.search import recorder as module
from ray_jobs.search.recorder import SearchRecorder
from ray_jobs.search.trials import Trials
from tests.ray_jobs.search.conftest import RATE

pytestmark = pytest.mark.filterwarnings("default")

TUNED = SimpleNamespace(trial_id="0000", config={RATE: 0.1})


class NoRuns:
    """Open runs whose records take everything."""

    numbers: ClassVar = {"0000": 0}

    def __getitem__(self, number):
        return SimpleNamespace(record=SimpleNamespace(apply=lambda report: None))

    def close(self, number):
        pass


@pytest.fixture
def record(search, monkeypatch):
    """A recorder of one trial, its trials, and the time that it sees."""

    def build(**settings):
        setup = search(space={RATE: [0.1]}, **settings)
        setup.folder.make()
        trials = Trials(setup.folder)
        for trial in setup.expand(0, 0, {RATE: 0.1}):
            trials.put(trial)
        clock = SimpleNamespace(now=0.0)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
        recorder = SearchRecorder(setup, trials, NoRuns(), lambda trial, words: None)  # pyright: ignore
        return recorder, trials, clock

    return build


def tell(recorder, step, evaluation_s=1.0, **metrics):
    report = {
        "is_finished": False,
        "step": step,
        "steps_per_epoch": 8,
        "num_epochs": 3,
        "metrics": {name.replace("_", "/", 1): value for name, value in metrics.items()},
        "speed": {"evaluation_s": evaluation_s},
    }
    recorder.on_trial_result(0, [], TUNED, {"report": report})


def test_all_metrics_of_the_last_evaluation_count(record):
    recorder, trials, _ = record(take="last")
    tell(recorder, 8, test_mse=1.0, test_other=5.0)
    tell(recorder, 12, evaluation_s=0.0, test_mse=1.0, test_other=5.0, train_loss=2.0)
    assert trials[0].metrics == {"test/mse": 1.0, "test/other": 5.0}
    tell(recorder, 16, test_mse=1.0, test_other=7.0)
    assert trials[0].metrics == {"test/mse": 1.0, "test/other": 7.0}


def test_of_equal_best_evaluations_the_first_counts(record):
    recorder, trials, _ = record()
    tell(recorder, 8, test_mse=1.0, test_other=5.0)
    tell(recorder, 16, test_mse=1.0, test_other=7.0)
    assert trials[0].metrics == {"test/mse": 1.0, "test/other": 5.0} and trials[0].step == 16


def test_seconds_are_of_all_starts_without_what_lies_between(record):
    recorder, trials, clock = record()
    recorder.on_trial_start(0, [], TUNED)
    clock.now = 10.0
    tell(recorder, 8, test_mse=1.0)
    clock.now = 14.0
    recorder.on_trial_recover(0, [], TUNED)
    assert trials[0].seconds == 14.0
    clock.now = 20.0
    recorder.on_trial_start(0, [], TUNED)
    clock.now = 25.0
    tell(recorder, 16, test_mse=2.0)
    clock.now = 40.0  # it was paused
    recorder.on_trial_start(0, [], TUNED)
    clock.now = 41.0
    recorder.on_trial_complete(0, [], TUNED)
    assert trials[0].seconds == 20.0
