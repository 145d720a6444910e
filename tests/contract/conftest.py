"""The workloads that the contract tests check: all registered ones and the example, or the one of `--workload`."""

import os
import sys
from pathlib import Path

import pytest
import torch

from data_pipelines.contract.row_draws import numpy_draws
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import Experiment, check_settings
from ray_jobs.settings.strict_yaml import read_yaml
from trainables.workloads import WORKLOADS, build_pipeline

EXPERIMENTS = Path(__file__).resolve().parents[2] / "ray_jobs/experiments"
EXAMPLE = "diabetes:DIABETES"
sys.path.append(str(EXPERIMENTS.parents[1] / "examples/diabetes"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def demonstrations() -> dict[str, list[Path]]:
    """The files below demo/ by the workload that they train."""
    found: dict[str, list[Path]] = {}
    for file in sorted((EXPERIMENTS / "demo").glob("*.yaml")):
        found.setdefault(read_yaml(file)["workload"]["name"], []).append(file)
    return found


def load_smallest(name: str) -> Experiment:
    """The workload's demonstration at its real size; of one without, its default settings or the file given."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as the command line does
    if name.endswith((".yaml", ".yml")):
        return load_experiment(Path(name))
    if name in demonstrations():
        [file] = demonstrations()[name]
        return load_experiment(file)
    training = {"epochs": 1, "batch_size": 8, "optimizer": {"learning_rate": 1e-3}}
    return check_settings({"workload": {"name": name}, "training": training}, origin=f"--workload {name}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test of a workload for each of them; `trained_name` in the absence of `--workload` for the example."""
    given = metafunc.config.getoption("--workload")
    everyone = [name for name in WORKLOADS if name != "toy"]
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", [given] if given else [*everyone, EXAMPLE], scope="module")
    if "trained_name" in metafunc.fixturenames:
        metafunc.parametrize("trained_name", [given or EXAMPLE])


@pytest.fixture
def experiment(name: str) -> Experiment:
    """Its smallest experiment."""
    return load_smallest(name)


@pytest.fixture
def batch(experiment):
    """A training batch of 16 fake rows, on the CPU."""
    pipeline = build_pipeline(experiment.workload)
    rows = pipeline.decode(pipeline.make_fake_rows(16, seed=0))
    return pipeline.collate_train(rows, numpy_draws(rows.num_rows, 0))
