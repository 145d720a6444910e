"""Trees of tensors and plain data: what is taken out is put back, with its strides."""

from collections import OrderedDict
from typing import Any

import torch

from trainables.engine.files.tensor_tree import map_tensors, put_tensors, take_tensors


def make_tree() -> dict:
    moments = {
        "exp_avg": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "step": torch.tensor(3),
    }
    return {
        "state": {0: moments, "0": {"exp_avg": torch.randn(3, 2).t()}},
        "list": [1, (torch.ones(2), None)],
        "n": 0.1,
    }


def test_every_tensor_has_a_name_of_its_own():
    _, taken = take_tensors(make_tree())
    assert sorted(taken) == [
        "['list'][1][0]",
        "['state']['0']['exp_avg']",
        "['state'][0]['exp_avg']",
        "['state'][0]['step']",
    ]


def test_a_tree_and_its_branches_are_put_together_again():
    tree = make_tree()
    outline, taken = take_tensors(tree)
    found = put_tensors(outline, {name: tensor.contiguous() for name, tensor in taken.items()})
    branch = put_tensors(outline["state"], taken, "['state']")
    assert found["n"] == 0.1 and found["list"][0] == 1 and found["list"][1][1] is None
    for key, entry in ((0, "exp_avg"), (0, "step"), ("0", "exp_avg")):
        expected = tree["state"][key][entry]
        for other in (found["state"][key][entry], branch[key][entry]):
            assert torch.equal(other, expected) and other.stride() == expected.stride()


def test_what_safetensors_does_not_have_stays_in_the_tree():
    odd = {"sparse": torch.eye(2).to_sparse(), "complex": torch.zeros(1, dtype=torch.complex64)}
    outline, taken = take_tensors(odd)
    assert taken == {} and outline["sparse"].is_sparse and outline["complex"].dtype == torch.complex64


def test_plain_data_are_copied():
    tree: Any = OrderedDict(a=[1, {"b": [2]}])
    found = map_tensors(tree, lambda name, tensor: tensor)
    tree["a"][1]["b"].append(3)
    assert found == {"a": [1, {"b": [2]}]} and isinstance(found, OrderedDict)
