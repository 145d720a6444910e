"""What differs from the defaults."""

from ray_jobs.report.record.settings import Change, find_changes, flatten


def test_only_what_differs_is_shown_with_its_default(toy):
    experiment = toy(workload={"width": 4}, training={"batch_size": 8, "ema": {"decay": 0.9}}, seed=3)
    changes = {change.key: change for change in find_changes(experiment.model_dump(mode="json"))}
    assert changes["workload.width"] == Change("workload.width", 4, 8)
    assert changes["training.batch_size"] == Change("training.batch_size", 8, 128)
    assert changes["training.ema.decay"] == Change("training.ema.decay", 0.9, None)
    assert changes["seed"] == Change("seed", 3, 0)
    assert next(iter(changes)) == "workload.width"
    unchanged = {"workload.num_rows", "training.precision", "training.max_steps", "storage.path", "tracking.project"}
    assert not unchanged & changes.keys()


def test_of_a_workload_that_is_not_known_all_is_shown():
    settings = {"workload": {"name": "of-a-later-version", "depth": 3}, "training": {"precision": "bf16", "new": None}}
    assert find_changes(settings) == [
        Change("workload.depth", 3, None),
        Change("training.precision", "bf16", "fp32"),
    ]
    assert find_changes({}) == []


def test_flat_settings_keep_lists_and_empty_sections():
    assert flatten({"a": {"b": [1, 2], "c": {}}, "d": None}) == {"a.b": [1, 2], "a.c": {}, "d": None}
