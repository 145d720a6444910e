"""Profiles of some steps."""

import gzip
import json

import pytest
import torch

from ray_jobs.runs.training import train
from trainables.contract.training_config import Profile
from trainables.ray_train.worker_main import RunError

pytestmark = pytest.mark.slow


def test_profiled_steps_leave_a_trace_a_table_and_the_same_rows(toy):
    plain, profiled = toy(), toy(training={"profile": {"steps": "3..5"}}, tracking={"run_name": "profiled"})
    assert plain.run.digest == profiled.run.digest
    train(plain)
    train(profiled)
    trace = json.loads(gzip.decompress(profiled.folder.read("profiles/step_000000005.json.gz")))
    steps = [event for event in trace["traceEvents"] if event.get("name", "").startswith("Optimizer.step")]
    assert len(steps) == 3
    table = profiled.folder.read_json("pictures/profile/operations/step_000000005.json")
    assert table["columns"][:2] == ["operation", "calls"] and any("aten::" in row[0] for row in table["rows"])
    assert "profiled the steps 3..5: profiles/step_000000005.json.gz" in profiled.folder.read("train.log").decode()
    assert profiled.folder.read("metrics.jsonl") == plain.folder.read("metrics.jsonl")


def test_steps_that_the_run_does_not_have_are_refused(toy):
    with pytest.raises(RunError, match=r"is 20\.\.25, and the run has 24 steps"):
        train(toy(training={"profile": {"steps": "20..25"}}))


@pytest.mark.parametrize("steps", ["5", "5..3", "0..2", "a..b", "1-2"])
def test_steps_that_are_no_range_are_refused(steps):
    with pytest.raises(ValueError, match=r"write the first and the last step, such as 10\.\.15"):
        Profile(steps=steps)


@pytest.mark.parametrize("precision", ["high", "highest"])
def test_the_precision_of_products_is_set(toy, precision):
    train(toy(training={"matmul_precision": precision}))
    assert torch.get_float32_matmul_precision() == precision
