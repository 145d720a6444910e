"""Fully sharded data parallelism: each rank keeps its part of weights, gradients, moments and EMA (Zhao et al. 2023).

It is torch's `fully_shard` (FSDP2). Parameters are DTensors, cut along their first dimension; a block's are gathered
before its forward and backward passes and freed after them, and its gradients are averaged and scattered. Functions
here leave plain tensors as they are, so that callers need not distinguish replicated from sharded training.
"""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainables.contract.training_config import Precision
from trainables.engine.files.tensor_files import Shard
from trainables.engine.files.tensor_tree import map_tensors
from trainables.engine.process.collectives import complete, is_sharded
from trainables.engine.step.precision import DTYPES

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Layers whose weights autocast converts before it multiplies by them."""


def find_blocks(module: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """Return the instances of `types` in a module that lie in no other one, in order."""
    if isinstance(module, types):
        return [module]
    return [block for child in module.children() for block in find_blocks(child, types)]


def shard(module: nn.Module, blocks: Sequence[nn.Module], device: torch.device, precision: Precision) -> nn.Module:
    """Shard a module over all ranks in place, from rank 0's weights and buffers: each block, then all outside of them.

    Autocast still decides the precision of each operation, as without sharding, and module inputs such as times stay
    float32. The policy of torch casts all of a module instead, which would round those inputs and the norms; it serves
    for what is gathered: weights of linear layers and convolutions in the precision in which autocast multiplies them,
    which halves traffic and memory and changes no result. All others, and frozen ones, stay float32, and gradients are
    averaged in it. A collective. The module is complete, on `device`. `blocks` are parts of it, gathered one at a time;
    without any it is one part.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if device.type == "cuda":
        torch.cuda.set_device(device)
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.detach(), src=0)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    layers = [layer for layer in module.modules() if isinstance(layer, PRODUCTS)]
    multiplied = {id(layer.weight) for layer in layers if layer.weight.requires_grad}
    policy = MixedPrecisionPolicy()
    if precision != "fp32":
        policy = MixedPrecisionPolicy(
            param_dtype=DTYPES[precision],
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
            param_dtype_override_fn=lambda parameter: None if id(parameter) in multiplied else parameter.dtype,
        )
    for part in (*blocks, module):
        fully_shard(part, mesh=mesh, mp_policy=policy)
    return module


def outline(module: nn.Module) -> nn.Module:
    """Copy a module without memory for its parameters: they are on the device `meta`. Tied ones stay tied."""
    empty = [nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in module.parameters()]
    return _replace(module, zip(module.parameters(), empty, strict=True))


def copy_shards(shape: nn.Module, sharded: nn.Module) -> nn.Module:
    """Build a module of this rank's parts, to average them; it cannot be called. `shape`: as for `assemble`."""
    return _fill(shape, sharded, [parameter.detach().clone() for parameter in sharded.parameters()])


def assemble(shape: nn.Module, sharded: nn.Module) -> nn.Module:
    """Build the complete module of a sharded one, or of its average: a plain module with memory of its own.

    A collective; every rank gets one. `shape` is the `outline` of the module, made before it was sharded.
    """
    return _fill(shape, sharded, [complete(parameter.detach()) for parameter in sharded.parameters()])


def _fill(shape: nn.Module, sharded: nn.Module, values: Sequence[Tensor]) -> nn.Module:
    parameters = [nn.Parameter(value, old.requires_grad) for value, old in zip(values, shape.parameters(), strict=True)]
    buffers = [buffer.detach().clone() for buffer in sharded.buffers()]
    return _replace(shape, zip((*shape.parameters(), *shape.buffers()), (*parameters, *buffers), strict=True))


def _replace(module: nn.Module, tensors: Iterable[tuple[Tensor, Tensor]]) -> nn.Module:
    """Copy a module with other tensors in place of its own; a deep copy takes what its memo holds for an object."""
    return copy.deepcopy(module, {id(old): new for old, new in tensors})


def gather(state: Any, *, is_kept: bool) -> Any:
    """Replace the sharded tensors in nested dicts and lists by complete ones on the CPU. A collective.

    They are gathered one at a time. A rank for which `is_kept` is false gets empty tensors in their place.
    """
    if isinstance(state, Tensor) and is_sharded(state):
        whole = complete(state.detach())
        return whole.cpu() if is_kept else torch.empty(0)
    if isinstance(state, Mapping):
        return {name: gather(value, is_kept=is_kept) for name, value in state.items()}
    return [gather(value, is_kept=is_kept) for value in state] if isinstance(state, list) else state


def own_shards(state: Any) -> Any:
    """Replace the sharded tensors in nested dicts and lists by the shards that this rank has of them."""
    return map_tensors(state, lambda _, tensor: _own_shard(tensor) if is_sharded(tensor) else tensor)


def _own_shard(tensor: Any) -> Shard:
    """Return this rank's shard: along the first dimension, all ranks have equally many rows, the last ones fewer."""
    own, shape = tensor.detach().to_local(), list(tensor.shape)
    start = min(-(-shape[0] // dist.get_world_size()) * dist.get_rank(), shape[0])
    return Shard(own.reshape(-1), start * math.prod(shape[1:]), shape)


def scatter(whole: Tensor, like: Tensor) -> Tensor:
    """Return this rank's part of a complete tensor that every rank has, cut like `like`."""
    if not is_sharded(like):
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    part = distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return part.clone()  # otherwise it keeps the memory of all of it


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a complete state dict, of which a sharded module takes its part."""
    module.load_state_dict({name: scatter(weights[name], own) for name, own in module.state_dict().items()})
