"""Trees of dicts, lists and tuples that hold tensors and plain data, as state dicts are."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainables.engine.files.tensor_files import Shard, is_plain


def map_tensors(tree: Any, change: Callable[[str, Any], Any], name: str = "") -> Any:
    """Return a copy of a tree in which every tensor or shard of one is replaced by what `change` returns of it.

    `change` gets its name too, the way to it, as `['optimizer']['state'][0]`. Plain data are copied.
    """
    if isinstance(tree, Tensor | Shard):
        return change(name, tree)
    if type(tree) in (dict, OrderedDict):
        return type(tree)((key, map_tensors(value, change, f"{name}[{key!r}]")) for key, value in tree.items())
    if type(tree) in (list, tuple):
        return type(tree)(map_tensors(value, change, f"{name}[{index}]") for index, value in enumerate(tree))
    return copy.deepcopy(tree)


def take_tensors(tree: Any) -> tuple[Any, dict[str, Any]]:
    """Return a copy of a tree with placeholders, and the tensors by name, complete ones and shards.

    A placeholder is a tensor without content, on torch's meta device, which keeps shape and strides. Tensors of a kind
    that safetensors does not have, such as sparse ones, stay where they are.
    """
    taken: dict[str, Any] = {}

    def take(name: str, tensor: Tensor | Shard) -> Tensor:
        if isinstance(tensor, Shard):
            taken[name] = tensor
            return torch.empty(tensor.shape, device="meta")
        if not is_plain(tensor):
            return tensor
        taken[name] = tensor.detach()
        return torch.empty_like(tensor, device="meta")

    return map_tensors(tree, take), taken


def put_tensors(tree: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """Return a copy of a tree, or of its branch of a name, with the tensors in place of their placeholders."""

    def put(name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        found = tensors[name]
        if found.stride() == tensor.stride():
            return found
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=found.dtype).copy_(found)

    return map_tensors(tree, put, name)
