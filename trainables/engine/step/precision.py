"""Mixed precision of a complete training step, or of a module's forward passes alone."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from trainables.contract.training_config import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Build the autocast context for a precision; a null context for fp32."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, dtype=DTYPES[precision])


@contextmanager
def forward_in(precision: Precision, module: nn.Module, device: torch.device) -> Iterator[None]:
    """Run forward passes of `module` in this precision inside the block; outputs are converted to float32.

    Computations on the outputs (samplers, feature networks, scores) are not autocast.
    """
    running: list[AbstractContextManager[Any]] = []

    def enter(called: nn.Module, arguments: Any) -> None:
        running.append(autocast(precision, device))
        running[-1].__enter__()

    def leave(called: nn.Module, arguments: Any, output: Any) -> Any:
        running.pop().__exit__(None, None, None)
        return output.float() if isinstance(output, Tensor) and output.is_floating_point() else output

    handles = [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
