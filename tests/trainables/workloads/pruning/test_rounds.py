"""Whole trainings on the embedded digits: what is pruned, rewound, recorded, and resumed."""

import csv
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score

from data_pipelines.images.sources import DigitsSource
from data_pipelines.storage.folder import Folder
from ray_jobs.cli import main
from ray_jobs.commands.evaluate import evaluate
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment
from tests.trainables.workloads.pruning.digit_rounds import forget_after, make, rows_of, state_at
from trainables.workloads.pruning.export import load_exported
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import find_groups, measure_size
from trainables.workloads.pruning.selection.physical_removal import slice_state

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pruning rounds")]

STEPS_PER_ROUND = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "digits"


@pytest.fixture
def build(tmp_path, data):
    """Three rounds of two epochs of two steps each."""
    return partial(make, tmp_path, data)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data) -> Callable[[str], Experiment]:
    """Trains a structure once, with a model of each epoch, for all tests that only look at the run."""

    @cache
    def train_once(struct: str) -> Experiment:
        experiment = make(tmp_path_factory.mktemp(struct), data, training={"models_every": "1 epochs"}, struct=struct)
        train(experiment)
        return experiment

    return train_once


def blueprint_of(task: dict[str, Any], arch: str = "res20s") -> Blueprint:
    return Blueprint(arch, 1, 8, 8, 10).keeping(task["kept"])


@pytest.mark.parametrize("struct", ["refill", "rsst"])
def test_three_rounds_shrink_the_network_and_keep_rewind_weights(trained, struct):
    experiment = trained(struct)
    final = experiment.folder.read_json("final_metrics.json")["metrics"]
    start, _ = state_at(experiment, 1)
    sizes = []
    for step in range(1, 3 * STEPS_PER_ROUND + 1):
        task, weights = state_at(experiment, step)
        assert all(torch.equal(task["snapshot"][name], tensor) for name, tensor in start["snapshot"].items())
        blueprint = blueprint_of(task)
        assert sum(tensor.numel() for tensor in weights.values()) > 0
        assert weights["layer1.0.conv1.weight"].shape[0] == blueprint.count("layer1.0.conv1", 16)
        sizes.append(measure_size(blueprint).parameters)
        for name, mask in task["doomed"]["zeroed"].items():
            assert mask.any() and not weights[name][mask].any()
    # the shapes change with the last step of a round: at its end (rsst) or for the next one (refill)
    changes = [step + 1 for step in range(1, len(sizes)) if sizes[step] < sizes[step - 1]]
    assert changes == ([4, 8] if struct == "refill" else [8, 12])
    assert sizes[-1] == final["parameters"] < 0.75 * sizes[0]
    assert final["macs"] == measure_size(blueprint_of(state_at(experiment, 12)[0])).macs


@pytest.mark.parametrize("struct", [pytest.param("refill", marks=pytest.mark.faults), "rsst"])
def test_a_round_starts_from_the_rewind_point(trained, struct):
    """The checkpoint at a round's last step is already the next round's start."""
    experiment = trained(struct)
    for step in (4, 8):
        task, weights = state_at(experiment, step)
        blueprint = blueprint_of(task)
        dense = blueprint.dense()
        expected = slice_state(task["snapshot"], find_groups(dense), {n: list(u) for n, u in blueprint.kept.items()})
        for name, tensor in expected.items():
            zeroed = task["doomed"]["zeroed"].get(name)
            assert torch.equal(weights[name], tensor if zeroed is None else tensor * ~zeroed), name


def test_the_rewind_point_can_be_a_later_epoch(build):
    experiment = build(prune_type="rewind_lt", rewind_epoch=1)
    train(experiment)
    _, weights = state_at(experiment, 2)  # the last step of epoch 1
    for step in (2, 5, 12):
        snapshot = state_at(experiment, step)[0]["snapshot"]
        assert all(torch.equal(snapshot[name], weights[name]) for name in weights)
    before = state_at(experiment, 1)[0]["snapshot"]
    assert not torch.equal(before["conv1.weight"], weights["conv1.weight"])


