"""The experiments of the package by name."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ray_jobs.settings.builtin_experiments import FOLDER, find_experiment, is_experiment, list_builtin_experiments
from ray_jobs.settings.experiment import check_experiment

ROOT = Path(__file__).resolve().parents[3]


def test_every_file_is_listed_with_a_whole_first_line():
    listed = list_builtin_experiments()
    assert sorted(each.file for each in listed) == sorted(FOLDER.rglob("*.yaml"))
    for each in listed:
        assert each.file.read_text().startswith("# ") and each.summary.endswith(".") and len(each.summary) <= 120, each
    assert len({each.summary for each in listed}) == len(listed)


@pytest.mark.parametrize("name", ["demo/pruning", "demo/pruning.yaml", "./demo/pruning", "demo/pruning.yml"])
def test_a_name_is_found_in_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_experiment(name) == FOLDER / "demo/pruning.yaml"
    assert is_experiment(name)


def test_a_file_at_that_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/pruning").mkdir()
    assert find_experiment("demo/pruning") == FOLDER / "demo/pruning.yaml"
    (tmp_path / "demo/pruning.yaml").write_text("")
    assert find_experiment("demo/pruning.yaml") == Path("demo/pruning.yaml")


def test_what_is_neither_is_refused_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        find_experiment("flow_maching")
    assert str(caught.value) == (
        f"flow_maching: there is no such file ({tmp_path}/flow_maching), and no built-in experiment 'flow_maching'; "
        "did you mean 'demo/flow_matching'? `quintet list` names the built-in ones"
    )


@pytest.mark.parametrize("word", ["", "demo", "../experiments/demo/pruning", f"{FOLDER}/demo/pruning", "train"])
def test_other_words_are_no_names(word):
    assert not is_experiment(word)
    with pytest.raises(ValueError, match="there is no such file"):
        find_experiment(word)


def test_files_that_an_experiment_names_are_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = check_experiment(find_experiment("demo/heart_sound"))
    assert experiment.after == (FOLDER / "demo/heart_sound_pretrain.yaml",)
    assert check_experiment(find_experiment("search/flow_matching_demo")).search is not None


@pytest.mark.slow
def test_an_installed_package_has_them_in_an_empty_folder(tmp_path):
    """The packages alone, as a wheel installs them."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    for package in ("ray_jobs", "trainables", "data_pipelines"):
        shutil.copytree(ROOT / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "ray_jobs", "show", "demo/heart_sound", "--set", f"storage.path={tmp_path}/out"]
    ended = subprocess.run(
        command, cwd=empty, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert f"- {site}/ray_jobs/experiments/demo/heart_sound_pretrain.yaml" in ended.stdout
