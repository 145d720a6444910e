"""Workloads beside the five: one line in the register, or a package of its own, installed or in the working folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables import workloads
from trainables.workloads import find_workload, workload_names

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples/diabetes"
LINE = (
    '    "toy": Workload("tests.toy_workload.config:ToyConfig", "tests.toy_workload.pipeline:ToyPipeline", '
    '"tests.toy_workload.task:ToyTask"),\n'
)
EXPERIMENT = """
workload: {name: toy, kill_file: KILL}
training: {epochs: 2, batch_size: 8, checkpoint_every_steps: 3, optimizer: {learning_rate: 1e-2}}
scaling: {num_workers: 0}
"""
LOCAL = ("--set", "scaling.num_workers=0", "--set", "scaling.threads_per_worker=1")


def run(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess:
    """A verb in `folder`, with `path` on the Python path, and its output; runs lie in `folder`/out."""
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ray_jobs", *arguments, "--set", f"storage.path={folder}/out", "--json"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def summary_of(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def rows_in(folder: str | Path) -> list[dict]:
    return [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with one more line in the register."""
    copy = tmp_path / "project"
    for name in ("ray_jobs", "trainables", "data_pipelines", "examples", "tests/toy_workload"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests/__init__.py").touch()
    register = copy / "trainables/workloads/__init__.py"
    before = register.read_text()
    opening = "WORKLOADS: dict[str, Workload] = {\n"
    register.write_text(before.replace(opening, opening + LINE))
    assert len(register.read_text().splitlines()) == len(before.splitlines()) + len(LINE.splitlines())
    (copy / "toy.yaml").write_text(EXPERIMENT.replace("KILL", str(tmp_path / "kill")))
    return copy


@pytest.mark.slow
def test_a_workload_added_by_one_line_trains_and_resumes(project, tmp_path):
    shown = summary_of(run(project, "show", "toy.yaml", path=project))
    assert shown["parameters"] == 8 * 8 + 8 + 2 * 8 + 8 + 1
    (tmp_path / "kill").write_text("11")
    assert run(project, "train", "toy.yaml", path=project).returncode == -9
    trained = run(project, "train", "toy.yaml", path=project)
    assert "resumed from" in trained.stdout
    assert [row["step"] for row in rows_in(summary_of(trained)["folder"])] == list(range(1, 17))
    scores = summary_of(run(project, "evaluate", "toy.yaml", path=project))["metrics"]
    assert scores["test/mse"] < scores["baseline/test/mse"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder of packages in which pip has installed the example."""
    source, site = tmp_path_factory.mktemp("source") / "diabetes", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "out", "*.egg-info", "build"))
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=120)
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An empty folder with the example's experiments alone."""
    for name in ("diabetes.yaml", "search.yaml"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("diabetes:DIABETES", marks=pytest.mark.faults), "diabetes"])
def test_an_installed_package_is_named_by_reference_or_entry(installed, elsewhere, name):
    words = ("diabetes.yaml", "--set", f"workload.name={name}", "--set", "training.epochs=3", *LOCAL)
    shown = summary_of(run(elsewhere, "show", *words, path=installed))
    assert shown["parameters"] == 10 * 32 + 32 + 32 + 1 and shown["macs"] == 10 * 32 + 32
    trained = summary_of(run(elsewhere, "train", *words, path=installed))
    assert Path(trained["folder"]).name.startswith("diabetes-")
    assert len(rows_in(trained["folder"])) == 30
    scores = summary_of(run(elsewhere, "evaluate", *words, path=installed))["metrics"]
    assert scores["test/mse"] < scores["baseline/test/mse"]


@pytest.mark.slow
def test_a_package_in_the_working_folder_is_found(tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "out"))
    summary_of(run(folder, "show", "diabetes.yaml"))


def test_a_workload_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "other.yaml").write_text('workload: {name: "nowhere.at_all:HERE"}\ntraining: {epochs: 1}\n')
    done = run(tmp_path, "show", "other.yaml")
    assert done.returncode == 2 and "No module named 'nowhere'" in done.stderr and "package.module:NAME" in done.stderr


@pytest.mark.faults
def test_the_example_resumes_after_a_kill(installed, elsewhere):
    words = ("train", "diabetes.yaml", "--set", "training.checkpoint_every=3 steps", *LOCAL)
    whole = summary_of(run(elsewhere, *words, "--set", "tracking.run_name=whole", path=installed))
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    words = (*words, "--set", "tracking.run_name=killed", "--set", f"storage.path={elsewhere}/out")
    process = subprocess.Popen([sys.executable, "-m", "ray_jobs", *words], cwd=elsewhere, env=environment)
    checkpoints = elsewhere / "out/runs/killed/checkpoints"
    while not (checkpoints.is_dir() and list(checkpoints.glob("step_*"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    resumed = run(elsewhere, *words[:-2], path=installed)
    assert "resumed from" in resumed.stdout
    assert rows_in(summary_of(resumed)["folder"]) == rows_in(whole["folder"])


@pytest.mark.faults
@pytest.mark.ray
def test_the_example_searches_and_reports_on_ray(installed, elsewhere):
    search = summary_of(run(elsewhere, "sweep", "search.yaml", "--set", "training.epochs=2", path=installed))
    runs = sorted(path for path in (elsewhere / "out/runs").iterdir() if path.is_dir())
    assert len(runs) == 4 and all(len(rows_in(folder)) == 20 for folder in runs)
    assert Path(search["folder"], "leaderboard.csv").exists()
    reported = run(elsewhere, "report", str(runs[0]), search["folder"], path=installed)
    assert all(Path(file).stat().st_size > 10_000 for file in summary_of(reported)["reports"])


def test_a_broken_package_hides_no_announced_workload(tmp_path, monkeypatch):
    names = {"broken": "[quintet.workloads]\nnonsense\n", "good": "[quintet.workloads]\nmine = package:NAME\n"}
    for name, text in names.items():
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info/entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    workloads._announced.cache_clear()
    assert "mine" in workload_names()
    workloads._announced.cache_clear()


def test_an_outside_module_that_fails_is_refused_in_words(tmp_path, monkeypatch):
    (tmp_path / "failing_workload.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="cannot be imported: ZeroDivisionError: division by zero; it must be package"):
        find_workload("failing_workload:NAME")
