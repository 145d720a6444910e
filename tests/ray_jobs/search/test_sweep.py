"""What the sweep verb refuses, and what it sets aside, before any trial."""

from dataclasses import replace

import pytest
from ray import tune

from ray_jobs.search import sweep as module
from ray_jobs.search.sweep import sweep
from ray_jobs.search.trials import Trials
from ray_jobs.settings.strict_yaml import dump_yaml
from tests.ray_jobs.search.conftest import RATE
from trainables.run import Scaling

pytestmark = pytest.mark.filterwarnings("default")


class GoesOnError(Exception):
    """Nothing was refused."""


@pytest.fixture
def mine(search, monkeypatch):
    """Builds searches of one name, of which one has begun."""

    def go_on(*arguments):
        raise GoesOnError

    def build(*, space=None, **settings):
        space = space or {RATE: {"uniform": [0.1, 0.2]}}
        return search(space=space, num_points=2, tracking={"run_name": "mine"}, **settings)

    monkeypatch.setattr(module, "_measure", go_on)
    begun = build()
    begun.folder.write("search.yaml", dump_yaml(begun.experiment.model_dump(mode="json")).encode())
    (trial,) = begun.expand(0, 0, {RATE: 0.1})
    Trials(begun.folder).put(trial.change(state="finished"))
    (begun.runs / "mine-0000").write("final_metrics.json", b"{}")
    return build


def test_other_settings_under_the_same_name_are_refused(mine):
    changed = mine(space={RATE: {"uniform": [0.1, 0.3]}}, training={"epochs": 4}, take="last")
    with pytest.raises(ValueError) as caught:
        sweep(changed)
    first_line, *lines = str(caught.value).splitlines()
    assert first_line.startswith(f"{changed.folder} holds a search with other settings; ")
    assert "tracking.run_name" in first_line and "--new" in first_line
    assert lines == [
        f"  search.space.{RATE}.uniform: [0.1, 0.2] there, [0.1, 0.3] here",
        "  search.take: 'best' there, 'last' here",
        "  training.epochs: 3 there, 4 here",
    ]


def test_an_edited_further_experiment_is_refused_like_the_first(mine):
    """Otherwise the trials that are left would train with other settings than those that are done."""

    def with_further(num_epochs: int):
        setup = mine()
        other = setup.bases[0].override({"training.epochs": num_epochs})
        return replace(setup, bases=(*setup.bases, other), labels=("toy", "other"))

    begun = with_further(5)
    begun.folder.write("search.yaml", dump_yaml(begun.settings).encode())
    with pytest.raises(GoesOnError):
        sweep(with_further(5))
    with pytest.raises(ValueError, match="holds a search with other settings") as caught:
        sweep(with_further(6))
    assert str(caught.value).splitlines()[1:] == ["  further.other.training.epochs: 5 there, 6 here"]


def test_more_points_and_other_places_are_no_other_settings(mine):
    with pytest.raises(GoesOnError):
        sweep(mine(retries=5, max_concurrent=1, scaling={"num_workers": 2}))


def test_new_sets_aside_the_runs_of_all_trials_too(mine):
    changed = mine(training={"epochs": 4})
    with pytest.raises(GoesOnError):
        sweep(changed, is_new=True)
    assert (changed.runs / "mine-0000").names() == ["earlier"]
    assert changed.folder.names("earlier/001") == ["search.yaml", "trials.jsonl"]


def test_a_trial_of_one_worker_holds_what_the_worker_asks_for():
    asked = {"memory_per_worker": 2.0, "accelerator_type": "T4", "labels": {"zone": "a"}}
    bundle = {"CPU": 1.0, "GPU": 1.0, "memory": 2.0 * 2**30, "accelerator_type:T4": 0.001}
    expected = tune.PlacementGroupFactory([bundle], bundle_label_selector=[{"zone": "a"}])
    found = module.trial_resources(Scaling(num_workers=1, **asked), uses_gpu=True)
    assert found == expected != tune.PlacementGroupFactory([bundle])
    assert module.trial_resources(Scaling(num_workers=0), uses_gpu=False).bundles == [{"CPU": 1.0}]
