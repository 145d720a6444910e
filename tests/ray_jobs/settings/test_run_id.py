"""What a run is called and where it lies: the same settings find it again, whoever starts it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import check_settings
from tests.settings import problems_of, settings_with

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text("workload: {name: toy}\ntraining: {epochs: 2, optimizer: {learning_rate: 1e-3}}\n")
    return path


def test_equal_settings_have_one_run_id_however_they_are_written(file: Path) -> None:
    run_id = load_experiment(file).run_id
    assert re.fullmatch(r"toy-[0-9a-f]{8}", run_id)
    same = [
        "training.optimizer.learning_rate=0.001",
        "seed=0",
        "training.evaluate_every={epochs: 1}",
        "workload.width=8",
    ]
    assert load_experiment(file, same).run_id == run_id


@pytest.mark.parametrize(
    "override",
    ["seed=1", "training.epochs=3", "training.ema={decay: 0.5}", "workload.width=9", "training.keep_checkpoints=3"],
)
def test_the_run_id_changes_with_seed_training_and_workload(file: Path, override: str) -> None:
    assert load_experiment(file, [override]).run_id != load_experiment(file).run_id


@pytest.mark.parametrize(
    "override",
    [
        *("storage.path=/elsewhere", "storage.cache_path=/elsewhere", "storage.cache_gib=0.5"),
        *("scaling.num_workers=3", "tracking.notes=words", "tracking.tags=[a]"),
    ],
)
def test_the_run_id_does_not_change_with_where_it_runs(file: Path, override: str) -> None:
    assert load_experiment(file, [override]).run_id == load_experiment(file).run_id


@pytest.mark.slow
def test_the_run_id_is_the_same_in_another_process(file: Path) -> None:
    code = "import sys; from tests.conftest import WORKLOADS; from ray_jobs.runs.experiment_loader import *; "
    code += "print(load_experiment(Path(sys.argv[1])).run_id)"
    command = [sys.executable, "-c", code, str(file)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == load_experiment(file).run_id


@pytest.mark.parametrize("name", ["my run", "a.b-c_d", "\u00fcmlaut-\u6a21\u578b", "x" * 128, "2024-01-01"])
def test_a_given_run_name_is_the_run_id_and_the_folder_as_it_is(file: Path, name: str, tmp_path: Path) -> None:
    experiment = load_experiment(file, [f"tracking.run_name='{name}'", f"storage.path={tmp_path}"])
    assert experiment.run_id == name
    assert Path(experiment.folder.path) == tmp_path / "runs" / name


BAD_NAMES = [
    "../x",
    "a/b",
    "",
    ".",
    "..",
    ".hidden",
    "end.",
    " a",
    "a ",
    "a\\b",
    "a\nb",
    "a\0b",
    "c:d",
    "a*",
    "x" * 129,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_run_name_that_is_no_single_folder_is_refused(name: str) -> None:
    [line] = problems_of(settings_with("tracking.run_name", name))
    assert line.startswith("tracking.run_name: ")


def test_a_relative_storage_path_is_resolved_against_the_cwd(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert check_settings(settings_with("storage.path", "out/here"), "x").storage.path == str(tmp_path / "out/here")


def test_a_relative_storage_path_is_refused_in_a_ray_job(monkeypatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    [line] = problems_of(settings_with("storage.path", "out"))
    assert line.startswith("storage.path: 'out' is relative") and "give a full path" in line
    for path in ("/out", "~/out", "s3://bucket/out"):
        check_settings(settings_with("storage.path", path), "x")


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_settings(settings_with("storage.path", "~/runs"), "x").storage.path == str(tmp_path / "runs")


def test_a_storage_uri_with_a_secret_is_refused_unrepeated() -> None:
    """It would stand in the run's settings, its log and its command line."""
    with pytest.raises(ValueError, match=r"storage\.path: ") as caught:
        check_settings(settings_with("storage.path", "s3://someone:hunter2@bucket/runs"), "x")
    assert "hunter2" not in str(caught.value)
