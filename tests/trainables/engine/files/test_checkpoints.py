"""Checkpoints: every part comes back bit for bit, nothing in one is ever run, and wrong ones are named."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from data_pipelines.storage.checksums import MANIFEST, write_checksums
from data_pipelines.storage.folder import Folder
from trainables.engine.files import tensor_files
from trainables.engine.files.checkpoints import (
    Checkpoint,
    deleted_by_nobody,
    find_checkpoint,
    list_old_checkpoints,
    load_checkpoint,
    load_evaluated,
    refuse_other_architecture,
    write_checkpoint,
)
from trainables.run_paths import step_name

CHANNELS_LAST = torch.channels_last
FILES = {"model.safetensors", "ema.safetensors", "state.safetensors", "state.pt", "history.jsonl.gz", MANIFEST}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def odd_tensors() -> dict[str, torch.Tensor]:
    nan, inf = float("nan"), float("inf")
    return {
        "odd": torch.tensor([nan, inf, -inf, -0.0, 1e-45, 0.1]),
        "half": torch.randn(3, 2).bfloat16(),
        "fp16": torch.randn(3).half(),
        "double": torch.randn(2, 2).double(),
        "long": torch.tensor([2**62, -1]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "transposed": torch.randn(4, 3).t(),
    }


def make_checkpoint(**changes: Any) -> Checkpoint:
    state = {"position": {"step": 3, "latest": {"x": 0.1}}, "list": [1, "a", None, True], "tensors": odd_tensors()}
    return Checkpoint(**{"model": odd_tensors(), "ema": None, "state": state, "history": b"\x1f\x8b rows", **changes})


def assert_same_bits(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        left, right = (item.contiguous().reshape(-1).view(torch.uint8) for item in (found[name], tensor))
        assert torch.equal(left, right), name


@pytest.mark.parametrize("has_ema", [False, True])
def test_every_part_comes_back_bit_for_bit(folder, has_ema):
    torch.manual_seed(0)
    checkpoint = make_checkpoint(ema=odd_tensors() if has_ema else None)
    name = write_checkpoint(folder, 3, checkpoint)
    loaded = load_checkpoint(folder, name)
    assert_same_bits(loaded.model, checkpoint.model)
    assert (loaded.ema is not None) == has_ema
    if loaded.ema is not None and checkpoint.ema is not None:
        assert_same_bits(loaded.ema, checkpoint.ema)
    assert loaded.history == checkpoint.history
    assert_same_bits(loaded.state.pop("tensors"), checkpoint.state["tensors"])
    assert loaded.state == {"format": 2, "position": checkpoint.state["position"], "list": checkpoint.state["list"]}


def test_an_optimiser_and_its_scaler_come_back_bit_for_bit(folder):
    module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    for _ in range(3):
        module(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    name = write_checkpoint(folder, 3, make_checkpoint(state={"optimizer": optimizer.state_dict()}))
    loaded = load_checkpoint(folder, name).state["optimizer"]
    expected = optimizer.state_dict()
    assert loaded["param_groups"] == expected["param_groups"]
    for number, moments in expected["state"].items():
        assert_same_bits(loaded["state"][number], moments)


def test_only_the_files_that_are_documented_are_written(folder):
    name = write_checkpoint(folder, 3, make_checkpoint(ema=odd_tensors()))
    assert set(folder.names(name)) == FILES


def test_saving_changes_nothing_that_is_saved(folder):
    torch.manual_seed(0)
    checkpoint = make_checkpoint()
    before = {name: tensor.clone() for name, tensor in checkpoint.model.items()}
    write_checkpoint(folder, 3, checkpoint)
    assert_same_bits(checkpoint.model, before)
    assert "format" not in checkpoint.state


def test_names_sort_as_steps_do():
    steps = [0, 9, 10, 99, 100, 12345678, 999999999]
    assert sorted(map(step_name, reversed(steps))) == [step_name(step) for step in steps]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(folder, keep):
    for step in (5, 10, 100, 1000):
        write_checkpoint(folder, step, make_checkpoint())
        assert find_checkpoint(folder) == (f"checkpoints/{step_name(step)}", [])
    old = list_old_checkpoints(folder, f"checkpoints/{step_name(1000)}", keep, deleted_by_nobody)
    assert old == [f"checkpoints/{step_name(step)}" for step in (5, 10, 100, 1000)[:-keep]]


def test_without_checkpoints_none_is_found(folder):
    assert find_checkpoint(folder) == (None, [])


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_file_makes_the_one_before_it_be_used(folder, name):
    for step in (1, 2, 3):
        write_checkpoint(folder, step, make_checkpoint(ema=odd_tensors()))
    for step in (2, 3):
        file = Path(folder.full(f"checkpoints/{step_name(step)}/{name}"))
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    found, messages = find_checkpoint(folder)
    assert found == f"checkpoints/{step_name(1)}"
    for step, message in zip((3, 2), messages, strict=True):
        assert f"{step_name(step)} is damaged" in message and name in message


def test_when_all_are_damaged_none_is_found_and_each_is_named(folder):
    for step in (1, 2):
        write_checkpoint(folder, step, make_checkpoint())
        Path(folder.full(f"checkpoints/{step_name(step)}/state.pt")).unlink()
    found, messages = find_checkpoint(folder)
    assert found is None and len(messages) == 2


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("writes", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(folder, tmp_path, writes):
    victim = tmp_path / "made-by-pickle"
    name = write_checkpoint(folder, 3, make_checkpoint())
    file = Path(folder.full(f"{name}/state.pt"))
    state = {"format": 1, "position": Payload(victim)}
    if writes == "torch":
        torch.save(state, file)
    else:
        file.write_bytes(pickle.dumps(state))
    Path(folder.full(f"{name}/{MANIFEST}")).unlink()
    write_checksums(file.parent)
    assert find_checkpoint(folder) == (name, [])
    with pytest.raises(ValueError, match=f"checkpoint {folder}/{name} cannot be read"):
        load_checkpoint(folder, name)
    assert not victim.exists()
    torch.load(file, weights_only=False) if writes == "torch" else pickle.loads(file.read_bytes())
    assert victim.exists()  # the payload was a live one


@pytest.mark.parametrize("number", [0, 3, None, "1"])
def test_another_format_is_refused_with_both_numbers(folder, number):
    name = write_checkpoint(folder, 3, make_checkpoint(state={"format": number}))
    with pytest.raises(ValueError, match=f"has format {number}; this version reads 1 and 2"):
        load_checkpoint(folder, name)


def test_another_architecture_is_refused_with_all_differing_keys():
    expected = {"same": torch.zeros(2), "gone": torch.zeros(1), "shape": torch.zeros(2, 3)}
    found = {"same": torch.ones(2), "shape": torch.zeros(3, 2), "new": torch.zeros(1)}
    with pytest.raises(ValueError) as caught:
        refuse_other_architecture(expected, found, "here")
    assert str(caught.value).splitlines() == [
        "here is of another architecture; 3 keys differ:",
        "  missing: gone",
        "  unknown: new",
        "  shape: (3, 2) instead of (2, 3)",
    ]
    refuse_other_architecture(expected, dict(expected), "here")


def test_a_long_list_of_keys_is_cut_with_the_number_of_the_rest():
    with pytest.raises(ValueError) as caught:
        refuse_other_architecture({f"k{n}": torch.zeros(1) for n in range(25)}, {}, "here")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("25 keys differ:") and len(lines) == 22 and lines[-1] == "  and 5 more"


def test_checkpoints_that_others_delete_are_left_to_them(folder):
    for step in (1, 2, 3, 4):
        write_checkpoint(folder, step, make_checkpoint())
    old = list_old_checkpoints(folder, f"checkpoints/{step_name(4)}", 1, lambda name: name == step_name(2))
    assert old == [f"checkpoints/{step_name(1)}", f"checkpoints/{step_name(3)}"]


def test_an_evaluation_reads_weights_and_task(folder):
    state = {"task": {"mean": torch.ones(2)}, "position": {"epoch": 2, "step": 3}, "learner": torch.zeros(5)}
    for ema in (None, {"w": torch.ones(1)}):
        name = write_checkpoint(folder, 3, make_checkpoint(model={"w": torch.zeros(1)}, ema=ema, state=state))
        with folder.local(name) as files:
            found = load_evaluated(files)
        assert found["weights"]["w"].item() == (ema is not None)
        assert found["task"]["mean"].tolist() == [1.0, 1.0] and (found["epoch"], found["step"]) == (2, 3)


def test_a_checkpoint_of_the_first_format_is_read(folder):
    checkpoint = make_checkpoint(ema=odd_tensors())
    state = {**checkpoint.state, "task": {"mean": torch.ones(2)}, "position": {"epoch": 2, "step": 3}}
    with folder.new_folder("checkpoints/step_000000003") as files:
        save_file({"w": torch.zeros(1)}, files / "model.safetensors")
        save_file({"w": torch.ones(1)}, files / "ema.safetensors")
        torch.save({"format": 1, **state}, files / "state.pt")
        (files / "history.jsonl.gz").write_bytes(b"rows")
    loaded = load_checkpoint(folder, "checkpoints/step_000000003")
    assert_same_bits(loaded.state["tensors"], checkpoint.state["tensors"])
    assert loaded.state["position"] == state["position"] and loaded.history == b"rows"
    assert loaded.ema is not None and (loaded.model["w"].item(), loaded.ema["w"].item()) == (0.0, 1.0)
    with folder.local("checkpoints/step_000000003") as files:
        found = load_evaluated(files)
    assert (found["weights"]["w"].item(), found["task"]["mean"].tolist(), found["step"]) == (1.0, [1.0, 1.0], 3)


def test_no_file_is_larger_than_the_bound(folder, monkeypatch):
    monkeypatch.setattr(tensor_files, "MAX_PART_BYTES", 100)
    torch.manual_seed(0)
    weights = {"large": torch.randn(7, 11), "square": torch.randn(5, 5).t(), "small": torch.randn(3)}
    state = {"optimizer": {"state": {0: {"exp_avg": torch.randn(4, 3, 5, 5).contiguous(memory_format=CHANNELS_LAST)}}}}
    checkpoint = make_checkpoint(model=weights, ema=weights, state=state)
    name = write_checkpoint(folder, 3, checkpoint)
    with folder.local(name) as files:
        parts = {file.name: file.stat().st_size for file in files.glob("*.safetensors")}
        for file in files.glob("*.safetensors"):
            assert sum(tensor.nbytes for tensor in load_file(file).values()) <= 100
    assert len(parts) > 15 and "model.rank_0_part_2.safetensors" in parts
    loaded = load_checkpoint(folder, name)
    assert_same_bits(loaded.model, weights)
    assert_same_bits(loaded.ema or {}, weights)
    expected, found = (each["optimizer"]["state"][0] for each in (state, loaded.state))
    assert_same_bits(found, expected)
    assert found["exp_avg"].stride() == expected["exp_avg"].stride()
