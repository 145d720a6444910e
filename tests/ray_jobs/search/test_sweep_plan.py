"""What a search is made of, and what is refused before it starts."""

import pytest
import yaml

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.search.sweep_plan import build_sweep_plan
from tests.ray_jobs.search.conftest import RATE
from tests.test_docs import ROOT
from tests.toy_workload.config import ToyConfig

BUILT_IN = sorted((ROOT / "ray_jobs/experiments/search").glob("*.yaml"))


def test_every_point_and_seed_is_a_run_of_its_own(search):
    setup = search(space={RATE: [0.1, 0.2]}, seeds=[3, 4])
    trials = [trial for point in range(2) for trial in setup.expand(2 * point, point, {RATE: 0.1 * (point + 1)})]
    assert [(trial.number, trial.point, trial.seed) for trial in trials] == [(0, 0, 3), (1, 0, 4), (2, 1, 3), (3, 1, 4)]
    experiment = setup.build(trials[3])
    assert experiment.seed == 4 and experiment.training.optimizer.learning_rate == 0.2
    assert experiment.run_id == f"{setup.name}-0003" and experiment.tracking.group == setup.name
    assert experiment.search is None


def test_the_name_does_not_depend_on_the_number_of_points(search):
    space = {RATE: {"uniform": [0.1, 0.2]}}
    name = search(space=space, num_points=3).name
    assert search(space=space, num_points=9, retries=5, max_concurrent=1).name == name
    assert search(space={RATE: {"uniform": [0.1, 0.3]}}, num_points=3).name != name
    assert search(space=space, num_points=3, training={"epochs": 4}).name != name
    assert search(space=space, num_points=3, tracking={"run_name": "mine"}).name == "mine"


def test_further_experiments_use_shared_sections_of_the_first(tmp_path, search):
    first = search(space={RATE: [0.1]}).experiment.model_dump(mode="json")
    (tmp_path / "other.yaml").write_text(
        yaml.safe_dump(
            {**first, "search": None, "storage": {"path": "/elsewhere"}, "workload": {"name": "toy", "width": 2}}
        )
    )
    (tmp_path / "first.yaml").write_text(
        yaml.safe_dump({**first, "search": {"space": {RATE: [0.1]}, "experiments": ["other.yaml"]}})
    )
    setup = build_sweep_plan(load_experiment(tmp_path / "first.yaml"), "first")
    trials = list(setup.expand(0, 0, {RATE: 0.1}))
    assert [trial.label for trial in trials] == ["first", "other"]
    other = setup.build(trials[1])
    assert other.workload.width == 2 and other.storage.path == first["storage"]["path"]  # pyright: ignore


def test_values_that_cannot_be_compared_are_ranked_apart(search):
    setup = search(space={"workload.num_rows": [64, 128]}, ranks_apart=["workload.num_rows"])
    (trial,) = setup.expand(0, 0, {"workload.num_rows": 128})
    assert trial.label == "toy 128"


PBT = {"name": "pbt", "perturb_every": "1 epochs"}
DECAY = "training.optimizer.weight_decay"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"space": {"training.optimizer.learning_rat": [0.1]}}, "learning_rat"),
        ({"space": {RATE: [0.1, -1.0]}}, "greater than 0"),
        ({"space": {RATE: {"uniform": [0.0, 1.0]}}, "num_points": 2}, "greater than 0"),
        ({"space": {"workload.width": [4, "wide"]}}, "valid integer"),
        ({"space": {"scaling.num_workers": [1, 2]}}, "the same for all trials"),
        ({"space": {"seed": [1, 2]}}, "give `seeds`"),
        ({"space": {RATE: {"uniform": [0.1, 1.0]}}}, "`num_points` is needed by the searcher random"),
        ({"space": {RATE: {"uniform": [0.1, 1.0]}}, "searcher": "grid"}, "is a range"),
        (
            {"space": {RATE: {"of": "workload.widht", "times": 2.0}, "workload.width": [4]}},
            "did you mean 'workload.width'",
        ),
        ({}, "at least one of `space`, `seeds` and `experiments`"),
        ({"seeds": [1, 1]}, "name each seed once"),
        (
            {"space": {RATE: [0.1]}, "scheduler": {**PBT, "mutates": ["workload.width"]}},
            "cannot change in a running trial",
        ),
        ({"space": {RATE: [0.1]}, "scheduler": {"name": "hyperband"}}, "asha"),
        ({"space": {RATE: [0.1]}, "scheduler": {**PBT, "mutates": [RATE]}, "max_concurrent": 1}, "leave it out"),
        (
            {"space": {RATE: [0.1], DECAY: {"of": RATE, "times": 0.1}}, "scheduler": {**PBT, "mutates": [RATE]}},
            f"{DECAY} is `of` {RATE}, which `mutates` names",
        ),
    ],
)
def test_what_is_refused_before_anything_starts(search, settings, words):
    with pytest.raises(ValueError, match=words):
        search(**settings)


def test_a_combination_that_is_no_experiment_is_refused(search):
    with pytest.raises(ValueError, match=r"(?s)the point .*is no valid experiment: .*1 wrong setting.*accumulate"):
        search(space={"training.batch_size": [4, 12], "training.accumulate": [4, 8]}, training={"batch_size": 8})


@pytest.mark.parametrize("file", BUILT_IN, ids=lambda file: file.stem)
def test_every_built_in_search_has_valid_points(file, monkeypatch):
    monkeypatch.setattr("ray_jobs.search.sweep_plan.refuse_bad_inputs", lambda experiment: None)  # there are no data
    assert build_sweep_plan(load_experiment(file), file.stem).num_points > 1


@pytest.mark.parametrize("searcher", ["grid", "random", "tpe"])
def test_values_are_checked_with_their_dependent_dimensions(search, searcher):
    """Each of these batch sizes is smaller than the 20 that the experiment accumulates."""
    derived = {"of": "training.batch_size", "map": {"8": 4, "16": 8}}
    space = {"training.batch_size": [8, 16], "training.accumulate": derived}
    training = {"batch_size": 32, "accumulate": 20}
    assert search(space=space, searcher=searcher, num_points=2, training=training).num_points == 2
    with pytest.raises(ValueError, match="accumulate"):
        search(space={"training.batch_size": [8, 16]}, searcher=searcher, num_points=2, training=training)
    with pytest.raises(ValueError, match=r"`map` has no entry for .* = 24"):
        search(space={**space, "training.batch_size": [8, 24]}, searcher=searcher, num_points=2, training=training)


def test_an_experiment_without_a_search_is_refused(toy):
    with pytest.raises(ValueError, match="has no `search` section"):
        build_sweep_plan(toy(), "toy")


def test_an_unusable_file_in_the_settings_is_refused_before_the_search(search, monkeypatch):
    def refuse(self: object) -> None:
        raise ValueError("weights.pth: is no checkpoint")

    monkeypatch.setattr(ToyConfig, "check_inputs", refuse)
    with pytest.raises(ValueError, match="is no checkpoint"):
        search(space={RATE: [0.1]})
