"""What every registered workload promises, whichever it is."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from data_pipelines.prepared.shard_files import write_shard
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.prerequisites import earlier_experiments
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.strict_yaml import read_yaml
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.process.determinism import build_generator
from trainables.workloads import WORKLOADS, build_pipeline, build_task

EXPERIMENTS = Path(__file__).resolve().parents[2] / "ray_jobs/experiments"
KEY = re.compile(r"(baseline/)?((train|val|eval|test)/)?[a-z0-9_/+]+")
CPU = torch.device("cpu")


def demonstrations() -> dict[str, list[Path]]:
    """The files below demo/ by the workload that they train."""
    found: dict[str, list[Path]] = {}
    for file in sorted((EXPERIMENTS / "demo").glob("*.yaml")):
        found.setdefault(read_yaml(file)["workload"]["name"], []).append(file)
    return found


@pytest.fixture(params=[name for name in WORKLOADS if name != "toy"])
def experiment(request) -> Experiment:
    """The workload's demonstration, at its real size."""
    [file] = demonstrations()[request.param]
    return load_experiment(file)


@pytest.fixture
def batch(experiment, tmp_path):
    pipeline = build_pipeline(experiment.workload)
    return pipeline.collate_train(pipeline.decode(pipeline.make_fake_rows(16, seed=0)), np.random.default_rng(0))


def test_its_demo_is_small_and_named_after_the_workload(experiment, request):
    [file] = demonstrations()[request.node.callspec.params["experiment"]]
    assert experiment.workload.name.startswith(file.stem) and experiment.scaling.num_workers == 1


def test_one_command_demonstrates_all_stages_of_a_family():
    files = [file for group in demonstrations().values() for file in group]
    called = {earlier.resolve() for file in files for earlier in load_experiment(file).after}
    for command in (file for file in files if file not in called):
        stages = [load_experiment(command), *earlier_experiments(load_experiment(command))]
        of_family = [name for name in demonstrations() if name.startswith(command.stem)]
        assert sorted(stage.workload.name for stage in stages) == sorted(of_family)


def test_fake_rows_have_the_stored_schema_and_pass_the_check(experiment, tmp_path):
    pipeline = build_pipeline(experiment.workload)
    table = pipeline.make_fake_rows(8, seed=0)
    assert isinstance(table, pa.Table) and table.schema == pipeline.schema and table.num_rows == 8
    write_shard(table, tmp_path / "train-00000.parquet")
    pipeline.check(table, data_spec=pipeline.data_spec(), file=tmp_path / "train-00000.parquet", first_row=0)


def test_the_loss_is_seeded_and_gives_every_parameter_a_gradient(experiment, batch):
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), seed=0)
    batch = pipeline.augment(batch, generator=build_generator(CPU, 0))  # as in every training step
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        losses.append(task.loss(task.module.train(), batch, generator=build_generator(CPU, 1)).loss)
    assert losses[0].ndim == 0 and torch.isfinite(losses[0]) and torch.equal(*losses)
    losses[0].backward()
    assert all(parameter.grad is not None for parameter in task.module.parameters() if parameter.requires_grad)


def test_the_module_follows_the_seed_not_the_global_random_state(experiment):
    data_spec = build_pipeline(experiment.workload).data_spec()
    before = torch.get_rng_state()
    first, second, other = (build_task(experiment.workload, data_spec, seed).module.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_augmentation_is_seeded_and_leaves_its_input_unchanged(experiment, batch):
    pipeline = build_pipeline(experiment.workload)
    before = {name: tensor.clone() for name, tensor in batch.items()}
    first, second = (pipeline.augment(batch, generator=build_generator(CPU, 3)) for _ in range(2))
    assert all(torch.equal(batch[name], before[name]) for name in before)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_task_state_survives_a_file_without_pickles_of_code(experiment):
    data_spec = build_pipeline(experiment.workload).data_spec()
    task = build_task(experiment.workload, data_spec, 0)
    file = io.BytesIO()
    torch.save(task.state_dict(), file)
    file.seek(0)
    build_task(experiment.workload, data_spec, 0).load_state_dict(torch.load(file, weights_only=True))


def test_example_inputs_are_one_sample(experiment):
    task = build_task(experiment.workload, build_pipeline(experiment.workload).data_spec(), 0)
    with torch.no_grad():
        output = task.module.eval()(*task.example_inputs())
    assert len(output) == 1 and all(len(tensor) == 1 for tensor in task.example_inputs())


def test_the_goal_is_a_metric_by_the_grammar_of_names(experiment):
    assert KEY.fullmatch(experiment.workload.selection_metric.metric)


def test_evaluation_options_name_settings_that_exist(experiment):
    settings = experiment.model_dump(mode="json")
    for dotted in experiment.workload.evaluation_options.values():
        value = settings
        for part in dotted.split("."):
            assert part in value, dotted
            value = value[part]


def test_one_process_is_a_group_of_its_own():
    group = ProcessGroup(CPU)
    values = torch.arange(3.0)
    assert torch.equal(group.sum(values), values) and torch.equal(group.gather(values), values)
    assert group.broadcast({"a": 1}) == {"a": 1} and group.gather_values(np.int64(2)) == [2]
