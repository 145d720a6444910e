"""Values of `--set`: text and paths letter by letter, everything else as YAML 1.2 that loses nothing."""

from pathlib import Path

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.settings.experiment import Experiment, check_experiment
from ray_jobs.settings.experiment_file import read_settings

SETTINGS = "workload: {name: flow_matching}\ntraining: {epochs: 2, optimizer: {learning_rate: 1e-3}}\n"
TEXTS = [
    "run #3",
    "a: b",
    "20260101",
    "no",
    "12:30",
    "@home",
    "[a] b",
    "~x",
    "1e3",
    "{",
    "'a' b",
    "it's",
    " end ",
    "a\\b",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "key", ["tracking.run_name", "tracking.notes", "storage.path", "workload.data.path", "workload.data.prepared"]
)
def test_a_text_setting_takes_the_value_letter_by_letter(file: Path, key: str, text: str) -> None:
    settings = read_settings(file, [f"{key}={text}"], Experiment)
    for part in key.split("."):
        settings = settings[part]
    assert settings == text


def test_a_path_with_a_comment_sign_is_the_run_s_place(file: Path, tmp_path: Path) -> None:
    storage = check_experiment(file, [f"storage.path={tmp_path}/run #2"]).storage
    assert storage.path == f"{tmp_path}/run #2"


@pytest.mark.parametrize(("value", "text"), [("'null'", "null"), ('"a # b"', "a # b"), ("'it''s'", "it's")])
def test_quotes_around_the_whole_of_a_text_are_yaml_s(file: Path, value: str, text: str) -> None:
    assert read_settings(file, [f"tracking.notes={value}"], Experiment)["tracking"]["notes"] == text


def test_null_is_none_only_where_none_is_allowed(file: Path) -> None:
    settings = read_settings(file, ["tracking.notes=null", "storage.path=null"], Experiment)
    assert settings["tracking"]["notes"] is None and settings["storage"]["path"] == "null"


@pytest.mark.parametrize("key", ["storage.path", "tracking.run_name"])
def test_a_text_setting_without_a_value_is_refused(file: Path, key: str) -> None:
    with pytest.raises(ValueError, match=f"^--set '{key}=': there is no value"):
        read_settings(file, [f"{key}="], Experiment)


@pytest.mark.parametrize("override", ["training.epochs=5 # five", "tracking.tags=[a, b] # two", "seed=#1"])
def test_what_yaml_would_drop_is_refused_with_advice(file: Path, override: str) -> None:
    with pytest.raises(ValueError, match=r"would be left out as a comment.*in quotes"):
        read_settings(file, [override], Experiment)


def test_other_settings_are_read_as_yaml(file: Path) -> None:
    overrides = ["training.epochs=010", "tracking.tags=[no, 'a #b']", "tracking.log_images=false", "scaling.use_gpu=no"]
    settings = read_settings(file, overrides, Experiment)
    assert settings["training"]["epochs"] == 10
    assert settings["tracking"] == {"tags": ["no", "a #b"], "log_images": False}
    assert settings["scaling"]["use_gpu"] == "no"


def test_a_setting_of_an_unknown_workload_is_read_as_yaml(file: Path) -> None:
    settings = read_settings(file, ["workload.name=nothing", "workload.data.path=7"], Experiment)
    assert settings["workload"] == {"name": "nothing", "data": {"path": 7}}


def test_a_path_that_is_no_utf8_is_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^workload\.data\.path=/caf\\xe9 is no UTF-8; rename that folder, or give a"):
        check_experiment(file, ["workload.data.path=/caf\udce9"])
    (tmp_path / "caf\udce9").mkdir()
    monkeypatch.chdir(tmp_path / "caf\udce9")
    with pytest.raises(ValueError, match=r"workload\.data\.path: .*/caf\\xe9/raw is no UTF-8"):
        check_experiment(file, ["workload.data.source=cifar10", "workload.data.path=raw"])
    with pytest.raises(ValueError, match=r"/caf\\xe9/out is no UTF-8"):
        Folder("out")


@pytest.mark.parametrize("text", ["[a-z]+", "(a) #", "a: b", "1.5", "true", "(\\d+)_"])
def test_text_beside_numbers_is_taken_letter_by_letter(tmp_path: Path, text: str) -> None:
    file = tmp_path / "video.yaml"
    file.write_text("workload: {name: video_prediction}\ntraining: {epochs: 2}\n")
    assert read_settings(file, [f"workload.data.group={text}"], Experiment)["workload"]["data"]["group"] == text
    assert read_settings(file, ["workload.data.group=02"], Experiment)["workload"]["data"]["group"] == 2


def test_a_path_of_blanks_and_a_uri_of_one_slash_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"^--set 'storage\.path=  ': there is no value"):
        read_settings(file, ["storage.path=  "], Experiment)
    with pytest.raises(ValueError, match=r"storage\.path: a URI has two slashes, as in s3://bucket/x"):
        check_experiment(file, ["storage.path=s3:/bucket/x"])