def test_the_record_has_the_names_and_numbers_of_the_contract(trained):
    rows = rows_of(trained("refill"))
    assert all({"loss", "top1_acc", "reg_lambd"} <= row.keys() for row in rows)
    evaluated = [row for row in rows if "val_accuracy" in row]
    assert [row["step"] for row in evaluated] == [2, 4, 6, 8, 10, 12]
    names = {"accuracy", "val_accuracy", "test_accuracy", "remain_weight", "prune_times", "parameters", "macs"}
    assert all(names | {"baseline/val_accuracy", "baseline/test_accuracy"} <= row.keys() for row in evaluated)
    assert [row["prune_times"] for row in evaluated] == [0, 0, 1, 1, 2, 2]
    after = {row["step"]: row["remain_weight_after"] for row in rows if "remain_weight_after" in row}
    assert list(after) == [4, 8] and after[4] == pytest.approx(70.0, abs=0.01)
    remaining = [row["remain_weight"] for row in evaluated]
    assert remaining[0] == remaining[1] == 100 and after[8] == pytest.approx(0.7 * remaining[2], abs=0.01)
    assert evaluated[2]["structured_sparsity"] == pytest.approx(100 - remaining[2])
    mean = (rows[2]["top1_acc"] + rows[3]["top1_acc"]) / 2
    assert rows[3]["accuracy"] == pytest.approx(mean)
    assert all("test_accuracy_after_pruning" in rows[step - 1] for step in (4, 8))
    best = max(evaluated[:2], key=lambda row: row["val_accuracy"])
    assert evaluated[-1]["dense_test_accuracy"] == best["test_accuracy"]


def test_lambda_grows_in_each_round_and_marked_weights_shrink(build):
    experiment = build(regularisation={"schedule": "x", "reg_granularity_prune": 30.0, "hold_ratio": 0.0})
    train(experiment)
    rows = rows_of(experiment)
    curve = [row["reg_lambd"] for row in rows]
    assert curve == pytest.approx([0.0] * 4 + [7.5, 15.0, 22.5, 30.0] * 2)
    ends = [row for row in rows if "doomed_norm_ratio" in row]
    assert [row["step"] for row in ends] == [8, 12] and all(row["doomed_norm_ratio"] < 0.5 for row in ends)
    assert all(row["test_accuracy_after_pruning"] == row["test_accuracy"] for row in ends)
    assert rows[4]["loss"] > rows[4]["train/cross_entropy"] and rows[0]["loss"] == rows[0]["train/cross_entropy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("struct", "training", "workload"),
    [
        pytest.param("refill", {"ema": {"decay": 0.5}}, {"prunes_residual": True}, marks=pytest.mark.faults),
        pytest.param("rsst", {"clip_norm": 0.5, "accumulate": 2}, {"criteria": "saliency"}, marks=pytest.mark.faults),
    ],
)
def test_a_resume_in_any_round_and_step_is_bit_exact(build, struct, training, workload):
    experiment = build(struct=struct, training=training, **workload)
    train(experiment)
    whole, folder = rows_of(experiment), experiment.folder
    last = "checkpoints/step_000000012"
    files = [f"{last}/{name}.safetensors" for name in (("model", "ema") if "ema" in training else ("model",))]
    weights = [folder.read(file) for file in files]
    for step in (11, 8, 6, 4, 3):
        forget_after(experiment, step)
        folder.delete("final_metrics.json")
        train(experiment)
        assert rows_of(experiment) == whole, step
        assert [folder.read(file) for file in files] == weights, step


@pytest.mark.parametrize(
    ("criteria", "target", "sorting_mode"),
    [
        ("magnitude", "both", "global"),
        pytest.param("remain", "head", "layer-wise", marks=pytest.mark.faults),
        pytest.param("l2", "mlp", "layer-wise", marks=pytest.mark.faults),
    ],
)
def test_a_vit_loses_heads_and_neurons_as_its_target_says(build, criteria, target, sorting_mode):
    experiment = build(
        training={"epochs": 1, "checkpoint_every_steps": None},
        arch="vit_tiny", criteria=criteria, target=target, sorting_mode=sorting_mode, struct="refill", rate=0.4,
    )  # fmt: skip
    train(experiment)
    task, weights = state_at(experiment, 6)
    groups = {group.name: group.num_units for group in find_groups(blueprint_of(task, "vit_tiny"))}
    heads = [count for name, count in groups.items() if name.endswith("attn")]
    neurons = [count for name, count in groups.items() if name.endswith("mlp")]
    # 3 heads and 384 neurons, pruned twice by 0.4: 1.08 and 138.24 are left
    assert sum(heads) == (27 if target == "mlp" else 9)
    assert sum(neurons) == (9 * 384 if target == "head" else 9 * 138)
    assert weights["blocks.0.attn.qkv.weight"].shape == (3 * 64 * groups["blocks.0.attn"], 192)
    if sorting_mode == "global":
        assert len(set(neurons)) > 1 and min(heads) == 1


