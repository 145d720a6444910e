"""Checkpoints: every part comes back bit for bit, nothing in one is ever run, and wrong ones are named."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from data_pipelines.storage.checksums import MANIFEST, write_checksums
from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoints import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    refuse_other_architecture,
    save_checkpoint,
    save_tensors,
)
from trainables.run_paths import step_name


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
    name = save_checkpoint(folder, 3, checkpoint, keep=1)
    loaded = load_checkpoint(folder, name)
    assert_same_bits(loaded.model, checkpoint.model)
    assert (loaded.ema is not None) == has_ema
    if loaded.ema is not None and checkpoint.ema is not None:
        assert_same_bits(loaded.ema, checkpoint.ema)
    assert loaded.history == checkpoint.history
    assert_same_bits(loaded.state.pop("tensors"), checkpoint.state["tensors"])
    assert loaded.state == {"format": 1, "position": checkpoint.state["position"], "list": checkpoint.state["list"]}


def test_an_optimiser_and_its_scaler_come_back_bit_for_bit(folder):
    module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    for _ in range(3):
        module(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    name = save_checkpoint(folder, 3, make_checkpoint(state={"optimizer": optimizer.state_dict()}), keep=1)
    loaded = load_checkpoint(folder, name).state["optimizer"]
    expected = optimizer.state_dict()
    assert loaded["param_groups"] == expected["param_groups"]
    for number, moments in expected["state"].items():
        assert_same_bits(loaded["state"][number], moments)


def test_saving_changes_nothing_that_is_saved(folder):
    torch.manual_seed(0)
    checkpoint = make_checkpoint()
    before = {name: tensor.clone() for name, tensor in checkpoint.model.items()}
    save_checkpoint(folder, 3, checkpoint, keep=1)
    assert_same_bits(checkpoint.model, before)
    assert "format" not in checkpoint.state


def test_names_sort_as_steps_do():
    steps = [0, 9, 10, 99, 100, 12345678, 999999999]
    assert sorted(map(step_name, reversed(steps))) == [step_name(step) for step in steps]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(folder, keep):
    for step in (5, 10, 100, 1000):
        save_checkpoint(folder, step, make_checkpoint(), keep=keep)
        assert find_checkpoint(folder) == (f"checkpoints/{step_name(step)}", [])
    assert folder.names("checkpoints") == [step_name(step) for step in (5, 10, 100, 1000)[-keep:]]


def test_without_checkpoints_none_is_found(folder):
    assert find_checkpoint(folder) == (None, [])


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "state.pt", "history.jsonl.gz", MANIFEST])
def test_a_damaged_file_makes_the_one_before_it_be_used(folder, name):
    for step in (1, 2, 3):
        save_checkpoint(folder, step, make_checkpoint(ema=odd_tensors()), keep=3)
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
        save_checkpoint(folder, step, make_checkpoint(), keep=3)
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
    name = save_checkpoint(folder, 3, make_checkpoint(), keep=1)
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


@pytest.mark.parametrize("number", [0, 2, None, "1"])
def test_another_format_is_refused_with_both_numbers(folder, number):
    name = save_checkpoint(folder, 3, make_checkpoint(state={"format": number}), keep=1)
    with pytest.raises(ValueError, match=f"has format {number}; this version reads 1"):
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


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight


def test_tied_tensors_come_back_under_both_names_and_stay_tied(tmp_path):
    module = Tied()
    save_tensors(module.state_dict(), tmp_path / "tied.safetensors")
    loaded = load_file(tmp_path / "tied.safetensors")
    assert torch.equal(loaded["first.weight"], loaded["second.weight"])
    other = Tied()
    other.load_state_dict(loaded)
    assert torch.equal(other.first.weight, module.first.weight) and other.second.weight is other.first.weight


def test_tensors_that_share_memory_in_part_are_written_whole(tmp_path):
    base = torch.arange(12.0)
    parts = {"whole": base, "head": base[:4], "tail": base[4:], "square": base.reshape(3, 4).t()}
    save_tensors(parts, tmp_path / "parts.safetensors")
    assert_same_bits(load_file(tmp_path / "parts.safetensors"), parts)


def test_checkpoints_that_others_delete_are_left_to_them(tmp_path):
    folder = Folder(str(tmp_path))
    for step in (1, 2, 3, 4):
        save_checkpoint(folder, step, make_checkpoint(), 1, lambda name: name == step_name(2))
    assert folder.names("checkpoints") == [step_name(2), step_name(4)]
