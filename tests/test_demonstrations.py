"""Every registered workload has a demonstration: a small experiment that one command trains."""

import pytest

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.prerequisites import earlier_experiments
from tests.contract.conftest import demonstrations
from trainables.workloads import WORKLOADS


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name != "toy"])
def test_its_demo_is_small_and_named_after_the_workload(name):
    [file] = demonstrations()[name]
    experiment = load_experiment(file)
    assert experiment.workload.name.startswith(file.stem) and experiment.scaling.num_workers == 1


def test_one_command_demonstrates_all_stages_of_a_family():
    files = [file for group in demonstrations().values() for file in group]
    called = {earlier.resolve() for file in files for earlier in load_experiment(file).after}
    for command in (file for file in files if file not in called):
        stages = [load_experiment(command), *earlier_experiments(load_experiment(command))]
        of_family = [name for name in demonstrations() if name.startswith(command.stem)]
        assert sorted(stage.workload.name for stage in stages) == sorted(of_family)