def test_saved_models_are_evaluated_without_their_marked_units(trained):
    experiment = trained("rsst")
    rows = {row["step"]: row for row in rows_of(experiment)}
    for step in (2, 6, 12):
        found = evaluate(experiment, experiment.folder.full(f"models/step_{step:09d}"), {})
        for name in ("val_accuracy", "test_accuracy", "parameters", "macs"):
            assert found["metrics"][name] == rows[step][name], (step, name)
    with Path(found["predictions"]).open(newline="") as file:
        table = list(csv.DictReader(file))
    for split in ("val", "test"):
        told = [row for row in table if row["split"] == split]
        accuracy = accuracy_score([row["truth"] for row in told], [row["class"] for row in told])
        assert 100 * accuracy == pytest.approx(found["metrics"][f"{split}_accuracy"], rel=1e-12)
    doomed = torch.load(Folder(experiment.folder.full("models/step_000000006")).full("task.pt"), weights_only=True)
    assert doomed["doomed"]["kept"] and rows[6]["parameters"] < rows[2]["parameters"]


def test_tables_and_pictures_are_made_at_the_end_of_each_round(trained):
    experiment = trained("rsst")
    folder = experiment.folder
    assert folder.names("pictures/eval") == ["accuracy_versus_size", "lambda_curve", "layer_sparsity", "rounds"]
    for key in ("rounds", "layer_sparsity"):
        steps = [name for name in folder.names(f"pictures/eval/{key}") if name.endswith(".json")]
        assert steps == [f"step_{step:09d}.json" for step in (4, 8, 12)]
    (row,) = folder.read_json("pictures/eval/rounds/step_000000012.json")["rows"]
    task, weights = state_at(experiment, 12)
    assert row[0] == 2 and row[1] == pytest.approx(49.0) and row[4] == measure_size(blueprint_of(task)).parameters
    layers = folder.read_json("pictures/eval/layer_sparsity/step_000000012.json")["rows"]
    table = {layer: (sparsity, gone, total) for _, layer, sparsity, gone, total in layers}
    for name in ("layer1.0.conv1.weight", "layer3.2.conv2.weight"):
        dense = task["snapshot"][name].numel()
        gone = dense - weights[name].numel()
        assert table[name] == (pytest.approx(100 * gone / dense), gone, dense)
    total = sum(gone for name, (_, gone, _) in table.items() if name != "total")
    assert table["total"][1] == total
    curves = [name for name in folder.names("pictures/eval/lambda_curve") if name.endswith(".png")]
    assert curves == [f"step_{step:09d}.png" for step in (6, 8, 10, 12)]


def test_pretrained_weights_are_the_start_and_the_rewind_point(build, tmp_path):
    first = build("first", pruning_times=1)
    train(first)
    given = load_file(first.folder.full("models/step_000000004/model.safetensors"))
    torch.save({"state_dict": given}, tmp_path / "weights.pth")
    pretrained = str(tmp_path / "weights.pth")
    second = build("second", {"ema": {"decay": 0.9}}, struct="refill", pretrained=pretrained, prune_type="pt")
    train(second)
    snapshot = state_at(second, 12)[0]["snapshot"]
    assert torch.equal(snapshot["layer2.1.conv2.weight"], given["layer2.1.conv2.weight"])
    # the average starts from them, not from the random weights that they replaced
    averaged = load_file(second.folder.full("checkpoints/step_000000001/ema.safetensors"))
    assert (averaged["conv1.weight"] - given["conv1.weight"]).abs().max() < 0.01
    assert "tensors taken from" in second.folder.read("train.log").decode()


def test_mid_round_models_are_exported_without_marked_units(trained, tmp_path, capsys):
    experiment = trained("rsst")
    rows = {row["step"]: row for row in rows_of(experiment)}
    for name in ("models/step_000000006", "models/step_000000012", "checkpoints/step_000000012"):
        step, out = int(name[-9:]), tmp_path / name.replace("/", "-")
        capsys.readouterr()
        assert main(["export", experiment.folder.full(name), "--out", str(out), "--json"]) == 0
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert summary["pruned"]["parameters"] == rows[step]["parameters"] < summary["dense"]["parameters"]
        network = load_exported(out)
        source = DigitsSource()
        (part,) = source.read("test", 0)
        with torch.no_grad():
            right = network(torch.from_numpy(part.images)).argmax(dim=1).numpy() == part.labels
        assert 100 * right.mean() == pytest.approx(rows[step]["test_accuracy"], abs=1e-9)
