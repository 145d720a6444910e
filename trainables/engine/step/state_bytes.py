"""Memory of what a training keeps of each parameter, counted before it begins."""

from torch import nn

from trainables.contract.training_config import Training


def count_state_bytes(module: nn.Module, training: Training, num_parts: int = 1) -> dict[str, int]:
    """Count the bytes of `weights`, `gradients`, `moments` and `ema` that one rank holds between steps.

    Activations, and the complete weights of a sharded module's blocks while they are at work, come on top. The module
    is complete, and may lie on the device `meta`. `num_parts` are the ranks over which each parameter is cut along its
    first dimension; the first, largest part counts.
    """
    parameters = list(module.parameters())
    held = {id(each): _largest_part(each, num_parts) * each.element_size() for each in parameters}
    weights = sum(held.values())
    trained = sum(held[id(parameter)] for parameter in parameters if parameter.requires_grad)
    optimizer = training.optimizer
    num_moments = int(optimizer.momentum > 0) if optimizer.name == "sgd" else 2
    return {
        "weights": weights,
        "gradients": trained,
        "moments": num_moments * trained,
        "ema": weights if training.ema else 0,
    }


def _largest_part(parameter: nn.Parameter, num_parts: int) -> int:
    if num_parts == 1 or not parameter.numel():
        return parameter.numel()
    return -(-len(parameter) // num_parts) * parameter.numel() // len(parameter)
