"""Tensors as files: the safetensors library reads back every bit, and parts of several ranks are one group."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.trainables.engine.files.test_checkpoints import assert_same_bits, odd_tensors
from trainables.engine.files import tensor_files
from trainables.engine.files.tensor_files import Shard, load_tensors, save_tensors, split_tensors


def test_the_library_reads_every_type_bit_for_bit(tmp_path):
    eights = {"e4": torch.randn(5).to(torch.float8_e4m3fn), "e5": torch.randn(5).to(torch.float8_e5m2)}
    numbers = torch.arange(-3, 4)
    whole = {str(dtype): numbers.to(dtype) for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8)}
    tensors = {**odd_tensors(), **eights, **whole, '\u00fc "name"': torch.ones(1)}
    save_tensors(tensors, tmp_path / "x.safetensors")
    assert_same_bits(load_file(tmp_path / "x.safetensors"), tensors)


def test_no_tensors_are_a_file_too(tmp_path):
    save_tensors({}, tmp_path / "x.safetensors")
    assert load_file(tmp_path / "x.safetensors") == {}


def test_a_type_that_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the tensor w is of torch.complex64, which is not saved; allowed are torch"):
        save_tensors({"w": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "x.safetensors")


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


def test_the_files_of_several_ranks_are_read_as_one_group(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_files, "MAX_PART_BYTES", 64)
    torch.manual_seed(0)
    tensors = {f"{name}": torch.randn(size) for name, size in zip("abcdef", (3, 40, 16, 17, 1, 0), strict=True)}
    shares = [{name: tensors[name] for name in names} for names in ("ab", "cd", "ef")]
    for rank, share in enumerate(shares):
        for name, part in split_tensors("model", share, rank).items():
            assert sum(tensor.nbytes for tensor in part.tensors.values()) <= 64
            (tmp_path / name).write_bytes(b"".join(part.chunks()))
    assert (tmp_path / "model.safetensors").exists() and (tmp_path / "model.rank_2_part_1.safetensors").exists()
    assert_same_bits(load_tensors(tmp_path, "model"), tensors)
    assert_same_bits(load_tensors(tmp_path, "model", "b"), {"b": tensors["b"]})


def test_the_shards_of_several_ranks_are_one_tensor(tmp_path, monkeypatch):
    """Of three ranks the last has no row, and the parts of the first are more than one file may hold."""
    monkeypatch.setattr(tensor_files, "MAX_PART_BYTES", 64)
    whole = {"w": torch.randn(9, 5), "empty": torch.zeros(0, 2), "b": torch.arange(2)}
    for rank, (start, stop) in enumerate([(0, 6), (6, 9), (9, 9)]):
        flat = {name: tensor[start:stop].reshape(-1) for name, tensor in whole.items()}
        places = {name: min(start, len(tensor)) * tensor[0:1].numel() for name, tensor in whole.items()}
        shards = {name: Shard(flat[name], places[name], list(whole[name].shape)) for name in whole}
        for name, part in split_tensors("model", shards, rank).items():
            assert sum(tensor.nbytes for tensor in part.tensors.values()) <= 64
            (tmp_path / name).write_bytes(b"".join(part.chunks()))
    assert_same_bits(load_tensors(tmp_path, "model"), whole)
