"""The exponential moving average of the weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainables.config import Ema


class EmaModel(AveragedModel):
    """A copy of the module whose parameters follow p_ema <- d p_ema + (1 - d) p; buffers are copied as they are."""

    def __init__(self, module: nn.Module, settings: Ema):
        super().__init__(module, multi_avg_fn=_build_average(settings))  # pyright: ignore[reportArgumentType]
        self.requires_grad_(False)
        self.eval()

    @property
    def weights(self) -> nn.Module:
        """The averaged module itself."""
        return self.module


def compute_decay(settings: Ema, num_updates: int) -> float:
    """The decay of the update after `num_updates` earlier ones."""
    if not settings.has_warmup:
        return settings.decay
    return min(settings.decay, (1 + num_updates) / (10 + num_updates))


def _build_average(settings: Ema) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    @torch.no_grad()
    def average(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor) -> None:
        # num_averaged is a CPU tensor (AveragedModel keeps it there), so reading it waits for no device
        decay = compute_decay(settings, int(num_averaged))
        torch._foreach_lerp_(averaged, current, 1.0 - decay)  # pyright: ignore[reportPrivateImportUsage]

    return average
