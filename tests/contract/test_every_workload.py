"""What every workload promises, whichever it is; `pytest tests/contract --workload NAME` checks one of your own."""

import io
import json
import re

import numpy as np
import pyarrow as pa
import torch

from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.contract.row_draws import TorchDraws, numpy_draws, torch_draws
from data_pipelines.prepared.shard_files import write_shard
from data_pipelines.storage.folder import Folder
from ray_jobs.commands.show import count_parameters_and_macs
from tests.contract.conftest import DEVICE
from trainables.contract.evaluation import Evaluator
from trainables.contract.task import Task
from trainables.contract.workload_config import WorkloadConfig
from trainables.engine.data.feed import check_batch
from trainables.engine.process.collectives import ProcessGroup
from trainables.inference.export.graph_files import draw_inputs
from trainables.workloads import build_pipeline, build_task

KEY = re.compile(r"(baseline/)?((train|val|eval|test)/)?[a-z0-9_/+]+")
CPU = torch.device("cpu")


def on_device(batch):
    return {name: tensor.to(DEVICE) for name, tensor in batch.items()}


def draws_for(batch, seed: int) -> TorchDraws:
    return torch_draws(len(next(iter(batch.values()))), seed, DEVICE)


def test_a_new_workload_needs_at_most_eight_members():
    contract = (WorkloadConfig, DataPipeline, Task, Evaluator)
    members = [f"{each.__name__}.{member}" for each in contract for member in sorted(each.__abstractmethods__)]
    assert len(members) <= 8, members


def test_batches_are_flat_dicts_of_tensors(experiment, batch):
    pipeline = build_pipeline(experiment.workload)
    check_batch(batch, pipeline)
    check_batch(pipeline.collate(pipeline.decode(pipeline.make_fake_rows(3, seed=1))), pipeline)


def test_a_batch_may_be_cut_out_of_a_larger_one_where_that_is_said(experiment):
    pipeline = build_pipeline(experiment.workload)
    if pipeline.collates_by_row:
        rows = pipeline.decode(pipeline.make_fake_rows(7, seed=0))
        whole, part = pipeline.collate(rows), pipeline.collate_train(rows.slice(2, 3), numpy_draws(3, 0))
        assert whole.keys() == part.keys() and all(torch.equal(whole[name][2:5], part[name]) for name in part)


def test_the_same_settings_give_the_same_key_and_source(experiment):
    first, second = build_pipeline(experiment.workload), build_pipeline(experiment.workload)
    assert first.key == second.key and first.source == second.source and "/" not in first.key
    assert first.source_hash() == second.source_hash()


def test_fake_rows_have_the_stored_schema_and_pass_the_check(experiment, tmp_path):
    pipeline = build_pipeline(experiment.workload)
    table = pipeline.make_fake_rows(8, seed=0)
    assert isinstance(table, pa.Table) and table.schema == pipeline.schema and table.num_rows == 8
    write_shard(table, Folder(str(tmp_path)), "train-00000.parquet", pipeline.decode(table))
    pipeline.check(table, data_spec=pipeline.data_spec(), file=tmp_path / "train-00000.parquet", first_row=0)


def test_the_loss_is_seeded_and_gives_every_parameter_a_gradient(experiment, batch):
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), seed=0)
    module = task.module.to(DEVICE).train()
    batch = pipeline.augment(on_device(batch), draws=draws_for(batch, 0))  # as in every training step
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        losses.append(task.loss(module, batch, draws=draws_for(batch, 1)).loss)
    assert losses[0].ndim == 0 and torch.isfinite(losses[0]) and torch.equal(*losses)
    losses[0].backward()
    named = task.module.named_parameters()
    without = [name for name, parameter in named if parameter.requires_grad and parameter.grad is None]
    assert not without, f"the loss does not depend on {without}; use them in every step, or freeze them"


def test_the_module_follows_the_seed_not_the_global_random_state(experiment):
    data_spec = build_pipeline(experiment.workload).data_spec()
    before = torch.get_rng_state()
    first, second, other = (build_task(experiment.workload, data_spec, seed).module.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_augmentation_is_seeded_and_leaves_its_input_unchanged(experiment, batch):
    pipeline, batch = build_pipeline(experiment.workload), on_device(batch)
    before = {name: tensor.clone() for name, tensor in batch.items()}
    first, second = (pipeline.augment(batch, draws=draws_for(batch, 3)) for _ in range(2))
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
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), 0)
    inputs = task.example_inputs()
    if inputs is None:  # the default: multiply-accumulates are counted in the loss of one row
        assert count_parameters_and_macs(task, pipeline)[1] >= 0
        return
    with torch.no_grad():
        output = task.module.eval()(*inputs)
    assert len(output) == 1 and all(len(tensor) == 1 for tensor in inputs)


def test_an_export_is_described_as_the_network_is(experiment):
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), 0)
    task.module.eval()
    spec = task.export_spec()
    json.dumps([spec.architecture, spec.preprocessing, spec.decision, spec.sampler, spec.data])
    for graph in spec.graphs:
        inputs = draw_inputs(graph, {})
        with torch.no_grad():
            output = graph.module(*inputs)
        fixed = [size for size in graph.output.shape if isinstance(size, int)]
        assert output.ndim == len(graph.output.shape) and set(fixed) <= set(output.shape)
        assert output.dtype == torch.float32 and graph.output.shape[0] == "batch" and len(output) == len(inputs[0])


def test_the_selection_metric_follows_the_grammar_of_names(experiment):
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
