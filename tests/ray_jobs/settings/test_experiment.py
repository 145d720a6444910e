"""Experiments: each wrong setting is named, types are strict, files extend others, and URIs stay where they may."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import Experiment, check_settings
from tests.settings import problems_of, settings_with

ROOT = Path(__file__).resolve().parents[3]
FLOW = ROOT / "ray_jobs/experiments/flow_matching_cifar10.yaml"
SHIPPED = sorted((ROOT / "ray_jobs" / "experiments").rglob("*.yaml"))


@pytest.mark.parametrize(
    ("dotted", "key", "nearest"),
    [
        ("traning", "traning", "training"),
        ("training.epoch", "training.epoch", "epochs"),
        ("training.optimizer.learning_rat", "training.optimizer.learning_rat", "learning_rate"),
        ("training.ema.dekay", "training.ema.dekay", "decay"),
        ("workload.netwrk", "workload.netwrk", "network"),
        ("workload.network.base_chanels", "workload.network.base_chanels", "base_channels"),
        ("workload.evaluation.sampling.solvr", "workload.evaluation.sampling.solvr", "solver"),
        ("scaling.num_worker", "scaling.num_worker", "num_workers"),
        ("storage.paht", "storage.paht", "path"),
        ("tracking.runname", "tracking.runname", "run_name"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(dotted: str, key: str, nearest: str) -> None:
    [line] = problems_of(settings_with(dotted, 1))
    assert line.startswith(f"{key}: there is no such setting; did you mean {nearest!r}? allowed: ")
    assert nearest in line.partition("allowed: ")[2].split(", ")


def test_an_unknown_key_inside_a_list_gets_a_suggestion() -> None:
    [line] = problems_of(settings_with("workload.pictures.comparisons", [{"solver": "heun"}, {"solvr": "heun"}]))
    assert line.startswith("workload.pictures.comparisons.1.solvr: there is no such setting; did you mean 'solver'?")


@pytest.mark.parametrize(
    ("dotted", "value", "allowed"),
    [
        ("training.epochs", True, "valid integer"),
        ("training.epochs", "3", "valid integer"),
        ("training.epochs", 3.0, "valid integer"),
        ("training.batch_size", 0, "greater than or equal to 1"),
        ("training.optimizer.learning_rate", "1e-3", "valid number"),
        ("training.optimizer.learning_rate", True, "valid number"),
        ("training.optimizer.learning_rate", 0, "greater than 0"),
        ("training.optimizer.learning_rate", float("nan"), "finite number"),
        ("training.optimizer.learning_rate", float("inf"), "finite number"),
        ("training.optimizer.name", "adm", "'adam', 'adamw' or 'sgd'"),
        ("training.optimizer.betas", [0.9, 1.0], "below 1"),
        ("training.compile", 1, "valid boolean"),
        ("training.compile", "yes", "valid boolean"),
        ("training.ema.decay", 1.0, "less than 1"),
        ("training.precision", "fp64", "'fp32', 'bf16' or 'fp16'"),
        ("training.schedule.final_ratio", 1.5, "less than or equal to 1"),
        ("workload.network.base_channels", "128", "valid integer"),
        ("workload.network.dropout", -0.1, "greater than or equal to 0"),
        ("workload.label_drop_ratio", 2, "less than or equal to 1"),
        ("workload.coupling", "optimal", "'independent' or 'optimal_transport'"),
        ("scaling.num_workers", -1, "greater than or equal to 0"),
        ("scaling.use_gpu", "true", "valid boolean"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", True, "valid integer"),
        ("tracking.notes", False, "valid string"),
        ("tracking.run_name", 12, "valid string"),
        ("storage.path", 1, "valid string"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(dotted: str, value: Any, allowed: str) -> None:
    [line] = problems_of(settings_with(dotted, value))
    assert line.startswith(f"{dotted}: ") and allowed in line
    if not isinstance(value, list):
        assert line.endswith(f"(given: {value!r})" + "; put it in quotes" * (allowed == "valid string"))


@pytest.mark.parametrize(
    ("dotted", "value", "words"),
    [
        (
            "search",
            {"scheduler": "asha", "space": {}},
            "its kind by search.scheduler.name: asha, fifo, ",
        ),
        ("search", {"space": 3}, r"search\.space: is a section of settings \(given: 3\)$"),
        ("training", 5, r"training: is a section of settings \(given: 5\); it has epochs, "),
        ("training.optimizer", "sgd", "it has name, learning_rate, .* write training.optimizer.name=..."),
        (
            "training.ema",
            [0.9],
            "a section of settings, no list; it has decay, has_warmup: write training.ema.decay=",
        ),
    ],
)
def test_a_value_in_place_of_a_section_says_what_is_in_it(dotted: str, value: Any, words: str) -> None:
    assert any(re.search(words, line) for line in problems_of(settings_with(dotted, value)))


def test_an_integer_is_a_number() -> None:
    assert check_settings(settings_with("training.optimizer.weight_decay", 1), "x").training.optimizer.weight_decay == 1


def test_all_wrong_settings_are_reported_at_once() -> None:
    settings = settings_with("training.batch_sise", 1)
    settings["workload"]["coupling"] = "x"
    settings["seed"] = "x"
    assert [line.partition(":")[0] for line in problems_of(settings)] == [
        "seed",
        "workload.coupling",
        "training.batch_sise",
    ]


@pytest.mark.parametrize("length", [{}, {"epochs": 1, "max_steps": 1}])
def test_exactly_one_length_of_the_training_is_asked_for(length: dict[str, int]) -> None:
    [line] = problems_of({**settings_with(), "training": length})
    assert line == "training: give exactly one of `epochs` and `max_steps`"


def test_a_missing_section_is_named() -> None:
    assert problems_of({"workload": {"name": "toy"}}) == ["training: Field required"]


@pytest.mark.parametrize("cadence", ["often", "5", "1.5 epochs", "-1 epochs", "five steps", "3 days", ""])
def test_a_cadence_in_other_words_is_refused_with_an_example(cadence: str) -> None:
    [line] = problems_of(settings_with("training.evaluate_every", cadence))
    assert line.startswith("training.evaluate_every: ") and "write for example '5 epochs' or '200 steps'" in line


def test_an_unknown_workload_is_named_with_the_nearest_one() -> None:
    [line] = problems_of({**settings_with(), "workload": {"name": "flow_maching"}})
    assert line.startswith("workload: 'flow_maching' is not a workload; did you mean 'flow_matching'? allowed: ")


@pytest.mark.parametrize("workload", [None, {}, [], "flow_matching", {"name": 3}, {"network": {}}])
def test_a_workload_without_a_name_is_refused_with_known_names(workload: Any) -> None:
    [line] = problems_of({**settings_with(), "workload": workload})
    assert line.startswith("workload: a workload needs its `name`; one of ") and "flow_matching" in line


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_experiment_loads(file: Path) -> None:
    experiment = load_experiment(file)
    assert file.stem.split("_")[0] == experiment.workload.name.split("_")[0]


def test_experiments_are_shipped() -> None:
    assert len(SHIPPED) >= 2


@pytest.mark.slow
def test_loading_experiments_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from pathlib import Path; from ray_jobs.runs.experiment_loader import load_experiment\n"
        "for file in sys.argv[1:]:\n"
        "    load_experiment(Path(file))\n"
        "    heavy = {'torch', 'ray', 'wandb', 'torchvision', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "    assert not heavy, (file, heavy)\n"
    )
    command = [sys.executable, "-c", code, *map(str, SHIPPED)]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_experiment_survives_writing_and_reading(file: Path, tmp_path: Path) -> None:
    experiment = load_experiment(file, ["tracking={tags: [a, '1'], notes: 'on: yes'}", "training.models_every=3 steps"])
    assert reread(experiment, tmp_path) == experiment


def reread(experiment: Experiment, folder: Path) -> Experiment:
    copy = folder / "copy.yaml"
    copy.write_text(yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))
    return load_experiment(copy)


def test_an_experiment_is_frozen(file: Path) -> None:
    experiment = load_experiment(file)
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 1  # pyright: ignore


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ({"name": "edsr", "num_block": 3}, "num_block: there is no such setting; did you mean 'num_blocks'?"),
        ({"name": "edsr", "num_blocks": 0}, "num_blocks: Input should be greater than or equal to 1 (given: 0)"),
        ({"name": "symunet", "num_blocks": 3}, "num_blocks: there is no such setting; "),
    ],
)
def test_a_setting_of_a_union_type_is_named_as_it_is_written(network, line):
    settings = {"workload": {"name": "super_resolution", "network": network}, "training": {"epochs": 1}}
    [problem] = problems_of(settings)
    assert problem.startswith(f"workload.network.{line}")
    if network["name"] == "symunet":
        assert "encoder_heads" in problem and "num_channels" not in problem


def test_a_file_that_extends_another_holds_only_what_differs(file: Path) -> None:
    (file.parent / "sub").mkdir()
    child = file.parent / "sub" / "child.yaml"
    child.write_text("extends: ../experiment.yaml\ntraining: {epochs: 5, optimizer: {weight_decay: 0.5}}\n")
    experiment = load_experiment(child, ["seed=3"])
    optimizer = experiment.training.optimizer
    assert (experiment.training.epochs, optimizer.learning_rate, optimizer.weight_decay) == (5, 1e-3, 0.5)
    assert experiment.seed == 3 and load_experiment(file).training.epochs == 2


def test_a_file_extends_a_built_in_experiment_by_its_name(file: Path) -> None:
    file.write_text("extends: demo/flow_matching\ntraining: {epochs: 5}\n")
    expected = load_experiment(FLOW.parent / "demo/flow_matching.yaml", ["training.epochs=5"])
    assert load_experiment(file) == expected
    file.write_text("extends: demo/flow_macthing\n")
    with pytest.raises(ValueError, match=r"`extends`: .*no built-in experiment.* did you mean 'demo/flow_matching'"):
        load_experiment(file)


@pytest.mark.parametrize("base", ["experiment.yaml", "3", "[a]"])
def test_a_file_that_extends_itself_or_nothing_is_refused(file: Path, base: str) -> None:
    file.write_text(f"extends: {base}\n")
    with pytest.raises(ValueError, match=r"`extends` is .* give another experiment file"):
        load_experiment(file)


@pytest.mark.parametrize("value", ["s3://bucket/x", "gs://bucket/x", "hdfs:///x"])
def test_a_uri_is_no_path_of_a_file_system(file: Path, value: str) -> None:
    for setting in (f"workload.evaluation.inception_weights={value}", f"storage.cache_path={value}"):
        with pytest.raises(ValueError, match="this setting takes a path of a file system, no URI"):
            load_experiment(FLOW, [setting])


def test_raw_data_at_a_uri_stay_there_in_the_settings(file: Path) -> None:
    experiment = load_experiment(FLOW, ["workload.data.path=s3://bucket/x?region=here"])
    assert experiment.model_dump(mode="json")["workload"]["data"]["path"] == "s3://bucket/x?region=here"
    assert experiment.override({"seed": 3}).workload == experiment.workload
    assert experiment.run_id == load_experiment(FLOW).override({"workload.data.path": "/data"}).run_id


@pytest.mark.parametrize("value", ["s3://bucket/x?region=here", "gs://bucket/x", "hdfs:///x"])
def test_prepared_data_may_lie_at_a_uri_that_stays_as_it_is(file: Path, value: str) -> None:
    plain = load_experiment(FLOW)
    experiment = load_experiment(FLOW, [f"workload.data.prepared={value}"])
    assert experiment.model_dump()["workload"]["data"]["prepared"] == value and experiment.run_id == plain.run_id


def test_a_path_of_prepared_data_is_made_absolute(file: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for given, expected in (("x", f"{tmp_path}/x"), ("~/x", "/home/me/x")):
        experiment = load_experiment(FLOW, [f"workload.data.prepared={given}"])
        assert experiment.model_dump()["workload"]["data"]["prepared"] == expected
    with pytest.raises(ValueError, match="takes a path of a file system"):
        load_experiment(FLOW, ["workload.data.prepared=s3:/bucket/x"])


def test_a_secret_in_the_uri_of_prepared_data_is_not_repeated(file: Path) -> None:
    with pytest.raises(ValueError, match="credentials do not belong in a path") as caught:
        load_experiment(FLOW, ["workload.data.prepared=s3://me:hunter2@bucket/x"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:hunter2@bucket/x",
        "s3://hunter2@bucket/x",
        "abfs://files:hunter2@account.dfs.core.windows.net/x",
        "abfs://files@account.dfs.core.windows.net/x?tenant_id=1&client_secret=hunter2",
        "https://account.blob.core.windows.net/files?sv=2022&sig=hunter2",
        "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=hunter2",
        "s3://bucket/x?region=here&SECRET_KEY=hunter2",
    ],
)
@pytest.mark.parametrize("key", ["storage.path", "workload.data.prepared", "workload.data.path"])
def test_a_secret_in_any_part_of_a_uri_is_refused(key: str, uri: str) -> None:
    with pytest.raises(ValueError, match="credentials do not belong in a path") as caught:
        load_experiment(FLOW, [f"{key}={uri}"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://files@account.dfs.core.windows.net/x",
        "gs://anonymous@bucket/x",
        "hdfs://me@host:8020/x",
        "s3://bucket/monkey=1?region=here&scheme=http",
    ],
)
def test_a_name_in_a_uri_is_no_secret(uri: str) -> None:
    assert load_experiment(FLOW, [f"storage.path={uri}"]).storage.path == uri
