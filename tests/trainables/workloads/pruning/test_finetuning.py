"""Rounds that go on from the trained weights, by criteria of gradients: what they start from, and a resume."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from tests.trainables.workloads.pruning.digit_rounds import forget_after, make, rows_of, state_at

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pruning rounds")]

CRITERIA = {"refill": "taylor", "rsst": "hessian"}
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Callable[[str], Experiment]:
    """Trains three rounds of four steps once for all tests."""

    @cache
    def train_once(struct: str) -> Experiment:
        storage = tmp_path_factory.mktemp(struct)
        workload = {"struct": struct, "criteria": CRITERIA[struct], "prune_type": "finetune"}
        experiment = make(storage, storage / "digits", training={"models_every": "1 epochs"}, **workload)
        train(experiment)
        return experiment

    return train_once


def ended(experiment: Experiment, step: int) -> tuple[dict[str, Any], Weights]:
    """The task's state and the weights with which a round has ended, before the next one begins."""
    folder = experiment.folder.full(f"models/step_{step:09d}")
    return torch.load(f"{folder}/task.pt", weights_only=True), load_file(f"{folder}/model.safetensors")


def left_of(before: Weights, kept_before: dict[str, list[int]], kept: dict[str, list[int]]) -> Weights:
    """The rows of each block's first convolution and norm, and the columns of its second, that have stayed."""
    left = dict(before)
    for block in (f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3)):
        numbers = kept_before.get(f"{block}.conv1", list(range(len(before[f"{block}.conv1.weight"]))))
        places = [numbers.index(unit) for unit in kept.get(f"{block}.conv1", numbers)]
        for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
            left[f"{block}.{name}"] = before[f"{block}.{name}"][places]
        left[f"{block}.conv2.weight"] = before[f"{block}.conv2.weight"][:, places]
    return left


@pytest.mark.parametrize("struct", CRITERIA)
@pytest.mark.parametrize("step", [4, 8])
def test_a_round_starts_with_what_the_one_before_ended_with(trained, struct, step):
    """The checkpoint at a round's last step is already the next round's start."""
    before_task, before = ended(trained(struct), step)
    task, weights = state_at(trained(struct), step)
    expected = left_of(before, before_task["kept"], task["kept"])
    assert weights.keys() == expected.keys() and not task["snapshot"]
    for name, tensor in expected.items():
        zeroed = task["doomed"]["zeroed"].get(name)
        assert torch.equal(weights[name], tensor if zeroed is None else tensor * ~zeroed), name
    sizes = [sum(tensor.numel() for tensor in each.values()) for each in (before, weights)]
    assert sizes[1] < sizes[0] if struct == "refill" else task["doomed"]["kept"]


@pytest.mark.parametrize("struct", CRITERIA)
def test_all_rounds_by_gradients_remove_units_and_rewind_nothing(trained, struct):
    rows = rows_of(trained(struct))
    sizes = [row["parameters"] for row in rows if "parameters" in row][1::2]
    assert len(sizes) == 3 and sizes[0] > sizes[1] > sizes[2]
    assert not any("test_accuracy_rewound" in row for row in rows)
    assert sum("test_accuracy_after_pruning" in row for row in rows) == 2


@pytest.mark.parametrize("struct", CRITERIA)
def test_a_resume_goes_on_from_the_trained_weights_to_the_bit(trained, struct):
    experiment = trained(struct)
    whole, folder = rows_of(experiment), experiment.folder
    weights = folder.read("checkpoints/step_000000012/model.safetensors")
    for step in (8, 6):
        forget_after(experiment, step)
        folder.delete("final_metrics.json")
        train(experiment)
        assert rows_of(experiment) == whole, step
        assert folder.read("checkpoints/step_000000012/model.safetensors") == weights, step
