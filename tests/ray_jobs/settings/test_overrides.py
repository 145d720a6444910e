"""Overrides of single settings: order, types, other kinds, and words for those that cannot be."""

import re
from pathlib import Path

import pytest
import yaml

from ray_jobs.runs.experiment_loader import load_experiment
from tests.settings import settings_with


def test_a_later_override_wins_over_the_file_and_earlier_ones(file: Path) -> None:
    assert load_experiment(file).training.epochs == 2
    assert load_experiment(file, ["training.epochs=5"]).training.epochs == 5
    assert load_experiment(file, ["training.epochs=5", "training.epochs=7"]).training.epochs == 7
    whole = load_experiment(file, ["training.epochs=5", "training={max_steps: 3}"]).training
    assert whole.epochs is None and whole.max_steps == 3


def test_an_override_changes_one_setting_alone(file: Path) -> None:
    before, after = load_experiment(file), load_experiment(file, ["training.optimizer.name=sgd"])
    assert after.training.optimizer.name == "sgd"
    assert after.training.optimizer.learning_rate == 1e-3
    assert after.model_dump(exclude={"training"}) == before.model_dump(exclude={"training"})


def test_another_network_drops_what_only_the_one_before_knows(tmp_path: Path, caplog) -> None:
    network = {"name": "edsr", "num_blocks": 2, "num_channels": 8}
    base = {**settings_with("workload", {"name": "super_resolution", "network": network})}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nworkload: {network: {name: symunet, width: 8}}\n")
    words = "workload.network.name is symunet, which has no num_blocks, num_channels: left out"
    changes = ["workload.network.width=8", "workload.network.name=symunet"]
    for file, more in (("base.yaml", changes), ("more.yaml", [])):
        found = load_experiment(tmp_path / file, more)
        assert found.workload.network.width == 8 and words in caplog.text  # pyright: ignore[reportAttributeAccessIssue]
        caplog.clear()
    with pytest.raises(ValueError, match=r"workload\.network\.num_blocks: there is no such setting"):
        load_experiment(tmp_path / "base.yaml", ["workload.network.num_blocks=3", "workload.network.name=symunet"])
    caplog.clear()
    load_experiment(tmp_path / "base.yaml", ["workload.network.name=edsr"])
    assert not caplog.text


def test_a_setting_of_the_default_kind_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(settings_with("workload", {"name": "flow_matching"})))
    straight = load_experiment(tmp_path / "base.yaml", ["workload.path.sigma_min=0.1"]).workload
    assert straight.path.sigma_min == 0.1  # pyright: ignore[reportAttributeAccessIssue]
    changes = ["workload.path.sigma_min=0.1", "workload.path.name=variance_preserving", "workload.path.beta_max=18"]
    with pytest.raises(ValueError, match=r"path\.sigma_min: there is no such setting; did you mean .beta_min.\?"):
        load_experiment(tmp_path / "base.yaml", changes)
    with pytest.raises(ValueError, match=r"workload\.path\.sigma: there is no such setting; .*allowed: .*sigma_min"):
        load_experiment(tmp_path / "base.yaml", ["workload.path.sigma=0.1"])


def test_an_override_is_typed_as_in_yaml(file: Path) -> None:
    overrides = [
        "training.optimizer.learning_rate=1e-4",
        "training.compile=true",
        "training.ema={decay: 0.5}",
        "training.evaluate_every=null",
        "training.pictures_every=20 steps",
        "tracking.tags=[a, b=c]",
        "tracking.notes=x=y",
    ]
    experiment = load_experiment(file, overrides)
    training = experiment.training
    assert training.optimizer.learning_rate == 1e-4 and training.compile is True
    assert training.ema is not None and training.ema.decay == 0.5
    assert training.evaluate_every is None
    assert training.pictures_every is not None and training.pictures_every.unit == "steps"
    assert experiment.tracking.tags == ("a", "b=c") and experiment.tracking.notes == "x=y"


@pytest.mark.parametrize(
    "override", ["training.epochs", "=5", ".epochs=5", "training.=5", "training..epochs=5", "a b=1", ""]
)
def test_an_override_without_assignment_gets_an_example(file: Path, override: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--set {override!r}: write it as section.field=value")):
        load_experiment(file, [override])


@pytest.mark.parametrize("value", ["[1", "!!python/name:os.system", "&a 1", "{a: 1, a: 2}"])
def test_an_override_whose_value_is_no_plain_yaml_is_named(file: Path, value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--set 'training.epochs={value}': line 1: ")):
        load_experiment(file, [f"training.epochs={value}"])


def test_an_override_of_an_unknown_setting_gets_a_suggestion(file: Path) -> None:
    with pytest.raises(ValueError, match=r"training\.epoch: there is no such setting; did you mean 'epochs'"):
        load_experiment(file, ["training.epoch=5"])


def test_an_override_of_a_run_gives_a_checked_copy(file: Path) -> None:
    run = load_experiment(file).run
    longer = run.override({"training.epochs": 9, "workload.width": 3})
    assert longer.training.epochs == 9 and longer.workload.model_dump()["width"] == 3
    assert run.training.epochs == 2 and longer.digest != run.digest
    with pytest.raises(ValueError):
        run.override({"training.epochs": "9"})
